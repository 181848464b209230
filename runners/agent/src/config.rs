//! The daemon's configuration: a YAML file, flags, or both; flags win.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pipeline_spec::RunnerId;
use reqwest::Url;
use serde::Deserialize;

use crate::{Error, Keys};

/// Largest configuration file, in bytes.
const MAX_CONFIG_BYTES: u64 = 64 * 1024;
/// How long running jobs get to finish after SIGTERM, unless configured. Builds run for hours: waiting
/// for them is not the point, letting nearly finished ones through is.
const DEFAULT_DRAIN_SECONDS: u64 = 30;

/// What the daemon needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the control plane's runner API is.
    pub control: ControlUrl,
    /// The runner's name: the file `runners/<id>.yaml`.
    pub runner: RunnerId,
    /// The private identity key, mode 0600.
    pub key: PathBuf,
    /// Where roles keep caches.
    pub work: PathBuf,
    /// Where job directories are made: best on a tmpfs.
    pub scratch: PathBuf,
    /// Jobs at a time; `None`: as many as `runners/<id>.yaml` says.
    pub capacity: Option<NonZeroU32>,
    /// How long running jobs get to finish after the first SIGTERM.
    pub drain: Duration,
    /// With whose credentials it reads its queues itself; `None`: it asks the control plane for work.
    pub cloud: Option<Keys>,
}

/// An http or https URL without path, query and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlUrl(pub(crate) Url);

impl ControlUrl {
    /// Whether nobody in between reads what is said: TLS, or this machine.
    fn is_private(&self) -> bool {
        let is_here = match self.0.host_str() {
            Some("localhost") => true,
            Some(host) => host
                .trim_matches(['[', ']'])
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback()),
            None => false,
        };
        is_here || self.0.scheme() == "https"
    }
}

impl std::str::FromStr for ControlUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // Before an @ there may be a password, also in what is no URL.
        let shown = match text.contains('@') {
            true => "what was given".to_owned(),
            false => format!("{text:?}"),
        };
        let refuse = |why: &str| {
            Error::Unusable(format!(
                "use {shown} as the control plane's URL: {why}; write it like https://millrace.example.org"
            ))
        };
        let url: Url = text.parse().map_err(|_| refuse("it is not a URL"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refuse("it is not http or https"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("the identity key is the only password"));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("the runner API is at the top of its host"));
        }
        Ok(Self(url))
    }
}

/// Settings that may be left out, from a file or from flags.
#[derive(Debug, Clone, Default, Deserialize, clap::Args)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// URL of the control plane.
    #[arg(long, value_name = "URL")]
    pub control: Option<String>,
    /// Name of this runner, as in runners/<ID>.yaml.
    #[arg(long, value_name = "ID")]
    pub runner: Option<RunnerId>,
    /// File with the private identity key, made by `enroll`.
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Directory for caches.
    #[arg(long, value_name = "DIR")]
    pub work: Option<PathBuf>,
    /// Directory for jobs, best on a tmpfs; left out: below the work directory.
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
    /// Jobs at a time; left out: the capacity in runners/<ID>.yaml.
    #[arg(long, value_name = "N")]
    pub capacity: Option<NonZeroU32>,
    /// Seconds that running jobs get to finish after SIGTERM before they are handed back.
    #[arg(long, value_name = "SECONDS")]
    pub drain_seconds: Option<u64>,
    /// Read the queues in AWS oneself, and hand results in through its store: with one's own credentials (on EC2 those
    /// of the instance), or with lent ones. Left out: ask the control plane, which works everywhere.
    #[arg(long, value_name = "KEYS")]
    pub cloud: Option<Keys>,
}

impl Settings {
    /// Reads a YAML file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let size = std::fs::metadata(path)
            .map_err(Error::io("read", path))?
            .len();
        if size > MAX_CONFIG_BYTES {
            return Err(Error::Unusable(format!(
                "read {}: it is larger than {MAX_CONFIG_BYTES} bytes",
                path.display()
            )));
        }
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        serde_saphyr::from_str(&text)
            .map_err(|cause| Error::Unusable(format!("read {}: {cause}", path.display())))
    }

    /// These settings, and `other`'s where these say nothing.
    pub fn or(self, other: Self) -> Self {
        Self {
            control: self.control.or(other.control),
            runner: self.runner.or(other.runner),
            key: self.key.or(other.key),
            work: self.work.or(other.work),
            scratch: self.scratch.or(other.scratch),
            capacity: self.capacity.or(other.capacity),
            drain_seconds: self.drain_seconds.or(other.drain_seconds),
            cloud: self.cloud.or(other.cloud),
        }
    }

    /// The whole configuration.
    pub fn complete(self) -> Result<Config, Error> {
        let control: ControlUrl = wanted(self.control, "control")?.parse()?;
        if self.cloud == Some(Keys::Lent) && !control.is_private() {
            return Err(Error::Unusable(format!(
                "start: credentials would be lent over {}, where others can read them; give an https address, or leave `cloud` out",
                control.0
            )));
        }
        let work = wanted(self.work, "work")?;
        Ok(Config {
            control,
            runner: wanted(self.runner, "runner")?,
            key: wanted(self.key, "key")?,
            scratch: self.scratch.unwrap_or_else(|| work.join("jobs")),
            work,
            capacity: self.capacity,
            drain: Duration::from_secs(self.drain_seconds.unwrap_or(DEFAULT_DRAIN_SECONDS)),
            cloud: self.cloud,
        })
    }
}

fn wanted<T>(setting: Option<T>, name: &str) -> Result<T, Error> {
    setting.ok_or_else(|| {
        Error::Unusable(format!(
            "start: `{name}` is not set; give --{name}, or write it into the file of --config"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_url_is_the_top_of_a_host() {
        let check = |text: &str, fits: bool| {
            assert_eq!(text.parse::<ControlUrl>().is_ok(), fits, "{text}");
        };
        check("http://127.0.0.1:8080", true);
        check("https://millrace.example.org/", true);
        check("https://millrace.example.org/runner", false);
        check("https://u:p@millrace.example.org", false);
        check("https://millrace.example.org/?x=1", false);
        check("ftp://millrace.example.org", false);
        check("millrace.example.org", false);
    }

    #[test]
    fn flags_win_over_the_file_and_defaults_fill_in() {
        let file: Settings = serde_saphyr::from_str(
            "control: http://localhost:1\nrunner: b1\nkey: /k\nwork: /w\ncapacity: 3\n",
        )
        .unwrap();
        let flags = Settings {
            capacity: NonZeroU32::new(7),
            ..Settings::default()
        };
        let config = flags.or(file).complete().unwrap();
        assert_eq!(config.capacity, NonZeroU32::new(7));
        assert_eq!(config.scratch, Path::new("/w/jobs"));
        assert_eq!(config.drain, Duration::from_secs(DEFAULT_DRAIN_SECONDS));
    }

    #[test]
    fn credentials_are_lent_where_nobody_reads_along() {
        let check = |control: &str, keys: Keys, fits: bool| {
            let settings = Settings {
                control: Some(control.to_owned()),
                runner: Some("b1".parse().unwrap()),
                key: Some("/k".into()),
                work: Some("/w".into()),
                cloud: Some(keys),
                ..Settings::default()
            };
            assert_eq!(settings.complete().is_ok(), fits, "{control} {keys:?}");
        };
        check("https://millrace.example.org", Keys::Lent, true);
        check("http://millrace.example.org", Keys::Lent, false);
        check("http://millrace.example.org", Keys::Own, true);
        check("http://127.0.0.1:7878", Keys::Lent, true);
        check("http://[::1]:7878", Keys::Lent, true);
    }

    #[test]
    fn a_missing_setting_names_its_flag() {
        let error = Settings::default().complete().unwrap_err().to_string();
        assert_eq!(
            error,
            "start: `control` is not set; give --control, or write it into the file of --config"
        );
    }
}

//! Single words of the command line. The errors say what is allowed.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use control::Grace;

/// Largest number of minutes or MiB: about a month, and half a TiB.
const MAX_AMOUNT: f64 = 500_000.0;
/// Longest name of a distribution, in characters: it is in the signing key's user id.
const MAX_NAME_CHARS: usize = 100;
/// Architectures that qemu-user runs and that platforms are built for, as rpm or dpkg spells them.
const EMULATED: [&str; 14] = [
    "x86_64",
    "amd64",
    "aarch64",
    "arm64",
    "armv7hl",
    "armhf",
    "i686",
    "i386",
    "ppc64le",
    "ppc64el",
    "s390x",
    "riscv64",
    "loongarch64",
    "loong64",
];

/// `7981`, `:7981` and `localhost:7981` are this machine alone.
pub(crate) fn listen(text: &str) -> Result<SocketAddr, String> {
    let port = text
        .strip_prefix("localhost:")
        .or_else(|| text.strip_prefix(':'))
        .unwrap_or(text);
    if let Ok(port) = port.parse() {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    text.parse().map_err(|_| {
        "write an address and a port, 127.0.0.1:7981, or [::1]:7981, or the port alone".to_owned()
    })
}

/// A distribution's name.
pub(crate) fn name(text: &str) -> Result<String, String> {
    let length = text.chars().count();
    if text.trim().is_empty() || length > MAX_NAME_CHARS || text.chars().any(char::is_control) {
        return Err(format!(
            "a name has 1 to {MAX_NAME_CHARS} characters on one line, as in 'Example Linux'"
        ));
    }
    Ok(text.trim().to_owned())
}

/// Where this control plane will be.
pub(crate) fn public_url(text: &str) -> Result<String, String> {
    plain_url(text).ok_or_else(|| {
        "write an http(s) address without a login, as https://build.example.org".to_owned()
    })
}

/// Where the state repository will be. At which forge is not known here.
pub(crate) fn state_url(text: &str) -> Result<String, String> {
    plain_url(text).ok_or_else(|| {
        "write an http(s) address without a login, as https://HOST/OWNER/NAME.git; ssh is not taken"
            .to_owned()
    })
}

/// An http(s) address without a login, of characters that need no quotes in a shell or on a page, and with no way back in its
/// path; without a slash at its end. Scheme and host are in small letters then, as they are compared.
fn plain_url(text: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:[]".contains(&byte);
    let text = text.trim_end_matches('/');
    // What the standard of URLs mends is no address that people and git understand.
    let (scheme, rest) = text.split_once("://")?;
    let is_web = ["http", "https"]
        .iter()
        .any(|web| web.eq_ignore_ascii_case(scheme));
    let is_straight = rest.split('/').all(|part| !matches!(part, "" | "." | ".."));
    let url = text.parse::<reqwest::Url>().ok()?;
    let is_well = is_web && is_straight && url.has_host() && text.bytes().all(is_plain);
    is_well.then(|| url.as_str().trim_end_matches('/').to_owned())
}

/// A state repository: a directory, or an address that git knows. A login is in none of them.
pub(crate) fn repository(text: &str) -> Result<String, String> {
    if let Some((scheme, rest)) = text.split_once("://") {
        let url = format!("{}://{rest}", scheme.to_ascii_lowercase());
        let parsed = url.parse::<git::RemoteUrl>();
        return parsed.map(|_| url).map_err(|error| error.to_string());
    }
    let first = text.split('/').next().unwrap_or_default();
    let is_address = text.starts_with("//") || first.contains([':', '@']);
    if text.is_empty() || is_address && !Path::new(text).exists() {
        return Err(
            "write a directory, or an address as https://git.example.org/distro.git, with its login in --state-token-file; ssh is not taken"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}

/// The number of a GitHub App.
pub(crate) fn app(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "write the App's number, as 123456; it is on the App's page".to_owned())
}

/// A number of minutes or MiB, as `2.5`.
pub(crate) fn amount(text: &str) -> Result<f64, String> {
    let amount = text.parse::<f64>().ok();
    let amount = amount.filter(|it| (0.0..=MAX_AMOUNT).contains(it));
    amount.ok_or_else(|| format!("write a number from 0 to {MAX_AMOUNT}, as 2.5"))
}

/// `90m`, `72h`, `3d`: how long a file is kept that nothing needs.
pub(crate) fn grace(text: &str) -> Result<Duration, String> {
    let unit = |last| match last {
        'm' => Some(60),
        'h' => Some(3_600),
        'd' => Some(24 * 3_600),
        _ => None,
    };
    let parsed = text.chars().next_back().and_then(|last| {
        let number: u64 = text.strip_suffix(last)?.parse().ok()?;
        number.checked_mul(unit(last)?)
    });
    let Some(seconds) = parsed else {
        return Err("write a number and its unit: 90m, 72h or 3d".to_owned());
    };
    let time = Duration::from_secs(seconds);
    Grace::new(time).map_err(|error| error.to_string())?;
    Ok(time)
}

pub(crate) fn emulated(text: &str) -> Result<String, String> {
    match EMULATED.contains(&text) {
        true => Ok(text.to_owned()),
        false => Err(format!("it is one of {}", EMULATED.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_people_write_them() {
        let check = |text: &str, expect: &str| {
            let found = listen(text).map_or_else(|error| error, |address| address.to_string());
            assert!(found.starts_with(expect), "{text}: {found}");
        };
        check("7981", "127.0.0.1:7981");
        check(":7981", "127.0.0.1:7981");
        check("localhost:7981", "127.0.0.1:7981");
        check("127.0.0.1:0", "127.0.0.1:0");
        check("[::1]:7981", "[::1]:7981");
        check("0.0.0.0:80", "0.0.0.0:80");
        check("127.0.0.1", "write an address and a port, 127.0.0.1:7981");
        check("99999", "write ");
    }

    #[test]
    fn graces_have_a_unit_and_a_least() {
        let check = |text: &str, expect: Result<u64, &str>| {
            let found = grace(text).map(|time| time.as_secs());
            match (found, expect) {
                (Ok(found), Ok(expect)) => assert_eq!(found, expect, "{text}"),
                (Err(said), Err(expect)) => assert!(said.contains(expect), "{text}: {said}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        };
        check("72h", Ok(72 * 3_600));
        check("3d", Ok(72 * 3_600));
        check("60m", Ok(3_600));
        check("59m", Err("give an hour (1h) at least"));
        check("0h", Err("give an hour (1h) at least"));
        for wrong in ["", "h", "72", "-1h", "3 d", "3é", "18446744073709551615d"] {
            check(wrong, Err("72h"));
        }
    }

    #[test]
    fn plain_addresses() {
        let kept = plain_url("https://git.example.org:3000/a/state.git/");
        assert_eq!(
            kept.as_deref(),
            Some("https://git.example.org:3000/a/state.git")
        );
        for wrong in [
            "",
            "git.example.org",
            "file:///srv/x",
            "https://u:s@x.org/a",
            "https://x.org/a?b",
            "https://x.org/$(a)",
            "https://x.org/'",
            "https://x.org/a b",
            "http:x.org/a/b",
            "https:/x.org/a/b",
            "https:///x.org/a/b",
            "https://x.org/a/../b/c",
            "https://x.org/./a/b",
            "https://x.org//a/b",
        ] {
            assert!(plain_url(wrong).is_none(), "{wrong:?}");
        }
        let loud = plain_url("HTTPS://GitHub.com:443/Acme/state");
        assert_eq!(loud.as_deref(), Some("https://github.com/Acme/state"));
        let check = |found: Result<String, String>, expect: &str| {
            assert!(found.is_err_and(|said| said.contains(expect)), "{expect}");
        };
        let ssh = "git@github.com:acme/state.git";
        check(state_url(ssh), "https://HOST/OWNER/NAME.git; ssh is");
        check(public_url(ssh), "https://build.example.org");
    }

    #[test]
    fn places_of_state_repositories() {
        for well in [
            "/srv/state.git",
            "state.git",
            "../a@b/c",
            "file:///srv/x.git",
        ] {
            assert_eq!(repository(well).as_deref(), Ok(well));
        }
        let loud = repository("HTTPS://git.example.org/x.git");
        assert_eq!(loud.as_deref(), Ok("https://git.example.org/x.git"));
        for wrong in [
            "",
            "//ada:hunter2@git.example.org/x",
            "ada:hunter2@git.example.org/x",
            "git@github.com:acme/state.git",
            "http:git.example.org/x",
            "https://ada:hunter2@git.example.org/x",
            "HTTPS://ada:hunter2@git.example.org/x",
            "ssh://ada:hunter2@git.example.org/x",
        ] {
            let said = repository(wrong).expect_err("refused");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }

    #[test]
    fn numbers_of_apps() {
        assert_eq!(app("123456"), Ok(123_456));
        for wrong in ["NUMBER", "", "0", "-1"] {
            assert!(app(wrong).is_err_and(|said| said.contains("as 123456")));
        }
    }

    #[test]
    fn names_and_architectures() {
        assert_eq!(name(" Example Linux"), Ok("Example Linux".to_owned()));
        for wrong in ["", " ", "a\nb"] {
            assert!(name(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(emulated("arm64"), Ok("arm64".to_owned()));
        assert!(emulated("arm99").is_err_and(|said| said.contains("arm64")));
    }
}

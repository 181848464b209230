//! Times repodata and signing against createrepo_c and rpmsign, in one run over the same packages.
//!
//! `cargo run --release -p repo-rpm --example bench -- [PACKAGES] [DIRECTORY]`, 10,000 packages in a temporary
//! directory by default (use a tmpfs). One JSON object per line: what, seconds (best of the runs), detail.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a measuring tool: the clock, files and programs are its business, and a failure ends it"
)]

use std::collections::HashMap;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use openpgp::{KeyKind, SigningKey};
use repo_rpm::cache::{BlockCache, DirCache, MemoryCache};
use repo_rpm::repodata::{self, Form, FragmentSource, Member, Options, Repodata};
use repo_rpm::{Fragment, Package, Sha256, sign_file};

/// How often each thing is done; the best counts, because the machine is shared.
const RUNS: usize = 3;
/// How many packages are signed.
const SIGNED: usize = 50;
const REVISION: u64 = 1_700_000_500;

fn main() {
    let mut args = std::env::args().skip(1);
    let count: usize = args.next().map_or(10_000, |arg| arg.parse().unwrap());
    assert!(count >= SIGNED, "at least {SIGNED} packages are needed");
    let work = args
        .next()
        .map_or_else(std::env::temp_dir, PathBuf::from)
        .join(format!("repo-rpm-bench-{}", std::process::id()));
    let desk = Desk {
        repo: work.join("repo"),
        state: work.join("state"),
        work,
    };
    fs::create_dir_all(desk.repo.join("Packages")).unwrap();
    fs::create_dir_all(desk.state.join("fragments")).unwrap();

    report(
        "make the packages",
        once(|| (0..count).for_each(|n| desk.make(n))),
        "",
    );
    let bytes = vec![b'x'; 256 << 20];
    report(
        "sha256 of 256 MiB",
        best(|| assert_ne!(Sha256::of(&bytes), Sha256::of(b""))),
        "above 1 GB/s only with the processor's SHA extensions",
    );
    drop(bytes);
    createrepo(&desk);
    from_scratch(&desk);
    one_more(&desk, count);
    signing(&desk);
    fs::remove_dir_all(&desk.work).unwrap();
}

struct Desk {
    work: PathBuf,
    repo: PathBuf,
    state: PathBuf,
}

impl Desk {
    /// A package as small ones are: a few files and dependencies, some changelog.
    fn make(&self, n: usize) {
        let name = format!("package{n:06}");
        let config = rpm::BuildConfig::v4()
            .compression(rpm::CompressionType::None)
            .source_date(1_699_999_999u32);
        let mut builder = rpm::PackageBuilder::new(
            &name,
            "1.2.3",
            "MIT",
            "x86_64",
            "one of many small packages",
        );
        builder
            .using_config(config)
            .release("4.el9")
            .description(format!("{name} does one thing.\nIt is here to be counted."))
            .url(format!("https://example.org/{name}"))
            .vendor("Example");
        for file in ["/usr/bin", "/usr/share/man/man1", "/usr/share/doc", "/etc"] {
            let options = rpm::FileOptions::new(format!("{file}/{name}"));
            builder
                .with_file_contents(format!("{name}\n"), options)
                .unwrap();
        }
        for needed in [
            "libc.so.6(GLIBC_2.34)(64bit)",
            "/bin/sh",
            "bash",
            "coreutils",
        ] {
            builder.requires(rpm::Dependency::any(needed));
        }
        for entry in 0..3u32 {
            builder.add_changelog_entry(
                "A Packager <a@example.org> - 1.2.3-4",
                "- rebuilt",
                1_600_000_000 + entry * 86_400,
            );
        }
        builder
            .build()
            .unwrap()
            .write_file(self.repo.join(format!("Packages/{name}.rpm")))
            .unwrap();
    }

    fn packages(&self) -> Vec<PathBuf> {
        let mut all: Vec<PathBuf> = fs::read_dir(self.repo.join("Packages"))
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        all.sort();
        all
    }

    fn read(&self, path: &Path) -> (Member, Fragment) {
        let package = Package::read(fs::File::open(path).unwrap()).unwrap();
        let location = path
            .strip_prefix(&self.repo)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        (
            Member {
                location,
                sha256: package.sha256,
            },
            Fragment::render(&package),
        )
    }

    fn fragment_path(&self, sha256: &Sha256) -> PathBuf {
        self.state.join("fragments").join(sha256.to_string())
    }

    /// Puts the files where clients find them, the index last.
    fn put(&self, made: &Repodata) {
        fs::create_dir_all(self.repo.join("repodata")).unwrap();
        for (path, bytes) in &made.files {
            fs::write(self.repo.join(path), bytes).unwrap();
        }
        fs::write(self.repo.join(repodata::REPOMD), &made.repomd).unwrap();
    }
}

/// Fragments as a build farm keeps them: one file each.
struct Stored<'a>(&'a Desk);

impl FragmentSource for Stored<'_> {
    fn fragment(
        &self,
        sha256: &Sha256,
    ) -> Result<std::borrow::Cow<'_, Fragment>, Box<dyn std::error::Error + Send + Sync>> {
        let bytes = fs::read(self.0.fragment_path(sha256))?;
        Ok(std::borrow::Cow::Owned(serde_json::from_slice(&bytes)?))
    }
}

fn createrepo(desk: &Desk) {
    let run = |options: &[&str]| {
        let _ = fs::remove_dir_all(desk.repo.join("repodata"));
        let status = Command::new("createrepo_c")
            .arg("--quiet")
            .args(options)
            .arg(&desk.repo)
            .status();
        assert!(
            status
                .expect("createrepo_c runs; it is in Debian's package createrepo-c")
                .success()
        );
    };
    report("createrepo_c, from scratch", best(|| run(&[])), "");
    report(
        "createrepo_c --no-database, from scratch",
        best(|| run(&["--no-database"])),
        "",
    );
    let size = repodata_bytes(desk);
    // Its quickest way to one package more; without removing repodata first.
    let update = || {
        let options = ["--quiet", "--update", "--skip-stat", "--no-database"];
        assert!(
            Command::new("createrepo_c")
                .args(options)
                .arg(&desk.repo)
                .status()
                .unwrap()
                .success()
        );
    };
    report(
        "createrepo_c --update --skip-stat --no-database",
        best(update),
        &format!("{size} bytes of gzip"),
    );
    fs::remove_dir_all(desk.repo.join("repodata")).unwrap();
}

fn from_scratch(desk: &Desk) {
    let (mut blocks, mut reading) = (0, Took::MAX);
    let seconds = best(|| {
        let _ = fs::remove_dir_all(desk.repo.join("repodata"));
        let mut read = Default::default();
        reading = reading.min(once(|| read = read_all(desk)));
        let (members, fragments) = read;
        let made =
            repodata::write(members, &fragments, &MemoryCache::default(), options()).unwrap();
        desk.put(&made);
        blocks = made.blocks.len();
    });
    report(
        "ours, from scratch",
        seconds,
        &format!(
            "{blocks} blocks, {} bytes of zstd and gzip, of its processor time {:.2} s reading packages",
            repodata_bytes(desk),
            reading.cpu
        ),
    );
}

/// Reads every package and writes everything, on all processors.
fn scratch(desk: &Desk, cache: &dyn BlockCache) -> Repodata {
    let (members, fragments) = read_all(desk);
    repodata::write(members, &fragments, cache, options()).unwrap()
}

fn read_all(desk: &Desk) -> (Vec<Member>, HashMap<Sha256, Fragment>) {
    let paths = desk.packages();
    let share = paths.len().div_ceil(threads().get()).max(1);
    let read: Vec<(Member, Fragment)> = std::thread::scope(|scope| {
        let shares: Vec<_> = paths
            .chunks(share)
            .map(|paths| {
                scope.spawn(|| paths.iter().map(|path| desk.read(path)).collect::<Vec<_>>())
            })
            .collect();
        shares
            .into_iter()
            .flat_map(|share| share.join().unwrap())
            .collect()
    });
    read.into_iter()
        .map(|(member, fragment)| (member.clone(), (member.sha256, fragment)))
        .unzip()
}

/// State on disk, one package comes, and the whole repository is published again.
fn one_more(desk: &Desk, count: usize) {
    let cache = DirCache::new(desk.state.join("blocks"));
    let (members, fragments) = read_all(desk);
    for (sha256, fragment) in &fragments {
        fs::write(
            desk.fragment_path(sha256),
            serde_json::to_vec(fragment).unwrap(),
        )
        .unwrap();
    }
    repodata::write(members.clone(), &fragments, &cache, options()).unwrap();
    let list = desk.state.join("members.json");
    fs::write(&list, serde_json::to_vec(&members).unwrap()).unwrap();

    let (mut seconds, mut last) = (Took::MAX, None);
    for run in 0..RUNS {
        desk.make(count + run);
        let path = desk
            .repo
            .join(format!("Packages/package{:06}.rpm", count + run));
        let took = once(|| {
            let mut members: Vec<Member> =
                serde_json::from_slice(&fs::read(&list).unwrap()).unwrap();
            let (member, fragment) = desk.read(&path);
            fs::write(
                desk.fragment_path(&member.sha256),
                serde_json::to_vec(&fragment).unwrap(),
            )
            .unwrap();
            members.push(member);
            let made = repodata::write(members.clone(), &Stored(desk), &cache, options()).unwrap();
            desk.put(&made);
            fs::write(&list, serde_json::to_vec(&members).unwrap()).unwrap();
            last = Some(made);
        });
        seconds = seconds.min(took);
    }
    let last = last.unwrap();
    assert!(
        last.files == scratch(desk, &MemoryCache::default()).files,
        "one more differs from scratch"
    );
    report(
        "ours, one package more",
        seconds,
        &format!("{} new blocks, same bytes as from scratch", last.new_blocks),
    );
}

/// The same packages and the same key, by us and by rpmsign.
fn signing(desk: &Desk) {
    for kind in [KeyKind::Ed25519, KeyKind::Rsa4096] {
        let key = SigningKey::generate(kind, "bench", REVISION).unwrap();
        let some = &desk.packages()[..SIGNED];
        let sign = || {
            some.iter()
                .for_each(|path| sign_file(path, &key, REVISION).unwrap())
        };
        report(
            &format!("ours, sign one package in place ({kind:?})"),
            best(sign).each(SIGNED),
            "",
        );

        let home = desk.work.join(format!("gnupg-{kind:?}"));
        fs::DirBuilder::new().mode(0o700).create(&home).unwrap();
        let gnupg = |program: &str| {
            let mut command = Command::new(program);
            command.env("GNUPGHOME", &home);
            command
        };
        let secret = home.join("key");
        fs::write(&secret, key.to_armored_secret().unwrap().as_bytes()).unwrap();
        let imported = gnupg("gpg")
            .args(["--batch", "--quiet", "--import"])
            .arg(&secret)
            .status();
        assert!(imported.unwrap().success());
        let theirs = once(|| {
            let options = [
                "--define",
                "__gpg /usr/bin/gpg",
                "--define",
                "_gpg_name bench",
                "--resign",
            ];
            let out = gnupg("rpmsign").args(options).args(some).output();
            assert!(
                out.expect("rpmsign runs; it is in Debian's package rpm")
                    .status
                    .success()
            );
        });
        report(
            &format!("rpmsign, sign one package ({kind:?})"),
            theirs.each(SIGNED),
            "",
        );
        let _ = gnupg("gpgconf").args(["--kill", "gpg-agent"]).status();
    }
}

fn threads() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap()
}

fn options() -> Options {
    Options {
        revision: REVISION,
        form: Form::Zstd,
        threads: threads(),
    }
}

fn repodata_bytes(desk: &Desk) -> u64 {
    fs::read_dir(desk.repo.join("repodata"))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum()
}

/// Wall time, and processor time of this process and its children: on a busy machine only the latter compares.
#[derive(Clone, Copy)]
struct Took {
    seconds: f64,
    cpu: f64,
}

impl Took {
    const MAX: Self = Self {
        seconds: f64::MAX,
        cpu: f64::MAX,
    };

    fn min(self, other: Self) -> Self {
        Self {
            seconds: self.seconds.min(other.seconds),
            cpu: self.cpu.min(other.cpu),
        }
    }

    fn each(self, count: usize) -> Self {
        Self {
            seconds: self.seconds / count as f64,
            cpu: self.cpu / count as f64,
        }
    }
}

/// utime, stime, cutime and cstime of `proc(5)`, in hundredths of a second.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(") ").next().unwrap().split(' ');
    fields
        .skip(11)
        .take(4)
        .map(|ticks| ticks.parse::<f64>().unwrap())
        .sum::<f64>()
        / 100.0
}

fn once(work: impl FnOnce()) -> Took {
    let (start, cpu) = (Instant::now(), cpu_seconds());
    work();
    Took {
        seconds: start.elapsed().as_secs_f64(),
        cpu: cpu_seconds() - cpu,
    }
}

fn best(mut work: impl FnMut()) -> Took {
    (0..RUNS)
        .map(|_| once(&mut work))
        .fold(Took::MAX, Took::min)
}

fn report(what: &str, took: Took, detail: &str) {
    let round = |seconds: f64| (seconds * 1e6).round() / 1e6;
    let line = serde_json::json!({ "what": what, "seconds": round(took.seconds), "cpu": round(took.cpu), "detail": detail });
    println!("{line}");
}

//! A machine of a fleet: its user data, and the two scripts that they lay down, run as its timers run them, with a stand-in
//! for the service of metadata and for the programs that change something.

#![allow(
    clippy::disallowed_methods,
    reason = "a test starts programs, serves metadata and writes files"
)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

const TOKEN: &str = "a-token";
const ADDRESS: &str = "http://169.254.169.254";
const INSTANCE: &str = "i-0123456789abcdef0";
const STOP: &str = "systemctl stop millrace-runner";
const CONTINUE: &str = "aws --region eu-central-1 autoscaling complete-lifecycle-action --lifecycle-hook-name drain \
     --auto-scaling-group-name millrace-builders --lifecycle-action-result CONTINUE --instance-id i-0123456789abcdef0";
const END: &str = "aws --region eu-central-1 autoscaling terminate-instance-in-auto-scaling-group \
     --should-decrement-desired-capacity --instance-id i-0123456789abcdef0";

const FAILED: &str = "aws --region eu-central-1 cloudwatch put-metric-data --namespace Millrace --metric-name StartFailed \
     --dimensions Fleet=millrace-builders --value 1";
/// Of a package with nothing in it.
const SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// As Terraform fills it in; what a script does not need stays.
fn user_data() -> String {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = top.join("terraform/modules/runner-fleet/user-data.sh.tftpl");
    let text = std::fs::read_to_string(&path).expect("the template");
    [
        ("${region}", "eu-central-1"),
        ("${group}", "millrace-builders"),
        ("${lifecycle_hook}", "drain"),
        ("${idle_minutes}", "10"),
    ]
    .into_iter()
    .fold(text, |text, (name, value)| text.replace(name, value))
}

/// One of the scripts.
fn script(name: &str) -> String {
    let data = user_data();
    let begin = format!("cat >/opt/millrace/{name} <<'EOF'\n");
    let (_, rest) = data.split_once(&begin).expect("the script begins");
    let (script, _) = rest.split_once("\nEOF\n").expect("the script ends");
    assert!(!script.contains("${"), "not filled in: {script}");
    script.to_owned()
}

/// A machine's disk, and the words with which programs were called that change something.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(TempDir::new().expect("a folder"));
        for program in ["systemctl", "aws", "dnf", "apt-get", "chown"] {
            machine.program(program, "exit 0");
        }
        machine.program("pgrep", "exit 1");
        machine.write("opt/millrace/instance", INSTANCE);
        std::fs::create_dir(machine.path("run")).expect("the folder");
        machine
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        let folder = path.parent().expect("a folder");
        std::fs::create_dir_all(folder).expect("the folder");
        std::fs::write(path, text).expect("the file");
    }

    fn program(&self, name: &str, end: &str) {
        let calls = self.path("calls");
        let note = match name {
            "pgrep" => String::new(),
            _ => format!("echo \"{name} $*\" >>{}\n", calls.display()),
        };
        self.write(&format!("bin/{name}"), &format!("#!/bin/sh\n{note}{end}\n"));
        let path = self.path(&format!("bin/{name}"));
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(path, mode).expect("a program");
    }

    /// Runs a script of this machine. Whether it ended well, and what it called.
    fn run(&self, name: &str, metadata: &str) -> (bool, Vec<String>) {
        self.run_text(&script(name), metadata)
    }

    /// Starts this machine with a package of this `kind`.
    fn start(&self, kind: &str, metadata: &str) -> (bool, Vec<String>) {
        self.write("package", "");
        self.write("etc/systemd/system/unit", "");
        let package = format!("file://{}", self.path("package").display());
        let data = [
            ("${package_kind}", kind),
            ("${package_url}", &package),
            ("${package_sha256}", SHA256),
            ("${extra_setup}", "dnf -y install bubblewrap"),
            ("${key_parameter}", "/millrace/runners/builders"),
            ("${control}", "https://millrace.example.org"),
            ("${runner}", "builders"),
            ("${capacity}", "1"),
            ("${drain_seconds + 60}", "90"),
            ("${drain_seconds}", "30"),
            (
                "%{ for role in roles } --role ${role}%{ endfor }",
                " --role test",
            ),
        ]
        .into_iter()
        .fold(user_data(), |text, (name, value)| text.replace(name, value));
        assert!(!data.contains("${"), "not filled in: {data}");
        self.run_text(&data, metadata)
    }

    fn run_text(&self, script: &str, metadata: &str) -> (bool, Vec<String>) {
        let script = ["/run/", "/var/lib/", "/opt/", "/etc/"]
            .into_iter()
            .fold(script.to_owned(), |text, folder| {
                let here = self.path(folder.trim_start_matches('/'));
                text.replace(folder, &here.display().to_string())
            })
            .replace(ADDRESS, metadata);
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        let mut bash = Command::new("bash");
        let done = bash.args(["-c", &script]).env_clear().env("PATH", path);
        let done = done.output().expect("bash");
        let calls = std::fs::read_to_string(self.path("calls")).unwrap_or_default();
        let here = self.0.path().display().to_string();
        let calls = calls.lines().map(|line| line.replace(&here, "")).collect();
        (done.status.success(), calls)
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).expect("the file")
    }
}

/// The service of metadata of an instance: these paths, to who has a token. Ends with the process.
fn metadata(paths: &[(&'static str, &'static str)]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let paths: Arc<BTreeMap<_, _>> = Arc::new(paths.iter().copied().collect());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (status, body) = answer(&stream, &paths);
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
            // Who hung up needs no answer.
            let _ = write!(&stream, "{head}Content-Length: {length}\r\n\r\n{body}");
        }
    });
    format!("http://{address}")
}

fn answer(
    stream: &TcpStream,
    paths: &BTreeMap<&'static str, &'static str>,
) -> (&'static str, &'static str) {
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let request = head.first().map(String::as_str).unwrap_or_default();
    let lasts = "x-aws-ec2-metadata-token-ttl-seconds: ";
    let shows = format!("x-aws-ec2-metadata-token: {TOKEN}");
    let says = |what: &str| {
        head.iter()
            .any(|line| line.to_lowercase().starts_with(what))
    };
    if request == "PUT /latest/api/token HTTP/1.1" && says(lasts) {
        return ("200 OK", TOKEN);
    }
    if !says(&shows) {
        return ("401 Unauthorized", "");
    }
    let path = request
        .strip_prefix("GET /latest/meta-data/")
        .and_then(|rest| rest.strip_suffix(" HTTP/1.1"));
    match path.and_then(|path| paths.get(path)) {
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", ""),
    }
}

const ID: &str = "instance-id";
const READY: &str =
    "systemctl enable --now millrace-runner.service millrace-rest.timer millrace-watch.timer";

/// dnf takes what ends in `.rpm` as a file, and anything else as a name.
#[test]
fn a_machine_installs_its_package_and_starts() {
    for (kind, install) in [
        ("rpm", "dnf -y install /opt/millrace/package.rpm"),
        ("deb", "apt-get -q -y install /opt/millrace/package.deb"),
    ] {
        let machine = Machine::new();
        let (is_well, calls) = machine.start(kind, &metadata(&[(ID, INSTANCE)]));
        assert!(is_well, "{calls:#?}");
        assert!(calls.iter().any(|call| call == install), "{calls:#?}");
        assert_eq!(calls.last().map(String::as_str), Some(READY));
        assert_eq!(machine.read("opt/millrace/instance").trim(), INSTANCE);
    }
}

/// What is not enabled is not there after the next start, and neither is what lies in /run.
#[test]
fn a_machine_that_starts_again_still_looks_whether_it_is_needed() {
    let machine = Machine::new();
    let (is_well, _) = machine.start("rpm", &metadata(&[(ID, INSTANCE)]));
    assert!(is_well);
    for timer in ["millrace-rest", "millrace-watch"] {
        let timer = machine.read(&format!("etc/systemd/system/{timer}.timer"));
        assert!(
            timer.contains("[Install]\nWantedBy=timers.target\n"),
            "{timer}"
        );
    }
    for script in ["rest", "watch"] {
        assert!(
            machine
                .read(&format!("opt/millrace/{script}"))
                .contains("/opt/millrace/instance")
        );
    }
}

/// Stopping waits for the drain.
#[test]
fn a_unit_has_time_to_drain() {
    let machine = Machine::new();
    let (is_well, _) = machine.start("rpm", &metadata(&[(ID, INSTANCE)]));
    assert!(is_well);
    let unit = machine.read("etc/systemd/system/millrace-runner.service.d/roles.conf");
    assert!(unit.ends_with(" --role test\n# The drain, 15 seconds for jobs to stop and for last words, and some to spare.\nTimeoutStopSec=90\n"), "{unit}");
}

#[test]
fn a_machine_that_cannot_be_set_up_says_so_and_ends() {
    let at_the_package = "case $* in *package.deb) exit 1 ;; esac";
    for (kind, program, end) in [
        ("rpm", "dnf", "exit 1"),
        ("deb", "apt-get", at_the_package),
        ("rpm", "chown", "exit 1"),
    ] {
        let machine = Machine::new();
        machine.program(program, end);
        let (is_well, calls) = machine.start(kind, &metadata(&[(ID, INSTANCE)]));
        assert!(!is_well, "{program}");
        assert_eq!(calls[calls.len() - 2..], [FAILED, END], "{program}");
    }
}

/// Who does not know who it is cannot end itself in the group.
#[test]
fn a_machine_without_metadata_or_group_stops() {
    let machine = Machine::new();
    machine.program("aws", "exit 255");
    let (is_well, calls) = machine.start("rpm", &metadata(&[]));
    assert!(!is_well);
    assert_eq!(calls.last().map(String::as_str), Some("systemctl poweroff"));
}

const STATE: &str = "autoscaling/target-lifecycle-state";

#[test]
fn a_machine_that_stays_works_on() {
    for paths in [&[(STATE, "InService")][..], &[]] {
        let machine = Machine::new();
        let seen = machine.run("watch", &metadata(paths));
        assert_eq!(seen, (true, vec![]), "{paths:?}");
    }
}

/// Stopping drains: the runner hands its attempts back.
#[test]
fn a_machine_that_is_taken_is_drained_first() {
    let action = r#"{"action": "terminate", "time": "2026-11-29T12:02:00Z"}"#;
    for paths in [
        &[("spot/instance-action", action), (STATE, "InService")][..],
        &[("spot/instance-action", action)],
        &[(STATE, "Terminated")],
    ] {
        let machine = Machine::new();
        let (is_well, calls) = machine.run("watch", &metadata(paths));
        assert!(is_well, "{paths:?}");
        assert_eq!(calls, [STOP, CONTINUE], "{paths:?}");
    }
}

/// One that is in no group, or may not say that it is ready, is drained all the same.
#[test]
fn a_group_that_does_not_answer_keeps_nobody_from_draining() {
    let machine = Machine::new();
    machine.program("aws", "exit 255");
    let (is_well, calls) = machine.run("watch", &metadata(&[(STATE, "Terminated")]));
    assert!(is_well);
    assert_eq!(calls, [STOP, CONTINUE]);
}

#[test]
fn without_metadata_nothing_is_stopped() {
    let machine = Machine::new();
    assert_eq!(machine.run("watch", "http://127.0.0.1:1"), (false, vec![]));
}

/// Says when a job was there last.
fn busy(machine: &Machine, minutes: u64) {
    machine.write("run/millrace-busy", "");
    let ago = std::time::SystemTime::now() - std::time::Duration::from_secs(60 * minutes);
    let file = std::fs::File::open(machine.path("run/millrace-busy"));
    let set = file.and_then(|file| file.set_modified(ago));
    set.expect("the time of the file");
}

#[test]
fn a_machine_without_work_ends_itself() {
    let machine = Machine::new();
    busy(&machine, 12);
    assert_eq!(
        machine.run("rest", ""),
        (true, vec![STOP.into(), END.into()])
    );
}

#[test]
fn a_machine_with_work_stays() {
    let fresh = Machine::new();
    let recent = Machine::new();
    busy(&recent, 5);
    let job = Machine::new();
    busy(&job, 12);
    job.write("var/lib/millrace-runner/jobs/one/log", "");
    let build = Machine::new();
    busy(&build, 12);
    build.program("pgrep", "exit 0");
    for (what, machine) in [
        ("started just now", &fresh),
        ("had a job five minutes ago", &recent),
        ("has a job", &job),
        ("has a build root in use", &build),
    ] {
        assert_eq!(machine.run("rest", ""), (true, vec![]), "{what}");
        // The next look finds the time of this one.
        assert_eq!(machine.run("rest", ""), (true, vec![]), "{what}, later");
    }
}

//! A machine of a fleet: the two scripts that its user data lay down, run as its timers run them, with a stand-in for the
//! service of metadata and for the programs that change something.

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

/// As Terraform fills it in.
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
        for program in ["systemctl", "aws"] {
            machine.program(program, "exit 0");
        }
        machine.program("pgrep", "exit 1");
        machine.write("run/millrace-instance", INSTANCE);
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
        let here = |path: &str| self.path(path).display().to_string();
        let script = script(name)
            .replace(ADDRESS, metadata)
            .replace("/run/", &here("run/"))
            .replace("/var/lib/", &here("var/lib/"));
        let path = format!("{}:/usr/bin:/bin", here("bin"));
        let mut bash = Command::new("bash");
        let done = bash.args(["-c", &script]).env_clear().env("PATH", path);
        let done = done.output().expect("bash");
        let calls = std::fs::read_to_string(self.path("calls")).unwrap_or_default();
        let calls = calls.lines().map(str::to_owned).collect();
        (done.status.success(), calls)
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
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
    let nobody = format!("http://{}", nobody.expect("a port"));
    assert_eq!(machine.run("watch", &nobody), (false, vec![]));
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

//! What people and packages do wrong, and what they get: a sentence that names the cause, on the branch
//! `status` and on the command line, with the blame where it belongs.

use std::net::TcpListener;

use crate::support::package::{BRIDGE, DEBIAN, Tree, deb, deb_with, request, rpm, wish};
use crate::support::{Machine, find, text};

/// Whose fault, and the class of a package's failure.
enum Blame {
    Package(&'static str),
    Infrastructure,
    /// The request itself: nothing is started.
    Request,
}

/// A request that must not succeed.
struct Case {
    /// Also its package's name.
    name: &'static str,
    wish: String,
    /// How the title of the failing task begins.
    task: &'static str,
    blame: Blame,
    /// Stable words of the sentence, its excerpt included.
    says: &'static [&'static str],
}

impl Case {
    fn path(&self) -> String {
        format!("builds/2026/11/{}.yaml", self.name)
    }
}

/// Small enough to be met soon, and large enough for an honest tiny package.
const LIMITS: &str =
    "limits: {memory: 1GiB, disk: 256MiB, processes: 200, minutes: MINUTES, log: 4MiB}\n";

pub(crate) fn limits(minutes: &str) -> String {
    let limits = LIMITS.replace("MINUTES", minutes);
    format!("version: 1\nname: Bad Input Linux\n{limits}")
}

/// Requests that are wrong as they are written.
fn wrong_requests() -> Vec<Case> {
    let case = |name, wish: String, says| Case {
        name,
        wish,
        task: "",
        blame: Blame::Request,
        says,
    };
    let git = "git: \"https://git.example.org/x.git\", ref: main";
    let bomb = "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b]\nreason: *c\n";
    vec![
        case("yaml-bomb", bomb.to_owned(), &["anchor", "write"]),
        case(
            "deep",
            format!("reason: {}x{}\n", "[".repeat(5000), "]".repeat(5000)),
            &["24"],
        ),
        case(
            "not-yaml",
            "reason: \"never closed\n".to_owned(),
            &["not-yaml.yaml:"],
        ),
        case(
            "unknown-platform",
            wish("debian-21: [amd64]", "x", git),
            &["debian-21", "debian-12"],
        ),
        case(
            "path-escape",
            wish(DEBIAN, "x", &format!("{git}, subdir: ../../etc")),
            &["../../etc"],
        ),
        case(
            "name-escape",
            wish(DEBIAN, "../../../etc/cron.d/x", git),
            &["../../../etc/cron.d/x"],
        ),
        case(
            "password",
            wish(
                DEBIAN,
                "x",
                "git: \"https://me:hunter2@git.example.org/x.git\", ref: main",
            ),
            &["password"],
        ),
    ]
}

/// Sources that are not what the request says.
fn wrong_sources(machine: &Machine) -> Vec<Case> {
    let good = machine.source("good-source", &deb("good-source", "true"));
    let dsc = machine.path("sources/wrong_1.0.dsc");
    std::fs::write(&dsc, "Format: 3.0 (native)\n").expect("a file");
    let zero = "0".repeat(64);
    let other = format!("git: \"file://{}\", ref: no-such-branch", good.display());
    let file = |word: &str, path: &str| format!("{word}: \"file://{path}\", sha256: \"{zero}\"");
    let source = |name, wish, kind, says| Case {
        name,
        wish,
        task: "source",
        blame: Blame::Package(kind),
        says,
    };
    vec![
        Case {
            name: "no-branch",
            wish: wish(DEBIAN, "x", &other),
            task: "",
            blame: Blame::Request,
            says: &["no-such-branch"],
        },
        Case {
            name: "no-repository",
            wish: wish(DEBIAN, "x", "git: \"file:///nowhere/x.git\", ref: main"),
            task: "",
            blame: Blame::Request,
            says: &["/nowhere/x.git"],
        },
        source(
            "no-file",
            wish(DEBIAN, "x", &file("dsc", "/nowhere/x_1.dsc")),
            "source-missing",
            &["/nowhere/x_1.dsc", "does not exist"],
        ),
        source(
            "checksum",
            wish(DEBIAN, "x", &file("dsc", &dsc.to_string_lossy())),
            "checksum-mismatch",
            &[
                "wrong_1.0.dsc",
                "SHA-256",
                "0000000000",
                "check before you correct it",
            ],
        ),
        Case {
            name: "no-server",
            wish: wish(
                DEBIAN,
                "x",
                &format!("dsc: \"http://127.0.0.1:9/x_1.dsc\", sha256: \"{zero}\""),
            ),
            task: "source",
            blame: Blame::Infrastructure,
            says: &["gave up after attempt 5: failed to fetch", "127.0.0.1:9"],
        },
        source(
            "no-packaging",
            request(
                DEBIAN,
                "x",
                &machine.source("no-packaging", &vec![("README", "x\n".to_owned())]),
            ),
            "source-package",
            &["debian/changelog", "subdir"],
        ),
        source(
            "spec-syntax",
            request(
                BRIDGE,
                "spec-syntax",
                &machine.source("spec-syntax", &rpm("spec-syntax", "%if", "true")),
            ),
            "source-package",
            &["%if"],
        ),
    ]
}

/// Packages that fail, or do what they must not. `address`: something of the host's that listens.
fn wrong_packages(machine: &Machine, address: &str) -> Vec<Case> {
    let case = |name, platform, tree: &Tree, task, kind, says| Case {
        name,
        wish: request(platform, name, &machine.source(name, tree)),
        task,
        blame: Blame::Package(kind),
        says,
    };
    let deb_case = |name, during: &str, kind, says| {
        case(name, DEBIAN, &deb(name, during), "build", kind, says)
    };
    let connect = format!("exec 3<>/dev/tcp/{}", address.replace(':', "/"));
    vec![
        deb_case(
            "rules-fail",
            "echo the compiler is sad; exit 3",
            "build",
            &["failed to build", "the compiler is sad"],
        ),
        case(
            "no-build-dep",
            DEBIAN,
            &deb_with("no-build-dep", "libnothing-dev", "", "true"),
            "build",
            "build-dependencies",
            &["libnothing-dev", "correct Build-Depends"],
        ),
        deb_case(
            "fills-the-disk",
            "head -c 4G /dev/zero > big",
            "disk-full",
            &["wrote more than 256 MiB", "raise `limits: {disk"],
        ),
        deb_case(
            "forks",
            "for i in $$(seq 300); do sleep 90 & done",
            "build",
            &["more than 200 processes", "raise `limits: {processes"],
        ),
        deb_case(
            "prints",
            "yes millrace",
            "log-limit",
            &["printed more than 4 MiB", "raise `limits: {log"],
        ),
        deb_case(
            "wants-memory",
            "head -c 3G /dev/zero | tail",
            "out-of-memory",
            &["more than 1024 MiB of memory", "raise `limits: {memory"],
        ),
        deb_case(
            "calls-home",
            &connect,
            "build",
            &["failed to build", "/dev/tcp/127.0.0.1"],
        ),
        case(
            "no-dep",
            DEBIAN,
            &deb_with("no-dep", "", "libnothing1", "true"),
            "test",
            "test",
            &["install no-dep", "libnothing1"],
        ),
        case(
            "spec-fails",
            BRIDGE,
            &rpm("spec-fails", "", "echo the linker is sad; exit 3"),
            "build",
            "build",
            &["failed to build", "the linker is sad"],
        ),
        case(
            "no-requirement",
            BRIDGE,
            &rpm("no-requirement", "BuildRequires: libnothing-devel", "true"),
            "build",
            "build-dependencies",
            &["libnothing-devel"],
        ),
    ]
}

/// A build that ends only when it is ended.
fn hangs(machine: &Machine) -> Case {
    Case {
        name: "hangs",
        wish: request(
            DEBIAN,
            "hangs",
            &machine.source("hangs", &deb("hangs", "sleep infinity")),
        ),
        task: "build",
        blame: Blame::Package("timed-out"),
        says: &["ran longer than 60 s", "raise `limits: {minutes"],
    }
}

fn push(machine: &Machine, message: &str, minutes: &str, cases: &[&Case]) {
    machine.write(&[("millrace.yaml", Some(&limits(minutes)))]);
    for case in cases {
        machine.write(&[(&case.path(), Some(&case.wish))]);
    }
    machine.push_all(message, &[]);
}

/// What is wrong with how a case was answered; nothing when all is well.
fn misses(machine: &Machine, case: &Case) -> Vec<String> {
    let path = case.path();
    let phase = machine.settle(&path);
    machine.wait("the status branch", || {
        text(&machine.status_file(&path)["phase"]) == phase
    });
    let (file, told) = (machine.status_file(&path), machine.told(&path));
    let task = find(&file, case.task);
    let (mut subject, mut misses) = (task.clone(), Vec::new());
    let mut expect = |what: &str, is: String, wanted: &str| {
        if is != wanted {
            misses.push(format!("{what} is {is:?}, not {wanted:?}"));
        }
    };
    match case.blame {
        Blame::Package(kind) => {
            expect("phase", phase, "failed");
            expect("fault", text(&task["fault"]), "package");
            expect("kind", text(&task["failure"]["kind"]), kind);
            expect("attempt", task["attempt"].to_string(), "1");
        }
        Blame::Infrastructure => {
            expect("phase", phase, "failed");
            expect("fault", text(&task["fault"]), "infrastructure");
            expect("failure", task["failure"].to_string(), "null");
        }
        Blame::Request => {
            subject = file["problems"].clone();
            expect("tasks", file["tasks"].to_string(), "null");
        }
    }
    let subject = subject.to_string();
    for words in case.says {
        for (place, said) in [("the status file", &subject), ("millrace status", &told)] {
            if !said.contains(words) {
                misses.push(format!("{place} does not say {words:?}"));
            }
        }
    }
    if misses.is_empty() {
        return misses;
    }
    let told = format!("{told}\n{subject}");
    misses.push(told);
    misses
}

#[test]
fn bad_input_is_answered_with_its_cause() {
    let mut machine = Machine::new("bad-input");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("a socket");
    let address = listener.local_addr().expect("an address").to_string();
    machine.use_bridge();
    machine.start();

    let hang = hangs(&machine);
    push(
        &machine,
        "a build that hangs, with a minute for it",
        "1",
        &[&hang],
    );
    machine.wait("the hanging build's plan", || {
        !machine.status(&hang.path()).is_null()
    });
    let mut cases = wrong_requests();
    cases.extend(wrong_sources(&machine));
    cases.extend(wrong_packages(&machine, &address));
    push(
        &machine,
        "all that is wrong",
        "10",
        &cases.iter().collect::<Vec<_>>(),
    );
    cases.push(hang);

    let mut failed = String::new();
    for case in &cases {
        let misses = misses(&machine, case);
        if !misses.is_empty() {
            failed.push_str(&format!("== {}\n{}\n", case.name, misses.join("\n")));
        }
    }
    assert!(failed.is_empty(), "{failed}");
    assert!(
        listener.accept().is_err(),
        "a build reached the host's network"
    );
}

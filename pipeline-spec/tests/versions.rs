//! The order of versions against rpm and dpkg themselves.
#![allow(clippy::disallowed_methods, reason = "the judges are programs")]

use std::cmp::Ordering;
use std::io::Write as _;
use std::process::{Command, Stdio};

use pipeline_spec::version::{DebVersion, Evr, Nevra, rpmvercmp};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

const RPM_PAIRS: usize = 4000;
/// dpkg is started up to twice for each pair.
const DPKG_PAIRS: usize = 800;

/// Texts made of few pieces, so that pairs share long beginnings and differ where it is hard.
fn text(pieces: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(pieces), 0..7).prop_map(|parts| parts.concat())
}

fn rpm_text() -> impl Strategy<Value = String> {
    text(&[
        "0", "1", "9", "10", "01", "a", "b", "Z", "rc", ".", "_", "+", "~", "^", "~", "^", ".",
    ])
}

fn deb_text() -> impl Strategy<Value = String> {
    text(&[
        "0", "1", "9", "10", "01", "a", "b", "Z", "rc", ".", "+", "~", "-", "~", ".",
    ])
}

/// Pairs of drawn versions. Every fourth is a version and another spelling of it.
fn pairs(strategy: impl Strategy<Value = String>, count: usize) -> Vec<(String, String)> {
    let mut runner = TestRunner::deterministic();
    let mut draw = || {
        let tree = strategy.new_tree(&mut runner).expect("few are rejected");
        tree.current()
    };
    let mut pair = |i: usize| {
        let a = draw();
        let b = if i.is_multiple_of(4) {
            a.replace('1', "01")
        } else {
            draw()
        };
        (a, b)
    };
    (0..count).map(&mut pair).collect()
}

fn sign(order: Ordering) -> String {
    (order as i8).to_string()
}

/// Runs a judge with `input` on its standard input; the answer is one line for each pair.
fn ask(program: &str, debian_package: &str, args: &[&str], input: &str) -> Vec<String> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| {
            panic!("{program} does not start ({e}): apt-get install {debian_package}")
        });
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("the judge ends");
    writer
        .join()
        .expect("no panic")
        .expect("the judge reads everything");
    assert!(output.status.success(), "{program} failed: {output:?}");
    String::from_utf8(output.stdout)
        .expect("UTF-8")
        .lines()
        .map(str::to_owned)
        .collect()
}

fn compare(
    pairs: &[(String, String)],
    ours: impl Fn(&String, &String) -> Ordering,
    theirs: &[String],
) {
    assert_eq!(theirs.len(), pairs.len(), "the judge answers every pair");
    for ((a, b), theirs) in pairs.iter().zip(theirs) {
        assert_eq!(&sign(ours(a, b)), theirs, "{a:?} against {b:?}");
        assert_eq!(
            ours(b, a),
            ours(a, b).reverse(),
            "{a:?} against {b:?}, turned round"
        );
    }
    let equal = theirs.iter().filter(|t| *t == "0").count();
    assert!(
        equal > pairs.len() / 100,
        "too few equal pairs ({equal}) to mean something"
    );
}

/// rpm reads pairs of lines and prints -1, 0 or 1.
const RPM_JUDGE: &str = "%{lua:
    local a = io.read('l')
    while a do
        local b = io.read('l')
        print(rpm.vercmp(a, b) .. '\\n')
        a = io.read('l')
    end
}";

fn ask_rpm(pairs: &[(String, String)]) -> Vec<String> {
    let input: String = pairs.iter().map(|(a, b)| format!("{a}\n{b}\n")).collect();
    let lines = ask("rpm", "rpm", &["--eval", RPM_JUDGE], &input);
    lines.into_iter().filter(|line| !line.is_empty()).collect()
}

#[test]
fn versions_are_ordered_as_rpm_orders_them() {
    let version = rpm_text().prop_map(|text| format!("1{text}"));
    let pairs = pairs(version, RPM_PAIRS);
    compare(&pairs, |a, b| rpmvercmp(a, b), &ask_rpm(&pairs));
}

#[test]
fn evrs_are_ordered_as_rpm_orders_them() {
    let epoch = prop::sample::select(&["", "0:", "1:", "10:"][..]);
    let evr = (epoch, "[01]", rpm_text(), "[01]", rpm_text())
        .prop_map(|(epoch, v, version, r, release)| format!("{epoch}{v}{version}-{r}{release}"));
    let pairs = pairs(evr, RPM_PAIRS);
    let parse = |text: &String| text.parse::<Evr>().expect(text);
    compare(&pairs, |a, b| parse(a).cmp(&parse(b)), &ask_rpm(&pairs));
}

#[test]
fn debian_versions_are_ordered_as_dpkg_orders_them() {
    const JUDGE: &str = r#"while read -r a && read -r b; do
        if dpkg --compare-versions "$a" lt "$b"; then echo -1
        elif dpkg --compare-versions "$a" eq "$b"; then echo 0
        else echo 1
        fi
    done"#;
    let epoch = prop::sample::select(&["", "0:", "1:", "10:"][..]);
    let version = (epoch, "[01]", deb_text())
        .prop_map(|(epoch, first, text)| format!("{epoch}{first}{text}"))
        .prop_filter("dpkg wants a revision after the last -", |text| {
            !text.ends_with('-')
        });
    let pairs = pairs(version, DPKG_PAIRS);
    let parse = |text: &String| text.parse::<DebVersion>().expect(text);
    let input: String = pairs.iter().map(|(a, b)| format!("{a}\n{b}\n")).collect();
    let theirs = ask("sh", "dpkg", &["-c", JUDGE], &input);
    compare(&pairs, |a, b| parse(a).cmp(&parse(b)), &theirs);
}

#[test]
fn versions_keep_their_text() {
    fn check<T: std::str::FromStr + ToString>(text: &str, expect: Option<&str>) {
        let shown = text.parse::<T>().ok().map(|version| version.to_string());
        assert_eq!(shown.as_deref(), expect, "{text}");
    }
    check::<Evr>("3.2.2-16.el10_0.alma.1", Some("3.2.2-16.el10_0.alma.1"));
    check::<Evr>("0:1.0-1", Some("1.0-1"));
    check::<Evr>("2:1.0~rc1-1", Some("2:1.0~rc1-1"));
    check::<Evr>("1.0", Some("1.0"));
    check::<Evr>("", None);
    check::<Evr>("1.0-", None);
    check::<Evr>("-1", None);
    check::<Evr>("x:1.0-1", None);
    check::<Evr>("99999999999:1-1", None);
    check::<Evr>("1.0 -1", None);
    check::<Nevra>(
        "openssl-libs-1:3.2.2-16.el10.x86_64",
        Some("openssl-libs-1:3.2.2-16.el10.x86_64"),
    );
    check::<Nevra>("nss-3.101-1.src", Some("nss-3.101-1.src"));
    check::<Nevra>("nss.src", None);
    check::<Nevra>("nss-3.101-1", None);
    check::<DebVersion>("1:3.0.15-1+deb12u1", Some("1:3.0.15-1+deb12u1"));
    check::<DebVersion>("0:2.10-3", Some("2.10-3"));
    check::<DebVersion>("0:1:2", Some("0:1:2"));
    check::<DebVersion>("1.0-", None);
    check::<DebVersion>("v1.0", None);
    check::<DebVersion>("-1:1.0", None);
    check::<DebVersion>("4294967296:1.0", None);
    check::<DebVersion>("1.0_1", None);
}

proptest! {
    #[test]
    fn any_text_is_compared_and_any_version_reads_back(a in ".{0,20}", b in ".{0,20}") {
        prop_assert_eq!(rpmvercmp(&a, &b), rpmvercmp(&b, &a).reverse());
        if let Ok(evr) = a.parse::<Evr>() {
            prop_assert_eq!(evr.to_string().parse::<Evr>().ok(), Some(evr));
        }
        if let Ok(version) = a.parse::<DebVersion>() {
            prop_assert_eq!(version.to_string().parse::<DebVersion>().ok(), Some(version));
        }
    }
}

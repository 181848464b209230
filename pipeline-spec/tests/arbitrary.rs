//! Strangers' bytes: no panic, bounded work, and places that exist.

mod common;

use pipeline_spec::limits::MAX_DIAGNOSTICS_PER_FILE;
use pipeline_spec::{Color, Config, Diagnostic, RequestPath, parse_build, parse_release};
use proptest::prelude::*;

fn path(text: &str) -> RequestPath {
    text.parse().expect("a request path")
}

/// Reads the same bytes as every kind of file.
fn read_as_everything(bytes: &[u8]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    found.extend(
        parse_build(&path("builds/2026/11/x.yaml"), bytes)
            .err()
            .into_iter()
            .flatten(),
    );
    found.extend(
        parse_release(&path("releases/2026/11/x.yaml"), bytes)
            .err()
            .into_iter()
            .flatten(),
    );
    let places = [
        "millrace.yaml",
        "policy.yaml",
        "platforms/x.yaml",
        "flavors/x.yaml",
        "repositories/x.yaml",
        "keys/x.yaml",
        "keys/x.asc",
        "runners/x.yaml",
    ];
    for place in places {
        found.extend(Config::load([(place, bytes)]).1);
    }
    found
}

fn sound(found: &[Diagnostic]) {
    for d in found {
        assert!(d.line >= 1 && d.column >= 1 && d.length >= 1, "{d:?}");
        assert!(!d.message.is_empty() && !d.help.is_empty(), "{d:?}");
        assert!(d.render(Color::Always).lines().count() >= 3, "{d:?}");
        assert!(
            !d.render(Color::Never)
                .contains(|c: char| c.is_control() && c != '\n'),
            "{d:?}"
        );
    }
    assert!(found.len() <= MAX_DIAGNOSTICS_PER_FILE * 10);
}

/// The words of the language in no order: deeper into the decoders than bytes come.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "reason",
        "platforms",
        "packages",
        "source",
        "git",
        "ref",
        "srpm",
        "sha256",
        "on",
        "after",
        "from",
        "to",
        "format",
        "rpm",
        "deb",
        "architectures",
        "repos",
        "keys",
        "roles",
        ": ",
        ": ",
        ": ",
        "\n",
        "\n",
        "\n  ",
        "\n  - ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        "\"",
        "'",
        "|",
        ">",
        "&a ",
        "*a",
        "<<",
        "!!str ",
        "#",
        "no",
        "~",
        "1",
        "0777",
        "x86_64",
        "ü",
        "\t",
        "---\n",
        "? ",
        "%",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 0..60)
        .prop_map(|words| words.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        sound(&read_as_everything(&bytes));
    }

    #[test]
    fn words_never_panic(bytes in soup()) {
        sound(&read_as_everything(&bytes));
    }

    #[test]
    fn damaged_files_never_panic(file in 0usize..64, at in any::<prop::sample::Index>(), cut in 0usize..20, new in ".{0,6}") {
        let tree = common::in_use();
        let (_, bytes) = tree.iter().nth(file % tree.len()).expect("the template has files");
        let start = at.index(bytes.len() + 1);
        let end = (start + cut).min(bytes.len());
        let damaged = [&bytes[..start], new.as_bytes(), &bytes[end..]].concat();
        sound(&read_as_everything(&damaged));
    }
}

/// Inputs that make a careless parser work for minutes. Each is read in well under a second.
#[test]
fn bombs_are_small_work() {
    let check = |name: &str, bytes: Vec<u8>| {
        let found = read_as_everything(&bytes);
        assert!(!found.is_empty(), "{name} was accepted");
        sound(&found);
    };
    let aliases: String = (1..30)
        .map(|i| {
            format!(
                "a{i}: &a{i} [*a{p}, *a{p}, *a{p}, *a{p}, *a{p}, *a{p}]\n",
                p = i - 1
            )
        })
        .collect();
    check("aliases", format!("a0: &a0 [x]\n{aliases}").into_bytes());
    check("depth in brackets", b"[".repeat(500_000));
    check("depth in braces", b"{a: ".repeat(200_000));
    check(
        "depth in lines",
        (0..1000)
            .map(|i| format!("{}a:\n", " ".repeat(i)))
            .collect::<String>()
            .into_bytes(),
    );
    check("many values", b"- x\n".repeat(200_000));
    check("many duplicate keys", b"a: 1\n".repeat(100_000));
    check(
        "many unknown fields",
        (0..49_000)
            .map(|i| format!("f{i}: 1\n"))
            .collect::<String>()
            .into_bytes(),
    );
    check(
        "one long line",
        format!("reason: [{}]\n", "x, ".repeat(300_000)).into_bytes(),
    );
    check(
        "one long name",
        format!("{}: 1\n", "x".repeat(900_000)).into_bytes(),
    );
    check("many comments", b"#\n".repeat(500_000));
}

//! What a ref is right now, asked of servers and of directories.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use fake_forge::{Fault, Server};
use git::{Class, CommitId, Credentials, Error, RemoteUrl, ls_remote};

use crate::support::{TIME, bare_with, fast_import, git, url};

const MINUTE: Duration = Duration::from_secs(60);

fn resolve(url: &RemoteUrl, name: &str) -> git::Result<git::Resolved> {
    ls_remote(url, name, &Credentials::None, MINUTE)
}

struct Site {
    _home: tempfile::TempDir,
    path: PathBuf,
    main: CommitId,
    tagged: CommitId,
    server: Server,
}

/// `main` is ahead of the annotated tag `v1`, the lightweight tag `light` and the branch `debian/1.0-1`.
fn site() -> Site {
    let home = tempfile::tempdir().unwrap();
    let (path, tagged) = bare_with(home.path(), "r.git", &[("a", "1")]);
    for arguments in [
        ["tag", "-a", "-m", "One", "v1", "main"].as_slice(),
        &["tag", "-a", "-m", "Two", "v1-twice", "v1"],
        &["tag", "light", "main"],
        &["branch", "debian/1.0-1", "main"],
        &["branch", "same", "main"],
        &["tag", "same", "main"],
        &["tag", "both", "main"],
    ] {
        git(&path, arguments);
    }
    let main = fast_import(&path, "main", Some(tagged), &[("a", "2")]);
    git(&path, &["branch", "both", "main"]);
    let server = Server::start(home.path());
    Site {
        _home: home,
        path,
        main,
        tagged,
        server,
    }
}

#[test]
fn names() {
    let site = site();
    let id = site.main.to_string();
    let missing = |name: &str| format!("find {name:?} in URL: no branch or tag has this name");
    let cases: &[(&str, String)] = &[
        ("main", format!("refs/heads/main {}", site.main)),
        ("HEAD", format!("HEAD {}", site.main)),
        ("refs/heads/main", format!("refs/heads/main {}", site.main)),
        ("v1", format!("refs/tags/v1 {}", site.tagged)),
        ("refs/tags/v1", format!("refs/tags/v1 {}", site.tagged)),
        ("v1-twice", format!("refs/tags/v1-twice {}", site.tagged)),
        ("light", format!("refs/tags/light {}", site.tagged)),
        ("debian/1.0-1", format!("refs/heads/debian/1.0-1 {}", site.tagged)),
        ("same", format!("refs/tags/same {}", site.tagged)),
        (
            "both",
            "choose \"both\" in URL: refs/tags/both and refs/heads/both are different commits; write one of them in full"
                .to_owned(),
        ),
        (&id, format!(" {id}")),
        ("mai", missing("mai")),
        ("heads/main", missing("heads/main")),
        ("refs/heads/mai", missing("refs/heads/mai")),
        ("a..b", "use the name \"refs/tags/a..b\": git does not allow it as the name of a branch or tag".to_owned()),
        ("", "use the name \"refs/tags/\": git does not allow it as the name of a branch or tag".to_owned()),
        ("x\u{1b}[31m y", "use the name \"refs/tags/x [31m y\": git does not allow it as the name of a branch or tag".to_owned()),
    ];
    let on_disk: RemoteUrl = format!("file://{}", site.path.display()).parse().unwrap();
    let old = Server::old(site.path.parent().unwrap());
    for url in [url(&site.server, "r.git"), url(&old, "r.git"), on_disk] {
        for (name, expect) in cases {
            let got = match resolve(&url, name) {
                Ok(found) => format!("{} {}", found.name.unwrap_or_default(), found.commit),
                Err(error) => error.to_string().replace(url.as_str(), "URL"),
            };
            assert_eq!(&got, expect, "{name:?} in {url}");
        }
    }
}

/// The error for what a server answers to the first request.
fn check_answer(fault: Fault, class: Class, expect: &str) {
    let site = site();
    site.server.once("GET", "info/refs", fault);
    let error = resolve(&url(&site.server, "r.git"), "main").unwrap_err();
    assert_eq!(error.class(), class, "{error}");
    assert!(error.to_string().contains(expect), "{error}");
}

#[test]
fn what_is_wrong_with_a_server() {
    let answer = |status, body: &[u8]| Fault::Answer(status, body.to_vec());
    check_answer(
        answer("404 Not Found", b""),
        Class::User,
        "the server says that it does not exist",
    );
    check_answer(answer("410 Gone", b""), Class::User, "does not exist");
    check_answer(
        answer("401 Unauthorized", b""),
        Class::User,
        "is private and needs credentials",
    );
    check_answer(
        answer("403 Forbidden", b""),
        Class::User,
        "is private and needs credentials",
    );
    check_answer(answer("500 Oops", b""), Class::Transient, "500");
    check_answer(answer("503 Busy", b""), Class::Transient, "503");
    check_answer(answer("429 Slow down", b""), Class::Transient, "429");
    check_answer(
        answer("200 OK\r\nContent-Type: text/html", b"<html>"),
        Class::User,
        "not as a git server",
    );
    check_answer(
        answer("302 Found\r\nLocation: https://127.0.0.1:1/login", b""),
        Class::User,
        "another address",
    );
    let git_type = "200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement";
    check_answer(
        answer(git_type, b"zzzz not a packet"),
        Class::Broken,
        "use the answer",
    );
    check_answer(
        answer(
            git_type,
            b"001e# service=git-upload-pack\n00000028ERR upload-pack: go \x1b[31maway please",
        ),
        Class::Broken,
        "go  [31maway please",
    );
    check_answer(answer(git_type, b""), Class::Transient, "talk to");
    check_answer(Fault::LoseAnswer, Class::Transient, "talk to");
    check_answer(Fault::CutAnswer(20), Class::Transient, "talk to");
}

#[test]
fn what_is_not_there() {
    let site = site();
    let error = resolve(&url(&site.server, "nothing.git"), "main").unwrap_err();
    assert!(matches!(error, Error::RepositoryMissing { .. }), "{error}");
    let error = resolve(&"/nonexistent/r.git".parse().unwrap(), "main").unwrap_err();
    assert!(matches!(error, Error::RepositoryMissing { .. }), "{error}");
    let error = resolve(&"file:///etc".parse().unwrap(), "main").unwrap_err();
    assert!(matches!(error, Error::RepositoryMissing { .. }), "{error}");

    // A port nobody listens on, a name nobody has.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for url in [
        format!("http://{free}/r.git"),
        url(&site.server, "r.git")
            .as_str()
            .replace("http:", "https:"),
        "https://nothing.invalid/r.git".to_owned(),
    ] {
        let error = resolve(&url.parse().unwrap(), "main").unwrap_err();
        assert_eq!(error.class(), Class::Transient, "{error}");
    }
}

#[test]
fn a_server_that_says_nothing() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url: RemoteUrl = format!("http://{}/r.git", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let start = Instant::now();
    let error =
        ls_remote(&url, "main", &Credentials::None, Duration::from_millis(300)).unwrap_err();
    assert_eq!(error.class(), Class::Transient, "{error}");
    assert!(error.to_string().contains("it took longer than"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_server_that_never_stops() {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url: RemoteUrl = format!("http://{}/r.git", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\n\r\n000eversion 2\n",
        );
        let line = format!("fff0{}", "x".repeat(0xfff0 - 4));
        while stream.write_all(line.as_bytes()).is_ok() {}
    });
    let error = resolve(&url, "main").unwrap_err();
    assert!(
        matches!(error, Error::Limit { unit: "bytes", .. }),
        "{error}"
    );
}

#[test]
fn hostile_answers_never_panic() {
    let site = site();
    let git_type = "200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement";
    let lines = [
        "0000",
        "0001",
        "0003",
        "0004",
        "0005\n",
        "ffff",
        "000eversion 2\n0000",
        "0008ERR ",
        "0010\0\0\0\0\0\0\0\0\0\0\0\0",
    ];
    let hello = b"001e# service=git-upload-pack\n0000000eversion 2\n000cls-refs\n0000".to_vec();
    let result_type = "200 OK\r\nContent-Type: application/x-git-upload-pack-result";
    for first in lines {
        for second in lines {
            let body = format!("001e# service=git-upload-pack\n0000{first}{second}").into_bytes();
            let site = Server::start(&site.path);
            site.once("GET", "info/refs", Fault::Answer(git_type, body));
            assert!(
                resolve(&url(&site, "r.git"), "main").is_err(),
                "{first:?} {second:?}"
            );
            let body = format!("{first}{second}").into_bytes();
            site.once("GET", "info/refs", Fault::Answer(git_type, hello.clone()));
            site.once("POST", "upload-pack", Fault::Answer(result_type, body));
            assert!(
                resolve(&url(&site, "r.git"), "main").is_err(),
                "{first:?} {second:?}"
            );
        }
    }
}

#[test]
fn a_tag_of_something_else() {
    let site = site();
    let blob = git(&site.path, &["rev-parse", "main:a"]);
    git(&site.path, &["tag", "blob", &blob]);
    let on_disk: RemoteUrl = site.path.to_str().unwrap().parse().unwrap();
    for url in [url(&site.server, "r.git"), on_disk] {
        // A server does not say what kind of object it is; whoever reads it is told.
        let found = resolve(&url, "blob").unwrap();
        assert_eq!(found.commit.to_string(), blob);
        let into = tempfile::tempdir().unwrap();
        let limits = git::Limits {
            files: 10,
            bytes: 100,
            fetch_bytes: 10_000,
            time: MINUTE,
        };
        let error = git::checkout(
            &url,
            found.commit,
            &into.path().join("x"),
            &Credentials::None,
            &limits,
        )
        .unwrap_err();
        assert!(error.to_string().contains("commit"), "{error}");
    }
    assert_eq!(
        git(&site.path, &["log", "-1", "--format=%ct", "main"]),
        TIME.to_string()
    );
}

//! What a build can see and do.

use std::net::TcpListener;

use sandbox::{Command, Ended, Owner};

use crate::stage::{build, own_state, run, workspace};

const ROOT: &str = "bin\nbuild\ndev\netc\nproc\nroot\nsuid\ntmp\nvar";

/// Runs a script as a build; its output must be exactly `expect`.
async fn check(script: &str, expect: &str) {
    let (ended, log) = run(&workspace().await, &build(script)).await;
    assert_eq!(log.trim_end(), expect, "{script}: {ended}");
}

/// Runs a script as a build; it must fail and say `words`.
async fn refused(script: &str, words: &str) {
    let (ended, log) = run(&workspace().await, &build(script)).await;
    assert!(
        !ended.success() && log.contains(words),
        "{script}: {ended}: {log}"
    );
}

#[tokio::test]
async fn a_build_sees_its_root_and_nothing_of_the_host() {
    check("ls / | grep -v ^lib", ROOT).await;
    check(
        "ls /etc /root /tmp /build /var",
        "/build:\n\n/etc:\ngroup\npasswd\n\n/root:\n\n/tmp:\n\n/var:\ntmp",
    )
    .await;
    check(
        "ls /dev",
        "core\nfd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero",
    )
    .await;
    check("env | sort", "HOME=/build\nLANG=C.UTF-8\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nPWD=/build\nSHLVL=1")
        .await;
    let open = "for fd in /proc/1/fd/* /proc/self/fd/*; do readlink $fd; done";
    check(
        &format!("{open} | grep -v -e pipe: -e eventfd -e /dev/null -e ^/proc/; true"),
        "",
    )
    .await;
    check(
        "hostname; whoami; id -u; id -G",
        "millrace\nbuild\n1000\n1000",
    )
    .await;
}

#[tokio::test]
async fn a_marked_file_of_the_host_is_nowhere_inside() {
    let directory = own_state();
    let name = "seen-by-the-host-only";
    std::fs::write(directory.path().join(name), "x").expect("a file");
    check(&format!("find / -name {name} 2>/dev/null; true"), "").await;
    let path = std::fs::canonicalize(directory.path()).expect("a path");
    check(
        &format!(
            "grep -F '{}' /proc/self/mountinfo; true",
            path.parent().expect("a parent").display()
        ),
        "",
    )
    .await;
}

#[tokio::test]
async fn a_build_sees_no_process_but_its_own() {
    check("set -- /proc/[0-9]*; echo $#; cat /proc/1/comm", "2\nbwrap").await;
}

#[tokio::test]
async fn a_build_has_no_network_and_a_preparation_has() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    let connect = format!("nc -w 2 127.0.0.1 {port} </dev/null");
    refused(&connect, "refused").await;
    refused("nslookup deb.debian.org", "").await;
    refused("ping -c 1 -w 1 192.0.2.1", "").await;
    check("ip -o link | cut -d: -f2", " lo").await;
    let answer = std::thread::spawn(move || drop(listener.accept()));
    let prepare = Command::prepare(["sh", "-c", &connect]);
    let (ended, log) = run(&workspace().await, &prepare).await;
    assert_eq!(ended, Ended::Exited(0), "{log}");
    answer.join().expect("a connection");
    let offline = prepare.network(sandbox::Network::None);
    assert!(!run(&workspace().await, &offline).await.0.success());
}

#[tokio::test]
async fn a_build_gains_no_privileges() {
    check("grep -e ^Cap -e NoNewPrivs /proc/self/status | tr '\\t' ' ' | grep -v CapBnd", "CapInh: 0000000000000000\nCapPrm: 0000000000000000\nCapEff: 0000000000000000\nCapAmb: 0000000000000000\nNoNewPrivs: 1").await;
    // Set-user-id in the root, and still nobody.
    check("stat -c %a /suid/su", "4755").await;
    refused("/suid/su -c id", "must be suid").await;
    refused("mount -t tmpfs none /tmp", "denied").await;
    refused("mount -o remount,rw /", "denied").await;
    refused("chroot / id", "not permitted").await;
    refused("unshare -r id", "unshare").await;
    refused("unshare -m id", "not permitted").await;
    refused("mknod /build/null c 1 3", "not permitted").await;
    refused("echo 1 >/proc/sys/kernel/panic", "").await;
    // The first process of its namespace is bwrap: it cannot be ended, and its root is the build's.
    let other = "for name in $(ls /proc/1/root/ 2>/dev/null); do [ -e /$name ] || echo $name; done";
    check(&format!("kill -9 1 2>/dev/null; {other}"), "").await;
}

#[tokio::test]
async fn a_build_writes_only_where_it_may() {
    for path in [
        "/x",
        "/etc/x",
        "/bin/x",
        "/var/x",
        "/root/x",
        "/dev/x",
        "/proc/x",
        "/etc/passwd",
    ] {
        refused(&format!("echo x >{path}"), "").await;
    }
    check(
        "for d in /build /tmp /var/tmp /dev/shm; do echo x >$d/x && stat -c '%a %n' $d; done",
        "755 /build\n1777 /tmp\n1777 /var/tmp\n1777 /dev/shm",
    )
    .await;
}

#[tokio::test]
async fn a_writable_directory_stays_and_the_temporary_ones_do_not() {
    let workspace = workspace().await;
    let command = build(
        "echo one >/build/file; echo two >/tmp/file; ln -s /proc /build/link; mkdir /build/sub",
    );
    assert!(run(&workspace, &command).await.0.success());
    assert_eq!(
        run(&workspace, &build("cat /build/file; ls -A /tmp /var/tmp"))
            .await
            .1,
        "one\n/tmp:\n\n/var/tmp:\n"
    );
    let names: Vec<_> = workspace
        .list("/build")
        .await
        .expect("a listing")
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    assert_eq!(names, ["file", "link", "sub"]);
    assert_eq!(
        workspace.read("/build/file", 10).await.expect("a file"),
        b"one\n"
    );
}

#[tokio::test]
async fn traps_that_a_build_leaves_are_refused() {
    let workspace = workspace().await;
    let traps = "ln -s /etc/passwd secret; ln -s / root; mkfifo pipe; dd if=/dev/zero of=big bs=1k count=9 2>/dev/null; mkdir directory";
    assert!(run(&workspace, &build(traps)).await.0.success());
    let cases = [
        ("/build/secret", "a symbolic link is in the way"),
        ("/build/root/etc/passwd", "a symbolic link is in the way"),
        ("/build/pipe", "it is not a regular file"),
        ("/build/directory", "it is not a regular file"),
        ("/build/big", "it has 9216 bytes, more than the 100 allowed"),
        ("/build/none", "No such file or directory"),
    ];
    for (path, words) in cases {
        let error = workspace.read(path, 100).await.expect_err(path).to_string();
        assert!(error.contains(words) && error.contains(path), "{error}");
    }
    // Neither does a later command's mount follow them.
    let escape = build("true").writable("/build/root/etc");
    let error = workspace
        .run(
            &escape,
            &crate::stage::limits(),
            &mut Vec::new(),
            &sandbox::CancellationToken::new(),
        )
        .await;
    let error = error.expect_err("a link is in the way").to_string();
    assert!(
        error.contains("symbolic link") || error.contains("Not a directory"),
        "{error}"
    );
    // A path with dots stays inside.
    let inside = workspace
        .read("/../../../../etc/passwd", 1000)
        .await
        .expect("the root's own file");
    assert!(inside.starts_with(b"root:x:0:0::/root:/bin/sh\nbuild:x:1000"));
}

#[tokio::test]
async fn files_go_in_and_out() {
    let workspace = workspace().await;
    workspace
        .write(
            "/build/in/run",
            0o755,
            Owner::Build,
            b"#!/bin/sh\necho ran\n",
        )
        .await
        .expect("a file");
    workspace
        .write("/etc/config", 0o644, Owner::Root, b"fixed\n")
        .await
        .expect("a file");
    workspace
        .write("/etc/config", 0o640, Owner::Root, b"again\n")
        .await
        .expect("a file");
    let script = "in/run >out; stat -c '%a %U' in in/run; echo x >/etc/config";
    assert!(
        run(&workspace, &build(script))
            .await
            .1
            .starts_with("755 build\n755 build\n")
    );
    assert_eq!(
        workspace.read("/etc/config", 100).await.expect("a file"),
        b"again\n"
    );
    let target = own_state();
    let path = target.path().join("out");
    assert_eq!(
        workspace
            .copy_out("/build/out", &path, 100)
            .await
            .expect("a copy"),
        4
    );
    assert_eq!(std::fs::read(&path).expect("the copy"), b"ran\n");
    workspace
        .copy_out("/build/out", &path, 100)
        .await
        .expect_err("the target exists");
}

#[tokio::test]
async fn a_preparation_is_root_inside_and_nobody_outside() {
    let workspace = workspace().await;
    let script =
        "touch /made && chown 42:42 /made && chmod 4755 /made && stat -c '%u %g %a' /made; id -u
        mount -t tmpfs none /tmp 2>/dev/null || echo no mount; cat /proc/self/uid_map | wc -l";
    let (_, log) = run(&workspace, &Command::prepare(["sh", "-c", script])).await;
    assert_eq!(log, "42 42 4755\n0\nno mount\n1\n");
    let directory = own_state();
    let file = directory.path().join("private");
    std::fs::write(&file, "x").expect("a file");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .expect("a mode");
    let script = "cat /bound/private; echo x >/bound/new; ls /etc/shadow /home";
    let command =
        Command::prepare_on_host(["sh", "-c", script]).bind_read_only(directory.path(), "/bound");
    let (ended, log) = run(&workspace, &command).await;
    assert!(
        !ended.success() && log.matches("Permission denied").count() == 1,
        "{log}"
    );
    assert!(
        log.contains("Read-only") && log.matches("No such file").count() == 2,
        "{log}"
    );
}

#[tokio::test]
async fn a_program_that_is_not_there_is_our_error() {
    let command = Command::build(["no-such-program"]);
    let ended = workspace()
        .await
        .run(
            &command,
            &crate::stage::limits(),
            &mut Vec::new(),
            &sandbox::CancellationToken::new(),
        )
        .await;
    let error = ended.expect_err("nothing to run").to_string();
    assert!(
        error.contains("no-such-program: No such file or directory"),
        "{error}"
    );
}

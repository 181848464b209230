//! An emulator starts, answers, and ends with whoever started it.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(clippy::disallowed_methods, reason = "it waits for a process")]

use std::net::TcpStream;
use std::time::{Duration, Instant};

use emulator::{Emulator, Kind};

#[test]
fn it_answers_and_ends() {
    let emulator = Emulator::start(Kind::Ministack).unwrap();
    let endpoint = emulator.endpoint();
    let address = endpoint.strip_prefix("http://").unwrap();
    TcpStream::connect(address).unwrap();
    drop(emulator);
    assert!(TcpStream::connect(address).is_err(), "it listens still");
}

/// The pipe is all that holds it: what closes the pipe is also the kernel, after `kill -9`.
#[test]
fn it_ends_with_its_pipe() {
    let mut emulator = Emulator::start(Kind::Ministack).unwrap();
    let endpoint = emulator.endpoint();
    let address = endpoint.strip_prefix("http://").unwrap();
    emulator.let_go();
    let end = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < end, "it outlives its pipe");
        std::thread::sleep(Duration::from_millis(20));
    }
}

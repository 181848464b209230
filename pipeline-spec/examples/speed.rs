//! How fast requests are read: `cargo run --release -p pipeline-spec --example speed`.
#![allow(clippy::disallowed_methods, reason = "it measures")]

use std::time::Instant;

const REQUESTS: u32 = 20_000;

fn main() {
    let text = "reason: CVE-2026-1234\nplatforms:\n  almalinux-10: [x86_64, aarch64, ppc64le]\n  debian-12:\npackages:\n  \
        - source: {git: \"https://git.example.org/rpms/openssl.git\", ref: a10}\n    on: [almalinux-10]\n  \
        - source: {git: \"https://git.example.org/debian/openssl.git\", ref: debian/3.0.15-1}\n    on: [debian-12]\n    \
        options: {profiles: [nocheck]}\n";
    let path = "builds/2026/11/openssl-fix.yaml".parse().expect("a path");
    let start = Instant::now();
    for _ in 0..REQUESTS {
        let request = pipeline_spec::parse_build(&path, text).expect("valid");
        std::hint::black_box(request);
    }
    let rate = f64::from(REQUESTS) / start.elapsed().as_secs_f64();
    println!("{rate:.0} build requests of {} bytes a second", text.len());
}

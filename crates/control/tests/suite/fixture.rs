//! Requests for the small distribution that every test has.

pub(crate) use memory::CONFIG;

pub(crate) const APP: &str = "builds/2026/11/app.yaml";
pub(crate) const RELEASE: &str = "releases/2026/11/app.yaml";

/// A build request of `packages` for the RPM platform.
pub(crate) fn build(packages: &[&str]) -> String {
    build_on("el-10:", packages)
}

pub(crate) fn build_on(platform: &str, packages: &[&str]) -> String {
    let mut text = format!("reason: a test\nplatforms:\n  {platform}\npackages:\n");
    for name in packages {
        let url = url(name);
        text.push_str(&format!("  - source: {{git: \"{url}\", ref: main}}\n"));
    }
    text
}

pub(crate) fn url(package: &str) -> String {
    format!("https://git.example.org/{package}.git")
}

/// A release of `from` to `to`.
pub(crate) fn release(from: &[&str], to: &[&str]) -> String {
    format!("from: [{}]\nto: [{}]\n", from.join(", "), to.join(", "))
}

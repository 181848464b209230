//! The frame of every page, and text for HTML. One file each, nothing from elsewhere.

use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use pipeline_spec::Priority;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("page.js");
/// Only what this server sends, and no script but its own.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A page of the distribution `name`, about `subject`; empty: about all. `aside` and `body` are HTML
/// already.
pub(crate) fn page(name: &str, subject: &str, aside: &str, body: &str) -> Response {
    let title = match subject {
        "" => name.to_owned(),
        subject => format!("{subject} – {name}"),
    };
    let html = format!(
        "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n\
         <meta name=viewport content=\"width=device-width, initial-scale=1\">\n\
         <noscript><meta http-equiv=refresh content=5></noscript>\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n\
         <header><h1><a href=\"/\">{name}</a></h1> <span class=lost></span> <span class=\"dim right\">{aside}</span></header>\n\
         <main>\n{body}</main>\n<script src=\"/page.js\"></script>\n</html>\n",
        title = escape(&title),
        name = escape(name),
    );
    let mut response = Html(html).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(crate) async fn script() -> Response {
    (
        [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")],
        SCRIPT,
    )
        .into_response()
}

/// Text for HTML, inside and outside of attributes.
/// A priority behind the name of a request, where it is not the normal one.
pub(crate) fn priority(priority: Priority) -> String {
    if priority.is_normal() {
        return String::new();
    }
    format!(" <span class=dim>({priority})</span>")
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// `90` → `1 min 30 s`.
pub(crate) fn duration(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{} s", seconds.max(0)),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// A commit's first digits.
pub(crate) fn short(commit: &str) -> String {
    escape(commit.get(..12).unwrap_or(commit))
}

/// How people read a task's state.
pub(crate) fn word(state: &str) -> &str {
    match state {
        "leased" => "running",
        "ready" => "waiting",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_people_say_them() {
        let check = |seconds: i64, expect: &str| assert_eq!(duration(seconds), expect);
        check(-3, "0 s");
        check(59, "59 s");
        check(90, "1 min 30 s");
        check(3_725, "1 h 2 min");
    }
}

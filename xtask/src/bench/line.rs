//! One line: what is measured, ours, the peer's or the limit, the ratio, and whether it is met.

use std::fmt;

use serde_json::{Value, json};

/// A figure beside what it is held against.
pub(crate) struct Line {
    what: String,
    ours: f64,
    unit: &'static str,
    /// The peer's name, or nothing when the other figure is a fixed limit.
    peer: Option<&'static str>,
    other: f64,
    /// How many times the other figure ours may be.
    most: f64,
    /// For speeds more is better: then `most` is a least.
    better: Better,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Better {
    Less,
    More,
}

impl Line {
    /// Ours must be below a fixed limit.
    pub(crate) fn below(
        what: impl Into<String>,
        ours: f64,
        unit: &'static str,
        limit: f64,
    ) -> Self {
        Self {
            what: what.into(),
            ours,
            unit,
            peer: None,
            other: limit,
            most: 1.0,
            better: Better::Less,
        }
    }

    /// Ours must be a fixed limit at least.
    pub(crate) fn least(
        what: impl Into<String>,
        ours: f64,
        unit: &'static str,
        limit: f64,
    ) -> Self {
        Self {
            better: Better::More,
            ..Self::below(what, ours, unit, limit)
        }
    }

    /// Ours must be at most `most` times what a peer needs in the same run.
    pub(crate) fn beside(
        what: impl Into<String>,
        (ours, other, unit): (f64, f64, &'static str),
        peer: &'static str,
        most: f64,
    ) -> Self {
        Self {
            peer: Some(peer),
            most,
            ..Self::below(what, ours, unit, other)
        }
    }

    fn ratio(&self) -> f64 {
        self.ours / self.other
    }

    pub(crate) fn met(&self) -> bool {
        match self.better {
            Better::Less => self.ratio() <= self.most,
            Better::More => self.ratio() >= self.most,
        }
    }

    pub(crate) fn json(&self) -> Value {
        let word = if self.met() { "met" } else { "missed" };
        json!({
            "what": self.what, "ours": self.ours, "unit": self.unit,
            "against": self.peer.unwrap_or("limit"), "other": self.other,
            "ratio": self.ratio(), "limit_ratio": self.most,
            "better": match self.better { Better::Less => "less", Better::More => "more" },
            "verdict": word,
        })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.met() { "met" } else { "MISSED" };
        let (ours, other, unit) = (figure(self.ours), figure(self.other), self.unit);
        let bound = match self.better {
            Better::Less => "at most",
            Better::More => "at least",
        };
        write!(out, "{word:<7} {:<58} {ours:>9} {unit:<4} ", self.what)?;
        match self.peer {
            Some(peer) => write!(
                out,
                "{:>6.2} x {peer}'s {other} {unit}, {bound} {}",
                self.ratio(),
                figure(self.most)
            ),
            None => write!(
                out,
                "{:>6.2} x the limit, {bound} {other} {unit}",
                self.ratio()
            ),
        }
    }
}

/// Three digits that say something.
fn figure(value: f64) -> String {
    let digits = match value.abs() {
        large if large >= 100.0 => 0,
        middle if middle >= 10.0 => 1,
        small if small >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &Line, met: bool, expect: &str) {
        let words: Vec<String> = line
            .to_string()
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        assert_eq!(words.join(" "), expect);
        assert_eq!(line.met(), met);
        assert_eq!(line.json()["verdict"] == "met", met);
    }

    #[test]
    fn lines_say_whether_they_are_met() {
        check(
            &Line::below("a root", 120.0, "ms", 500.0),
            true,
            "met a root 120 ms 0.24 x the limit, at most 500 ms",
        );
        check(
            &Line::least("tasks", 100.0, "/s", 120.0),
            false,
            "MISSED tasks 100 /s 0.83 x the limit, at least 120 /s",
        );
        check(
            &Line::beside("500 files", (90.0, 25.0, "ms"), "git", 3.0),
            false,
            "MISSED 500 files 90 ms 3.60 x git's 25 ms, at most 3",
        );
        check(
            &Line::beside("a signature", (0.5, 0.5, "ms"), "rpmsign", 1.0),
            true,
            "met a signature 0.5 ms 1.00 x rpmsign's 0.5 ms, at most 1",
        );
    }
}

//! The numbers of `docs/explanation/cost.md`, as Markdown.

use crate::amounts::Assumptions;
use crate::estimate::{Estimate, MASS_BUILDS, Work, idle_month, mass_rebuild, of_request};
use crate::fixed::Shape;
use crate::measured::{Job, Measured};
use crate::prices::PRICES;
use crate::usage::{Actor, Usage};

/// A build of one package for one architecture: source, build and test.
const ONE_BUILD: Work = Work {
    builds: 1,
    around: 2,
    release: 0,
};
/// Actors in the order of the table, with what they are called there.
const ACTORS: [(Actor, &str); 7] = [
    (Actor::RunnerApi, "runner-api"),
    (Actor::Collect, "collect"),
    (Actor::Plan, "plan"),
    (Actor::Dispatch, "dispatch"),
    (Actor::Report, "report"),
    (Actor::Mappings, "queues that start functions"),
    (Actor::Runners, "*runners, to queues and store*"),
];

/// All tables.
pub fn tables(measured: &Measured, assumed: &Assumptions) -> String {
    [
        requests(measured),
        by_the_minute(measured),
        dollars(measured, assumed),
        idle(measured, assumed),
        prices(),
    ]
    .join("\n")
}

/// US dollars as people read them: two digits that say something, whole ones from 100 on.
pub fn money(dollars: f64) -> String {
    if dollars == 0.0 {
        return "$0".to_owned();
    }
    let magnitude = dollars.abs().log10().floor();
    let digits = if dollars >= 100.0 {
        0.0
    } else {
        (1.0 - magnitude).clamp(2.0, 9.0)
    };
    format!("${dollars:.*}", digits as usize)
}

fn requests(measured: &Measured) -> String {
    let mut jobs: Vec<(String, &Job)> = measured
        .builds
        .iter()
        .map(|job| (build(job), job))
        .collect();
    jobs.push((
        format!(
            "{}, {} at once",
            build(&measured.mass),
            measured.mass.at_once
        ),
        &measured.mass,
    ));
    jobs.push(("release to two repositories".to_owned(), &measured.release));
    let mut text = String::from("### Requests for a task\n\n|  |");
    for (name, job) in &jobs {
        text.push_str(&format!(" {name}: {} tasks |", job.tasks));
    }
    text.push_str("\n|---|");
    text.push_str(&"--:|".repeat(jobs.len()));
    text.push('\n');
    let mut row = |name: &str, value: &dyn Fn(&Job) -> f64| {
        text.push_str(&format!("| {name} |"));
        for (_, job) in &jobs {
            text.push_str(&format!(" {:.1} |", value(job) / job.tasks as f64));
        }
        text.push('\n');
    };
    row("**control plane**", &|job| {
        job.usage.control_plane_requests() as f64
    });
    for (actor, name) in ACTORS {
        row(name, &|job| of(&job.usage, actor) as f64);
    }
    row("starts of functions", &|job| job.usage.invocations() as f64);
    row("calls of the HTTP API", &|job| job.usage.api_calls() as f64);
    row("read units", &|job| job.usage.read_units as f64);
    row("write units", &|job| job.usage.write_units as f64);
    text
}

fn build(job: &Job) -> String {
    format!("{} × {}", job.packages, job.architectures)
}

fn of(usage: &Usage, actor: Actor) -> u64 {
    usage.by.get(&actor).map_or(0, crate::Started::total)
}

fn by_the_minute(measured: &Measured) -> String {
    let mut text = String::from(
        "### Requests by the clock\n\n| what | requests | read units | write units |\n|---|--:|--:|--:|\n",
    );
    for (what, usage) in [
        ("a heartbeat", &measured.heartbeat),
        ("a piece of a log", &measured.log_piece),
        (
            "20 seconds of a runner that waits at its two queue names, by itself",
            &measured.poll,
        ),
        ("a sweep, nothing open", &measured.sweep),
        (
            "a sweep, one request of 250 tasks open",
            &measured.open_request,
        ),
    ] {
        let requests: u64 = usage.by.values().map(crate::Started::total).sum();
        let (reads, writes) = (usage.read_units, usage.write_units);
        text.push_str(&format!("| {what} | {requests} | {reads} | {writes} |\n"));
    }
    text
}

/// What stands in a column of an estimate.
type Cell = fn(&Estimate) -> String;

fn dollars(measured: &Measured, assumed: &Assumptions) -> String {
    let one = of_request(ONE_BUILD, measured, assumed);
    let mass = mass_rebuild(measured, assumed);
    let mut text = String::from("### Dollars\n\n");
    text.push_str(&format!(
        "|  | a build with its source and test | {} builds with theirs |\n",
        thousands(MASS_BUILDS)
    ));
    text.push_str("|---|--:|--:|\n");
    let rows: [(&str, Cell); 7] = [
        ("tasks", |it| thousands(it.tasks)),
        ("requests, from plan to done", |it| {
            thousands(it.requests as u64)
        }),
        ("requests by the clock", |it| {
            thousands(it.requests_by_the_minute as u64)
        }),
        ("control plane", |it| money(it.control_plane)),
        ("machines", |it| money(it.machines)),
        ("a month of what it leaves", |it| money(it.storage_a_month)),
        ("**together**", |it| money(it.dollars())),
    ];
    for (what, value) in rows {
        text.push_str(&format!(
            "| {what} | {} | {} |\n",
            value(&one),
            value(&mass)
        ));
    }
    text
}

fn idle(measured: &Measured, assumed: &Assumptions) -> String {
    let shape = Shape::minimal();
    let mut text = format!(
        "### A month in which nothing happens\n\n| of the example {} | a month |\n|---|--:|\n",
        shape.name
    );
    let mut sum = 0.0;
    for line in idle_month(&shape, measured, assumed) {
        sum += line.dollars;
        text.push_str(&format!("| {} | {} |\n", line.what, money(line.dollars)));
    }
    text.push_str(&format!("| **together** | {} |\n", money(sum)));
    let waits = Shape::waiting_runner(measured, assumed).dollars();
    text.push_str(&format!(
        "| *each runner that waits all month, on top* | {} |\n",
        money(waits)
    ));
    text
}

fn prices() -> String {
    let mut text = String::from("### Prices\n\n| of | dollars | for |\n|---|--:|--:|\n");
    for price in PRICES {
        let per = thousands(price.per as u64);
        text.push_str(&format!("| {} | {} | {per} |\n", price.unit, price.dollars));
    }
    text
}

/// `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "a test reads and writes the page"
)]
mod tests {
    use super::*;

    /// Before and behind the generated part of the page.
    const BEGIN: &str = "<!-- numbers: UPDATE=1 cargo test -p cost -->\n";
    const END: &str = "<!-- end of numbers -->\n";
    const PAGE: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/explanation/cost.md"
    );

    #[test]
    fn the_page_says_these_numbers() {
        let page = std::fs::read_to_string(PAGE).expect("the page");
        let begin = page.find(BEGIN).expect("its mark") + BEGIN.len();
        let end = page.find(END).expect("its mark");
        let wanted = format!(
            "\n{}\n",
            tables(&Measured::counted(), &Assumptions::default())
        );
        if std::env::var_os("UPDATE").is_some() {
            let page = format!("{}{wanted}{}", &page[..begin], &page[end..]);
            return std::fs::write(PAGE, page).expect("the page can be written");
        }
        assert!(
            page[begin..end] == wanted,
            "docs/explanation/cost.md is old: UPDATE=1 cargo test -p cost"
        );
        for word in [crate::AS_OF, crate::REGION] {
            assert!(page.contains(word), "the page says {word}");
        }
    }

    #[test]
    fn numbers_are_written_for_people() {
        for (dollars, expect) in [
            (0.0, "$0"),
            (0.000_123_4, "$0.00012"),
            (0.0123, "$0.012"),
            (1.0, "$1.00"),
            (12.345, "$12.35"),
            (1_234.5, "$1234"),
        ] {
            assert_eq!(money(dollars), expect);
        }
        assert_eq!(thousands(7), "7");
        assert_eq!(thousands(1_234_567), "1,234,567");
    }
}

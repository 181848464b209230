//! Check runs, with the rules that GitHub holds them to.

use serde_json::{Value, json};

use super::super::api::{Answer, Call, Reply, paged};
use super::super::event::Event;
use super::super::world::{OWNER, Run, World, time};
use super::{invalid, not_found, refusal, show};

/// Annotations that one request may carry.
const MOST_ANNOTATIONS: usize = 50;
/// Characters of a summary, and of the text below it.
const LONGEST_TEXT: usize = 65_535;
/// Characters of a title, and of a check's name.
const LONGEST_TITLE: usize = 255;
/// Buttons.
const MOST_ACTIONS: usize = 3;
/// Characters of a button's label and of its identifier; its description has twice as many.
const LONGEST_LABEL: usize = 20;

const STATUSES: [&str; 3] = ["queued", "in_progress", "completed"];
const CONCLUSIONS: [&str; 7] = [
    "action_required",
    "cancelled",
    "failure",
    "neutral",
    "success",
    "skipped",
    "timed_out",
];
const LEVELS: [&str; 3] = ["notice", "warning", "failure"];

pub(crate) fn create(world: &mut World, body: &Value) -> Reply {
    let name = required(body, "name", "name")?;
    let sha = required(body, "head_sha", "head_sha")?;
    if world.repo.commit_of(sha).as_deref() != Some(sha) {
        return Err(refusal(422, &format!("No commit found for SHA: {sha}")));
    }
    checked(body)?;
    let mut run = Run {
        id: world.id(),
        name: name.to_owned(),
        sha: sha.to_owned(),
        status: "queued".to_owned(),
        conclusion: None,
        external_id: String::new(),
        details_url: String::new(),
        title: None,
        summary: None,
        text: None,
        annotations: Vec::new(),
        actions: Vec::new(),
        started: time(world.now()),
        completed: None,
    };
    apply(&mut run, body, world.now());
    let id = run.id;
    let shown = show::run(world, &run);
    let is_done = run.completed.is_some();
    world.runs.push(run);
    tell(world, id, "created");
    if is_done {
        tell(world, id, "completed");
    }
    Ok(Answer::new(201, shown))
}

pub(crate) fn update(world: &mut World, id: &str, body: &Value) -> Reply {
    let at = world.runs.iter().position(|run| run.id.to_string() == id);
    let at = at.ok_or_else(not_found)?;
    checked(body)?;
    let now = world.now();
    let was_done = world.runs[at].completed.is_some();
    apply(&mut world.runs[at], body, now);
    let id = world.runs[at].id;
    if world.runs[at].completed.is_some() && !was_done {
        tell(world, id, "completed");
    }
    Ok(Answer::new(200, show::run(world, &world.runs[at])))
}

fn tell(world: &mut World, id: u64, action: &'static str) {
    let event = Event::Run {
        id,
        action,
        asked: None,
    };
    let bot = world.bot();
    world.emit(&event, bot);
}

pub(crate) fn list(world: &World, call: &Call, name: &str) -> Reply {
    let sha = world
        .repo
        .tip(name)
        .or_else(|| world.repo.commit_of(name))
        .ok_or_else(|| refusal(422, &format!("No commit found for SHA: {name}")))?;
    let runs: Vec<&Run> = match call.asked("filter") {
        "all" => world.runs.iter().filter(|run| run.sha == sha).collect(),
        _ => world.latest_runs(&sha),
    };
    let app = super::token::APP.to_string();
    let is = |asked: &str, there: &str| asked.is_empty() || asked == there;
    let mut runs: Vec<Value> = runs
        .into_iter()
        .filter(|run| is(call.asked("check_name"), &run.name))
        .filter(|run| is(call.asked("status"), &run.status))
        .filter(|_| is(call.asked("app_id"), &app))
        .map(|run| show::run(world, run))
        .collect();
    // The newest first.
    runs.reverse();
    let total = runs.len();
    let url = format!(
        "{}/repos/{OWNER}/{}/commits/{sha}/check-runs",
        world.site, world.name
    );
    let mut answer = paged(call, &url, runs, "per_page");
    answer.body = json!({ "total_count": total, "check_runs": answer.body });
    Ok(answer)
}

pub(crate) fn annotations(world: &World, call: &Call, id: &str) -> Reply {
    let run = world.runs.iter().find(|run| run.id.to_string() == id);
    let run = run.ok_or_else(not_found)?;
    let shown = run
        .annotations
        .iter()
        .map(|a| show::annotation(world, run, a));
    let url = format!(
        "{}/repos/{OWNER}/{}/check-runs/{id}/annotations",
        world.site, world.name
    );
    Ok(paged(call, &url, shown.collect(), "per_page"))
}

fn required<'a>(body: &'a Value, name: &str, field: &str) -> Result<&'a str, Answer> {
    let text = body[name].as_str().filter(|text| !text.is_empty());
    text.ok_or_else(|| invalid(field, &format!("\"{name}\" wasn't supplied.")))
}

fn short(value: &Value, field: &str, most: usize) -> Result<(), Answer> {
    let length = value.as_str().unwrap_or_default().chars().count();
    if length <= most {
        return Ok(());
    }
    let message = format!("Only {most} characters are allowed; {length} were supplied.");
    Err(invalid(field, &message))
}

fn one_of(value: &Value, field: &str, words: &[&str]) -> Result<(), Answer> {
    let is_one = value.is_null() || words.iter().any(|word| value == word);
    let message = format!("{value} is not included in the list {words:?}.");
    is_one.then_some(()).ok_or_else(|| invalid(field, &message))
}

/// The rules that a schema says, and those that only GitHub's text says.
fn checked(body: &Value) -> Result<(), Answer> {
    one_of(&body["status"], "status", &STATUSES)?;
    one_of(&body["conclusion"], "conclusion", &CONCLUSIONS)?;
    if body["status"] == "completed" && body["conclusion"].is_null() {
        return Err(invalid("conclusion", "\"conclusion\" wasn't supplied."));
    }
    short(&body["name"], "name", LONGEST_TITLE)?;
    let output = &body["output"];
    if !output.is_null() {
        required(output, "summary", "output.summary")?;
        short(&output["title"], "output.title", LONGEST_TITLE)?;
        short(&output["summary"], "output.summary", LONGEST_TEXT)?;
        short(&output["text"], "output.text", LONGEST_TEXT)?;
    }
    let annotations = many(
        &output["annotations"],
        "output.annotations",
        MOST_ANNOTATIONS,
    )?;
    for annotation in annotations {
        line_of(annotation)?;
    }
    for action in many(&body["actions"], "actions", MOST_ACTIONS)? {
        for (name, most) in [
            ("label", LONGEST_LABEL),
            ("identifier", LONGEST_LABEL),
            ("description", 2 * LONGEST_LABEL),
        ] {
            required(action, name, &format!("actions.{name}"))?;
            short(&action[name], &format!("actions.{name}"), most)?;
        }
    }
    Ok(())
}

fn many<'a>(value: &'a Value, field: &str, most: usize) -> Result<&'a [Value], Answer> {
    let list = value.as_array().map_or(&[][..], Vec::as_slice);
    if list.len() <= most {
        return Ok(list);
    }
    let message = format!(
        "No more than {most} items are allowed; {} were supplied.",
        list.len()
    );
    Err(invalid(field, &message))
}

fn line_of(annotation: &Value) -> Result<(), Answer> {
    let field = "output.annotations";
    required(annotation, "path", field)?;
    required(annotation, "message", field)?;
    required(annotation, "annotation_level", field)?;
    one_of(&annotation["annotation_level"], field, &LEVELS)?;
    short(&annotation["title"], field, LONGEST_TITLE)?;
    short(&annotation["message"], field, LONGEST_TEXT)?;
    let lines = (
        annotation["start_line"].as_u64(),
        annotation["end_line"].as_u64(),
    );
    let (Some(first @ 1..), Some(last)) = lines else {
        return Err(invalid(
            field,
            "\"start_line\" and \"end_line\" are numbers from 1.",
        ));
    };
    if last < first {
        return Err(invalid(field, "\"end_line\" is before \"start_line\"."));
    }
    let has_columns = !annotation["start_column"].is_null() || !annotation["end_column"].is_null();
    if has_columns && first != last {
        return Err(invalid(field, "Columns are for annotations of one line."));
    }
    Ok(())
}

fn apply(run: &mut Run, body: &Value, now: i64) {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let set = |place: &mut String, value: &Value| {
        if let Some(new) = text(value) {
            *place = new;
        }
    };
    set(&mut run.name, &body["name"]);
    set(&mut run.external_id, &body["external_id"]);
    set(&mut run.details_url, &body["details_url"]);
    set(&mut run.started, &body["started_at"]);
    set(&mut run.status, &body["status"]);
    // A conclusion completes; a status that is not `completed` opens again.
    if let Some(conclusion) = text(&body["conclusion"]) {
        run.conclusion = Some(conclusion);
        "completed".clone_into(&mut run.status);
    } else if run.status != "completed" {
        run.conclusion = None;
    }
    run.completed = match run.status.as_str() {
        "completed" => {
            let earlier = run.completed.take();
            text(&body["completed_at"]).or(earlier).or(Some(time(now)))
        }
        _ => None,
    };
    let output = &body["output"];
    if !output.is_null() {
        run.title = text(&output["title"]).or(run.title.take());
        run.summary = text(&output["summary"]);
        run.text = text(&output["text"]);
        let more = output["annotations"].as_array().cloned();
        run.annotations.extend(more.unwrap_or_default());
    }
    if let Some(actions) = body["actions"].as_array() {
        run.actions.clone_from(actions);
    }
}

//! From a delivery to messages: where to look, and what somebody asks for.

use ledger::{About, Asked, Comment, Message, Wish};
use ports::Check;

use super::{Checked, Command, Event, FullName, Hook, Verb};

/// Bytes of what names a button that was pressed. Those of our own checks have about 160.
const MAX_ID: usize = 500;

/// What `hook` is to be answered with work for: nothing, or a look at the forge and what somebody asks for there.
///
/// `own` is the state repository's name. One webhook may be of several repositories, and what people ask for in another
/// one is not meant here. Without a name all is. A button is meant wherever it is: it names a commit, and whoever
/// pressed it has to have the right to push here.
pub fn messages(hook: &Hook, own: Option<&FullName>) -> Vec<Message> {
    if matches!(hook.event, Event::Ping | Event::Other { .. }) {
        return Vec::new();
    }
    let mut messages = vec![Message::Look];
    if is_meant(hook, own) {
        let asked = asked(&hook.event).map(Box::new);
        messages.extend(asked.map(Message::Asked));
        messages.extend(again(&hook.event));
    }
    messages
}

/// What a person is to be told of the repository's name, in a sentence: it has another one now, or what was asked for
/// was passed over since it was in another repository. `options` say where the name is written down.
pub fn other_name(hook: &Hook, own: Option<&FullName>, options: &str) -> Option<String> {
    let (there, own) = (hook.repository.as_ref()?, own?);
    match &hook.event {
        Event::Renamed { from } if is_same(from, own) && !is_same(there, own) => Some(format!(
            "{own} is called {there} now: write the new name into {options}; until then commands there are passed over"
        )),
        event
            if !is_meant(hook, Some(own)) && (asked(event).is_some() || again(event).is_some()) =>
        {
            Some(format!(
                "nothing is done: this is of {there}, and the state repository is {own}. If it was renamed, write the new name into {options}"
            ))
        }
        _ => None,
    }
}

/// What the forge is told where the state repository will be looked at. A delivery of another repository has it looked
/// at, too: after a rename it is the same one, and deliveries come under the new name.
pub fn looked_at(hook: &Hook, own: Option<&FullName>) -> String {
    match (&hook.repository, own) {
        (Some(there), Some(own)) if !is_same(there, own) => format!(
            "the state repository {own} will be looked at, though this is of {there}: if it was not renamed, the webhook belongs to another repository"
        ),
        _ => "the state repository will be looked at".to_owned(),
    }
}

fn is_meant(hook: &Hook, own: Option<&FullName>) -> bool {
    match (&hook.repository, own) {
        (Some(there), Some(own)) => {
            matches!(hook.event, Event::Action { .. }) || is_same(there, own)
        }
        // Nobody knows of which one it is.
        (None, Some(_)) => false,
        (_, None) => true,
    }
}

/// Forges tell names apart without regard to capitals.
fn is_same(one: &FullName, other: &FullName) -> bool {
    let (one, other) = (one.to_string(), other.to_string());
    one.eq_ignore_ascii_case(&other)
}

fn again(event: &Event) -> Option<Message> {
    let Event::Rerequested(checked) = event else {
        return None;
    };
    let is_short = |name: &String| name.len() <= MAX_ID;
    Some(Message::Again {
        commit: checked.commit.clone(),
        check: checked.check.clone().filter(is_short),
    })
}

fn asked(event: &Event) -> Option<Asked> {
    match event {
        Event::Comment {
            id,
            pull,
            login,
            written,
            commands,
            left_out,
        } => Some(Asked {
            id: format!("comment {id:020}"),
            login: login.clone(),
            about: About::Pull { number: *pull },
            wishes: commands.iter().map(wish).collect(),
            comment: Some(Comment {
                id: *id,
                written: *written,
                left_out: *left_out,
            }),
        }),
        Event::Action { name, on, login } => {
            let wish = match name.as_str() {
                "retry" => Wish::Retry,
                "cancel" => Wish::Cancel,
                _ => return None,
            };
            let check = on.check.as_deref().unwrap_or_default();
            let id = format!("button {name} {} {check} {}", on.commit, writing(on));
            let commit = on.commit.clone();
            let about = match check == Check::SCRATCH {
                true => About::Scratch { commit },
                false => About::Commit { commit },
            };
            (id.len() <= MAX_ID).then(|| Asked {
                id,
                login: login.clone(),
                about,
                wishes: vec![wish],
                comment: None,
            })
        }
        _ => None,
    }
}

/// The button of one writing is pressed once. All of it is in what was signed, so a delivery that comes again under
/// another id is the same press; what comes of a press is another writing, though it may say the same.
fn writing(on: &Checked) -> String {
    let text = on.digest.as_deref().unwrap_or_default();
    let run = on.writing.map_or(0, |writing| writing.run);
    let completed = on.writing.and_then(|writing| writing.completed);
    format!("{text} {run} {}", completed.unwrap_or_default())
}

/// Words that a command does not know make another one of it: who writes `cancel curl` does not want all canceled.
fn wish(command: &Command) -> Wish {
    let words: Vec<&str> = command.words.iter().map(String::as_str).collect();
    match (&command.verb, &words[..]) {
        (Verb::Retry, []) => Wish::Retry,
        (Verb::Cancel, []) => Wish::Cancel,
        (Verb::Plan, []) => Wish::Plan,
        (Verb::Scratch, []) => Wish::Scratch { commit: None },
        (Verb::Scratch, [commit]) if is_commit(commit) => Wish::Scratch {
            commit: Some(commit.to_ascii_lowercase()),
        },
        (verb, words) => {
            let verb = match verb {
                Verb::Retry => "retry",
                Verb::Cancel => "cancel",
                Verb::Plan => "plan",
                Verb::Scratch => "scratch",
                Verb::Unknown(word) => word,
            };
            let words = [&[verb], words].concat().join(" ");
            Wish::Unknown {
                words: visible(&words),
            }
        }
    }
}

/// Whole: the beginning of one can be made to fit another commit.
fn is_commit(word: &str) -> bool {
    [40, 64].contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Of a character that nobody sees, its number: the answer repeats what was written, which would look as it should be.
fn visible(words: &str) -> String {
    let one = |c: char| match is_unseen(c) {
        true => format!("<U+{:04X}>", u32::from(c)),
        false => c.to_string(),
    };
    words.chars().map(one).collect()
}

/// Control characters, and those that Unicode has shown as nothing or that turn the direction of a line.
fn is_unseen(c: char) -> bool {
    let is_ignored = matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
    );
    is_ignored || c.is_control()
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, Writing};
    use super::*;

    fn hook(event: Event) -> Hook {
        Hook {
            kind: Kind::GitHub,
            delivery: "1".to_owned(),
            repository: FullName::new("Acme", "state"),
            sender: None,
            event,
        }
    }

    fn comment(text: &str) -> Event {
        let (commands, left_out) = super::super::command::commands(text);
        Event::Comment {
            id: 7,
            pull: 3,
            login: "ada".to_owned(),
            written: 9,
            commands,
            left_out,
        }
    }

    fn button(name: &str, digest: &str) -> Event {
        Event::Action {
            name: name.to_owned(),
            on: Checked {
                commit: "a".repeat(40),
                check: Some("build and release".to_owned()),
                digest: Some(digest.to_owned()),
                writing: None,
                pulls: Vec::new(),
            },
            login: "ada".to_owned(),
        }
    }

    /// What is asked for, if a look is wanted at all.
    fn asked_by(event: Event) -> Option<Option<Asked>> {
        let messages = messages(&hook(event), None);
        let mut messages = messages.into_iter();
        assert_eq!(messages.next()?, Message::Look);
        let asked = messages.next().map(|message| match message {
            Message::Asked(asked) => *asked,
            other => panic!("{other:?}"),
        });
        Some(asked)
    }

    #[test]
    fn lines_become_wishes() {
        let check = |text: &str, expect: &str| {
            let asked = asked_by(comment(text)).flatten().expect("it asks");
            let shown: Vec<String> = asked.wishes.iter().map(|it| format!("{it:?}")).collect();
            assert_eq!(shown.join(", "), expect, "{text}");
        };
        check("/millrace retry\n/millrace plan", "Retry, Plan");
        check("/millrace scratch", "Scratch { commit: None }");
        let commit = "0123456789abcdef".repeat(4);
        let expect = format!("Scratch {{ commit: Some({:?}) }}", &commit[..40]);
        check(&format!("/millrace scratch {}", &commit[..40]), &expect);
        let capitals = commit[..40].to_uppercase();
        check(&format!("/millrace scratch {capitals}"), &expect);
        check(
            "/millrace scratch 0123456",
            "Unknown { words: \"scratch 0123456\" }",
        );
        check(
            "/millrace cancel curl",
            "Unknown { words: \"cancel curl\" }",
        );
        check(
            "/millrace plan\u{200b}",
            "Unknown { words: \"plan<U+200B>\" }",
        );
        check(
            "/millrace retry \u{202e}\u{1}\u{e0041}",
            "Unknown { words: \"retry <U+202E><U+0001><U+E0041>\" }",
        );
        check("/millrace", "Unknown { words: \"\" }");
        check("/millrace merge it", "Unknown { words: \"merge it\" }");
    }

    #[test]
    fn a_comment_is_one_thing_that_is_asked_for() {
        let text = "/millrace retry\n".repeat(12);
        let asked = asked_by(comment(&text)).flatten().expect("it asks");
        let comment = asked.comment.expect("it was written");
        assert_eq!((comment.id, comment.written, comment.left_out), (7, 9, 2));
        assert_eq!(asked.about, About::Pull { number: 3 });
        assert_eq!(asked.id, "comment 00000000000000000007");
    }

    #[test]
    fn a_button_is_one_of_ours() {
        let pressed = asked_by(button("retry", "d1")).flatten();
        assert_eq!(pressed.map(|it| it.wishes), Some(vec![Wish::Retry]));
        assert_eq!(asked_by(button("merge", "d1")), Some(None));
        assert_eq!(asked_by(button("retry", &"d".repeat(600))), Some(None));
    }

    #[test]
    fn a_button_of_what_was_written_anew_is_another_one() {
        let id = |run: u64, completed: Option<i64>, digest: &str| {
            let mut event = button("retry", digest);
            if let Event::Action { on, .. } = &mut event {
                on.writing = Some(Writing { run, completed });
            }
            asked_by(event).flatten().expect("it asks").id
        };
        let ids = [
            id(1, Some(9), "d1"),
            id(2, Some(9), "d1"),
            id(1, Some(10), "d1"),
            id(1, None, "d1"),
            id(1, Some(9), "d2"),
        ];
        assert_eq!(std::collections::BTreeSet::from(ids.clone()).len(), 5);
        assert_eq!(ids[0], id(1, Some(9), "d1"));
    }

    #[test]
    fn a_button_of_scratch_builds_is_about_them_alone() {
        let about = |name: &str| {
            let mut event = button("cancel", "d1");
            if let Event::Action { on, .. } = &mut event {
                on.check = Some(name.to_owned());
            }
            asked_by(event).flatten().map(|it| it.about)
        };
        let commit = "a".repeat(40);
        let scratch = About::Scratch {
            commit: commit.clone(),
        };
        assert_eq!(about(Check::SCRATCH), Some(scratch));
        assert_eq!(about("build and release"), Some(About::Commit { commit }));
    }

    #[test]
    fn checks_are_made_again_by_commit_and_name() {
        let again = |check: Option<&str>| {
            let checked = Checked {
                commit: "c".repeat(40),
                check: check.map(str::to_owned),
                digest: None,
                writing: None,
                pulls: Vec::new(),
            };
            messages(&hook(Event::Rerequested(checked)), None).pop()
        };
        for check in [None, Some("plan")] {
            let expect = Message::Again {
                commit: "c".repeat(40),
                check: check.map(str::to_owned),
            };
            assert_eq!(again(check), Some(expect));
        }
    }

    #[test]
    fn what_happens_elsewhere_is_not_meant_here() {
        let asks = hook(comment("/millrace retry"));
        let count =
            |owner: &str, name: &str| messages(&asks, FullName::new(owner, name).as_ref()).len();
        assert_eq!(count("acme", "State"), 2);
        assert_eq!(count("acme", "other"), 1);
        let own = FullName::new("acme", "other");
        let pressed = messages(&hook(button("retry", "d1")), own.as_ref());
        assert_eq!(pressed.len(), 2, "it names a commit");
        assert_eq!(messages(&hook(Event::Ping), None), []);
    }

    #[test]
    fn whose_push_it_is_is_told() {
        let push = hook(Event::Push {
            branch: "main".to_owned(),
            after: None,
        });
        let usual = "the state repository will be looked at";
        assert_eq!(looked_at(&push, None), usual);
        assert_eq!(
            looked_at(&push, FullName::new("acme", "State").as_ref()),
            usual
        );
        let told = looked_at(&push, FullName::new("acme", "other").as_ref());
        assert!(
            told.contains("acme/other will be looked at, though this is of Acme/state"),
            "{told}"
        );
    }

    #[test]
    fn another_name_is_told() {
        let check = |event: Event, own: &str, expect: Option<&str>| {
            let own: FullName = own.parse().expect("a name");
            let told = other_name(&hook(event), Some(&own), "`--state`");
            assert_eq!(told.as_deref(), expect, "{own}");
        };
        let renamed = || Event::Renamed {
            from: "acme/old".parse().expect("a name"),
        };
        let words = "acme/old is called Acme/state now: write the new name into `--state`; until then commands there are passed over";
        check(renamed(), "acme/old", Some(words));
        check(renamed(), "acme/state", None);
        check(renamed(), "acme/another", None);
        let words = "nothing is done: this is of Acme/state, and the state repository is acme/old. If it was renamed, write the new name into `--state`";
        check(comment("/millrace retry"), "acme/old", Some(words));
        check(comment("/millrace retry"), "acme/state", None);
        check(button("retry", "d1"), "acme/old", None);
        check(Event::Ping, "acme/old", None);
    }
}

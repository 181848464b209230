//! Shares: what waits claims what its request says now, and messages claim what their task does. A change
//! of the claim alone builds nothing anew.

use std::collections::BTreeMap;

use ledger::{
    Effect, Message, Phase, QueueName, RequestRow, Row, Share, TaskRow, TaskState, Tenant,
};
use pipeline_spec::RequestPath;
use ports::{Delivery, Platform, StateRepo};
use runner_api::{TaskId, TaskSpec};

use super::{State, Witness};
use crate::history::{AUTHORS, priority, weight, without_place};
use crate::run::block;

/// What is known of claims.
#[derive(Default)]
pub(super) struct Shares {
    /// Processes of a version that knows no shares write rows, too.
    is_mixed: bool,
    /// The ledger was lost: what a moved ref was is perhaps forgotten.
    is_lost: bool,
    /// The shares with which messages were ever in the outbox.
    ordered: BTreeMap<String, Vec<Share>>,
    /// Requests, by what they ask for.
    wishes: BTreeMap<RequestPath, Wish>,
    /// Tasks that wait for a runner or for others.
    waiting: BTreeMap<TaskId, Since>,
    /// Messages in somebody's hands that ask to look at a request, by receipt, and the writes so far.
    looks: BTreeMap<String, (RequestPath, u64)>,
}

/// What a request asks for.
#[derive(Default)]
struct Wish {
    /// Without its place among others; `None`: its file is gone.
    text: Option<String>,
    /// Raised when that changes.
    generation: u64,
    /// The write that brought its commit or its phase.
    write: u64,
}

struct Since {
    /// The write since which it waits.
    write: u64,
    /// Of the request when the task was last planned or taken back.
    generation: u64,
}

impl Shares {
    /// The disk with outbox and queues is lost.
    pub(super) fn lose(&mut self) {
        let (is_mixed, ordered) = (self.is_mixed, std::mem::take(&mut self.ordered));
        *self = Self {
            is_mixed,
            ordered,
            is_lost: true,
            ..Self::default()
        };
    }
}

fn waits(row: &TaskRow) -> bool {
    matches!(
        row.state,
        TaskState::Blocked { .. } | TaskState::Ready { .. }
    )
}

impl Witness {
    /// From now on processes of a version that knows no shares take part.
    pub(crate) fn mixes_versions(&self) {
        self.state().shares.is_mixed = true;
    }

    /// Whether all who write know shares, and rows are what they were.
    pub(crate) fn minds_shares(&self) -> bool {
        let state = self.state();
        !state.shares.is_mixed && !state.is_recovering
    }

    /// Who asked, by the commit that a request stands by, and how much it hurries, by the file there.
    fn claim(&self, row: &RequestRow) -> Share {
        let (author, text) = self.brought(row);
        let known = AUTHORS.iter().find(|(name, _)| *name == author);
        let tenant = known.map_or("", |(_, tenant)| *tenant);
        let said = row.spec.as_ref().map(ledger::RequestSpec::priority);
        // Of a file that cannot be read, or is gone, what it said before. What is published stays by its
        // commit, whatever later ones say of its priority.
        let is_by_commit = !matches!(row.phase, Phase::Invalid | Phase::Published);
        let text = text.filter(|_| is_by_commit);
        Share {
            tenant: Tenant::stored(tenant),
            priority: text.map_or(said.unwrap_or_default(), |text| priority(&text)),
        }
    }

    /// Author and file of a request's commit.
    fn brought(&self, row: &RequestRow) -> (String, Option<String>) {
        let repo = self.memory.state_repo();
        let info = block(repo.info(&row.commit));
        let text = block(repo.read(&row.commit, row.path.as_str()));
        let text = text.ok().flatten();
        let text = text.map(|text| String::from_utf8_lossy(&text).into_owned());
        (
            info.map_or_else(|_| String::new(), |info| info.author),
            text,
        )
    }

    /// What is wrong with a request's claim, or nothing.
    pub(crate) fn claims_wrongly(&self, row: &RequestRow) -> Option<String> {
        let (is, wanted) = (row.share(), self.claim(row));
        let path = &row.path;
        (is != wanted && self.minds_shares())
            .then(|| format!("{path} claims {}, and asks for {}", say(&is), say(&wanted)))
    }

    /// A request was written.
    pub(super) fn wished(&self, old: Option<&RequestRow>, new: &RequestRow) {
        let is_new = old.is_none_or(|old| old.commit != new.commit);
        if is_new {
            let wrong = self.claims_wrongly(new);
            wrong.into_iter().for_each(|it| self.violated(it));
        }
        let text = self.brought(new).1.map(|text| without_place(&text));
        let mut state = self.state();
        let writes = state.writes;
        let known = state.shares.wishes.entry(new.path.clone()).or_default();
        if is_new || old.is_none_or(|old| old.phase.word() != new.phase.word()) {
            known.write = writes;
        }
        if is_new && known.text != text {
            known.text = text;
            known.generation += 1;
        }
    }

    /// A task was written.
    pub(super) fn claimed(&self, old: Option<&TaskRow>, new: &TaskRow) {
        // Both are written only as long as the request is what it was.
        let is_planned = match old.map(|old| &old.state) {
            None => true,
            Some(TaskState::Blocked { .. }) => matches!(new.state, TaskState::Ready { .. }),
            Some(_) => false,
        };
        if is_planned && self.minds_shares() {
            self.has_its_claim(new, "is planned");
        }
        let mut state = self.state();
        let State { shares, writes, .. } = &mut *state;
        let generation = shares
            .wishes
            .get(&new.task.request)
            .map_or(0, |it| it.generation);
        let is_wanted = !new.is_past() && old.is_none_or(TaskRow::is_past);
        let id = &new.task.id;
        if let Some(since) = shares.waiting.get_mut(id).filter(|_| !is_wanted) {
            if waits(new) && !old.is_some_and(waits) {
                since.write = *writes;
            }
        } else {
            let write = *writes;
            shares
                .waiting
                .insert(id.clone(), Since { write, generation });
        }
        let is_known = shares.waiting[id].generation == generation && !shares.is_lost;
        drop(state);
        let is_stopped = new.is_past() && old.is_some_and(|old| !old.is_past());
        if is_stopped && is_known && self.minds_shares() {
            self.is_dropped_for_its_place(new);
        }
    }

    /// Which sources are wanted follows from what was asked alone. Which builds, also from what is known of
    /// other sources.
    fn is_dropped_for_its_place(&self, row: &TaskRow) {
        if matches!(row.spec, TaskSpec::Source(_)) {
            let (path, title) = (&row.task.request, row.spec.title());
            self.violated(format!(
                "{title} of {path} is superseded, and what was asked is the same"
            ));
        }
    }

    fn has_its_claim(&self, row: &TaskRow, when: &str) {
        let found = self.ledger().row(&ledger::Key::request(&row.task.request));
        let Some(Row::Request(request)) = found.as_ref().map(|record| &record.row) else {
            return;
        };
        let wanted = self.claim(request);
        let (path, title) = (&request.path, row.spec.title());
        if row.share != wanted {
            let (is, wanted) = (say(&row.share), say(&wanted));
            self.violated(format!(
                "{title} of {path} {when} and claims {is}, not {wanted}"
            ));
        }
        let slots = match (&row.spec, self.brought(request).1) {
            (TaskSpec::Build(build), Some(text)) => weight(&text, build.package.as_str()),
            _ => 1,
        };
        if row.weight.slots() != slots {
            let is = row.weight.slots();
            self.violated(format!(
                "{title} of {path} {when} and weighs {is}, not {slots}"
            ));
        }
    }

    /// A message was put into the outbox.
    pub(super) fn claims_as_its_task(&self, effect: &Effect) {
        let name = format!("{}: {}", effect.queue, effect.message.name());
        let mut state = self.state();
        let known = state.shares.ordered.entry(name.clone()).or_default();
        if !known.contains(&effect.share) {
            known.push(effect.share.clone());
        }
        if state.shares.is_mixed {
            return;
        }
        drop(state);
        let wanted = match &effect.message {
            Message::Attempt { task, .. } => {
                let found = self.ledger().row(&ledger::Key::task(task));
                match found.as_ref().map(|record| &record.row) {
                    Some(Row::Task(row)) => row.share.clone(),
                    _ => return,
                }
            }
            _ => Share::default(),
        };
        if effect.share != wanted {
            let (is, wanted) = (say(&effect.share), say(&wanted));
            self.violated(format!("{name} is in the outbox for {is}, not {wanted}"));
        }
    }

    /// A message was sent.
    pub(super) fn sent_with(&self, queue: &QueueName, message: &Message, share: &Share) {
        let name = format!("{queue}: {}", message.name());
        let state = self.state();
        let known = state.shares.ordered.get(&name);
        let is_known = known.is_none_or(|known| known.contains(share));
        if state.shares.is_mixed || is_known {
            return;
        }
        drop(state);
        let share = say(share);
        self.violated(format!(
            "{name} was sent for {share}, and was not in the outbox so"
        ));
    }

    /// Somebody begins to look at a request.
    pub(super) fn looks(&self, deliveries: &[Delivery]) {
        let mut state = self.state();
        let State { shares, writes, .. } = &mut *state;
        for delivery in deliveries {
            if let Message::Advance { request } = &delivery.message {
                let look = (request.clone(), *writes);
                shares.looks.insert(delivery.receipt.clone(), look);
            }
        }
    }

    /// Somebody has looked at a request: what has waited since before that claims what the request does.
    pub(super) fn looked(&self, receipt: &str) {
        let Some((path, begun)) = self.state().shares.looks.remove(receipt) else {
            return;
        };
        let found = self.ledger().row(&ledger::Key::request(&path));
        let Some(Row::Request(request)) = found.as_ref().map(|record| &record.row) else {
            return;
        };
        let is_older = |wish: &Wish| wish.write <= begun;
        let stands = self.state().shares.wishes.get(&path).is_some_and(is_older);
        if !stands || request.phase != Phase::Open || !self.minds_shares() {
            return;
        }
        let partition = ledger::Key::request_partition(&path);
        let mut rows = Vec::new();
        self.ledger().visit(|key, record| {
            if key.partition == partition
                && let Row::Task(row) = &record.row
                && waits(row)
                && !row.is_past()
            {
                rows.push(row.clone());
            }
        });
        let state = self.state();
        let since = |row: &TaskRow| state.shares.waiting.get(&row.task.id).map(|it| it.write);
        rows.retain(|row| since(row).is_some_and(|write| write <= begun));
        drop(state);
        for row in rows {
            self.has_its_claim(&row, "waits after a look");
        }
    }
}

fn say(share: &Share) -> String {
    let Share { tenant, priority } = share;
    let tenant = if *tenant == Tenant::NOBODY {
        "nobody"
    } else {
        tenant.as_str()
    };
    format!("{tenant} ({priority})")
}

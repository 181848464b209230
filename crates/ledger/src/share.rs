//! Whose work a task is, and how much it hurries: what queues share out runners by.

use std::fmt;

use pipeline_spec::Priority;
use serde::{Deserialize, Serialize};

/// Longest name of a tenant, in bytes: it is a column of an index. The rest of a longer one is left out.
const MAX_TENANT_BYTES: usize = 256;

/// On whose behalf work is done: tenants take turns. The mail address of who asked; empty for the
/// machine's own messages, and for rows of before there were tenants.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tenant(String);

impl Tenant {
    /// Nobody in particular.
    pub const NOBODY: Self = Self(String::new());

    /// The author of a commit, `Name <mail>`: the mail in small letters, or all of it if there is none.
    pub fn of_author(author: &str) -> Self {
        let mail = author
            .rsplit_once('<')
            .and_then(|(_, rest)| rest.split_once('>'))
            .map_or("", |(mail, _)| mail.trim());
        let name = if mail.is_empty() { author.trim() } else { mail };
        let mut kept = String::new();
        for letter in name.chars().flat_map(char::to_lowercase) {
            if kept.len() + letter.len_utf8() > MAX_TENANT_BYTES {
                break;
            }
            kept.push(letter);
        }
        Self(kept)
    }

    /// As [`Tenant::as_str`] gave it before.
    pub fn stored(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A task's claim to runners. Not part of what is to be done: a change of it builds nothing anew.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Share {
    /// Whose turn it takes.
    #[serde(default, skip_serializing_if = "is_nobody")]
    pub tenant: Tenant,
    /// Before and after which others.
    #[serde(default, skip_serializing_if = "Priority::is_normal")]
    pub priority: Priority,
}

impl Share {
    /// For formats that leave the usual out.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

fn is_nobody(tenant: &Tenant) -> bool {
    *tenant == Tenant::NOBODY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_a_mail_address() {
        let check = |author: &str, expect: &str| {
            assert_eq!(Tenant::of_author(author).as_str(), expect, "{author:?}");
        };
        check("Ann <Ann@Example.org>", "ann@example.org");
        check("A <b> <ann@example.org>", "ann@example.org");
        check("Ann < ann@example.org >", "ann@example.org");
        check("Ann <>", "ann <>");
        check("ann", "ann");
        check("Ann <ann@example.org", "ann <ann@example.org");
        check("", "");
        check(&"ü".repeat(200), &"ü".repeat(128));
    }
}

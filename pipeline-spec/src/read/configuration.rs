//! Decoding of the small configuration files: project, policy, keys, runners.

use std::collections::BTreeSet;

use super::decode::{Decode, Fields, NonEmpty, Unique};
use super::report::{Finding, Report};
use super::scalar::{Count, Line};
use super::yaml::Node;
use crate::diagnostic::Code;
use crate::*;

impl Decode for Project {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let known = &[
            "version",
            "name",
            "default_branch",
            "status_branch",
            "limits",
        ];
        let fields = Fields::open(node, "millrace.yaml", known, report)?;
        let version = fields.required("version", "version: 1", report);
        let name = fields.required::<Line>("name", "name: Example Linux", report);
        let default_branch = fields.optional("default_branch", report);
        let status_branch = fields.optional("status_branch", report);
        let limits = fields.or_default("limits", report);
        let usual = Self::named("");
        let project = Self {
            version: version?,
            name: name?.0,
            default_branch: default_branch?.unwrap_or(usual.default_branch),
            status_branch: status_branch?.unwrap_or(usual.status_branch),
            limits: limits?,
        };
        if project.default_branch == project.status_branch {
            let span = fields
                .key_span("status_branch")
                .or(fields.key_span("default_branch"));
            let message = "the status branch is the default branch";
            let help = "write another name; only the machine writes to the status branch";
            report.error(
                span.unwrap_or(fields.span()),
                Finding::new(Code::Conflict, message, help),
            );
            return None;
        }
        Some(project)
    }
}

impl Decode for Limits {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let known = &["memory", "disk", "processes", "hours", "minutes", "log"];
        let fields = Fields::open(node, "limits", known, report)?;
        let memory = fields.optional("memory", report);
        let disk = fields.optional("disk", report);
        let processes = fields.optional::<Count<1_000_000>>("processes", report);
        let hours = fields.optional::<Count<720>>("hours", report);
        let minutes = fields.optional::<Count<59>>("minutes", report);
        let log = fields.optional("log", report);
        let minutes = minutes?.map_or(0, |Count(n)| n.get());
        let usual = Self::default();
        Some(Self {
            memory: memory?.unwrap_or(usual.memory),
            disk: disk?.unwrap_or(usual.disk),
            processes: processes?.map_or(usual.processes, |Count(n)| n.get()),
            hours: match hours? {
                Some(Count(n)) => n.get(),
                None if minutes > 0 => 0,
                None => usual.hours,
            },
            minutes,
            log: log?.unwrap_or(usual.log),
        })
    }
}

impl Decode for Policy {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let fields = Fields::open(node, "policy.yaml", &["gates", "approvals"], report)?;
        let gates = fields.or_default("gates", report);
        let approvals = fields.or_default("approvals", report);
        Some(Self {
            gates: gates?,
            approvals: approvals?,
        })
    }
}

impl Decode for Approvals {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let known = &["repositories", "count", "by"];
        let fields = Fields::open(node, "an entry of `approvals`", known, report)?;
        let repositories = fields.required::<NonEmpty<RepositoryName>>(
            "repositories",
            "repositories: [almalinux-10]",
            report,
        );
        let count = fields.required::<Count<1000>>("count", "count: 2", report);
        let by = fields.required::<NonEmpty<PersonName>>("by", "by: [alice, bob, carol]", report);
        let (Count(count), NonEmpty(by)) = (count?, by?);
        let repositories = repositories?.0;
        if count.get() as usize > by.len() {
            let message = format!("{count} approvals are demanded, of {} people", by.len());
            let help = "write more people under `by`, or a lower `count`";
            let span = fields.get("count").map_or(fields.span(), |node| node.span);
            report.error(span, Finding::new(Code::OutOfRange, message, help));
            return None;
        }
        Some(Self {
            repositories,
            count,
            by,
        })
    }
}

impl Decode for Gates {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let fields = Fields::open(node, "gates", &["tests"], report)?;
        Some(Self {
            tests: fields.or_default("tests", report)?,
        })
    }
}

impl Decode for Key {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let fields = Fields::open(node, "a key", &["kind", "fingerprint", "private"], report)?;
        let kind = fields.or_default("kind", report);
        let fingerprint = fields.optional("fingerprint", report);
        let private = fields.required("private", "private: {file: main.key}", report);
        Some(Self {
            kind: kind?,
            fingerprint: fingerprint?,
            private: private?,
        })
    }
}

impl Decode for Private {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let fields = Fields::open(node, "`private`", &["file", "kms", "pkcs11"], report)?;
        let file = fields.optional("file", report);
        let kms = fields.optional::<KmsName>("kms", report);
        let pkcs11 = fields.optional::<Pkcs11Uri>("pkcs11", report);
        match (file?, kms?, pkcs11?) {
            (Some(name), None, None) => Some(Self::File(name)),
            (None, Some(KmsName(key)), None) => Some(Self::Kms(key)),
            (None, None, Some(Pkcs11Uri(uri))) => Some(Self::Pkcs11(uri)),
            _ => {
                let message = "a key lives in one place";
                let help = "write exactly one of `file`, `kms` and `pkcs11`";
                report.error(fields.span(), Finding::new(Code::Conflict, message, help));
                None
            }
        }
    }
}

struct KmsName(String);

impl Decode for KmsName {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let Line(name) = Line::decode(node, report)?;
        // Its parts are read by who asks KMS; this tells a name from a file's, or a bare key id that says no account.
        let alias = name.starts_with("alias/");
        let arn = name.starts_with("arn:") && name.split(':').nth(2) == Some("kms");
        if alias || arn {
            return Some(Self(name));
        }
        let message = "this is neither the ARN nor an alias of a KMS key";
        let help = "write `arn:aws:kms:REGION:ACCOUNT:key/ID` or `alias/NAME`";
        report.error(node.span, Finding::new(Code::InvalidValue, message, help));
        None
    }
}

struct Pkcs11Uri(String);

impl Decode for Pkcs11Uri {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let Line(uri) = Line::decode(node, report)?;
        let (message, help) = if !uri.starts_with("pkcs11:") {
            (
                "this is not a PKCS#11 URI",
                "write `pkcs11:token=NAME;object=KEY`",
            )
        } else if uri.contains("pin-value") {
            (
                "the PIN is a secret, and everyone reads this file",
                "give the PIN to the signer alone",
            )
        } else {
            return Some(Self(uri));
        };
        report.error(node.span, Finding::new(Code::InvalidValue, message, help));
        None
    }
}

impl Decode for Runner {
    fn decode(node: &Node, report: &mut Report<'_>) -> Option<Self> {
        let known = &[
            "key",
            "roles",
            "architectures",
            "emulated",
            "labels",
            "capacity",
        ];
        let fields = Fields::open(node, "a runner", known, report)?;
        let key = fields.required("key", "key: <the line that the runner prints>", report);
        let roles = fields.required::<NonEmpty<Role>>("roles", "roles: [build-deb, test]", report);
        let architectures = fields.optional::<Unique<Architecture>>("architectures", report);
        let emulated = fields.optional::<Unique<Architecture>>("emulated", report);
        let labels = fields.or_default("labels", report);
        let capacity = fields.optional::<Count<1024>>("capacity", report);
        let runner = Self {
            key: key?,
            roles: roles?.0.into_iter().collect(),
            architectures: architectures?.map(|Unique(list)| list).unwrap_or_default(),
            emulated: emulated?.map(|Unique(list)| list).unwrap_or_default(),
            labels: labels?,
            capacity: capacity?.map_or(std::num::NonZeroU32::MIN, |Count(n)| n),
        };
        coherent(&runner, &fields, report).then_some(runner)
    }
}

/// What the fields of a runner say about each other.
fn coherent(runner: &Runner, fields: &Fields<'_>, report: &mut Report<'_>) -> bool {
    let mut found = Vec::new();
    let place = |name: &str| fields.key_span(name).unwrap_or(fields.span());
    if runner.roles.contains(&Role::Sign) && runner.roles.len() > 1 {
        found.push((
            place("roles"),
            Code::Conflict,
            "`sign` stands alone: who can open the key does nothing else".to_owned(),
            "enroll the signer as a runner of its own, with `roles: [sign]`".to_owned(),
        ));
    }
    let native: BTreeSet<_> = runner.architectures.iter().collect();
    if let Some(both) = runner.emulated.iter().find(|a| native.contains(a)) {
        found.push((
            place("emulated"),
            Code::DuplicateEntry,
            format!("`{both}` is both native and emulated"),
            "keep it in one of the two lists".to_owned(),
        ));
    }
    let builds = runner.roles.iter().any(|role| role.needs_architecture());
    if builds && runner.architectures.is_empty() && runner.emulated.is_empty() {
        found.push((
            fields.span(),
            Code::MissingField,
            "a runner that builds or tests needs the field `architectures`".to_owned(),
            "add `architectures: [x86_64, amd64]`".to_owned(),
        ));
    }
    let coherent = found.is_empty();
    for (span, code, message, help) in found {
        report.error(span, Finding::new(code, message, help));
    }
    coherent
}

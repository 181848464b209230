//! Patterns over package names.

use std::str::FromStr;

use crate::ids::{IdError, NameRule, string_type};
use crate::limits::MAX_PACKAGE_NAME_BYTES;

/// A pattern over package names: `*` stands for any characters, `?` for one, everything else for
/// itself. The whole name must match.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glob(String);

const RULE: NameRule = NameRule {
    what: "a package pattern",
    min_bytes: 1,
    max_bytes: MAX_PACKAGE_NAME_BYTES,
    first: |c| c.is_ascii_alphanumeric() || matches!(c, '*' | '?'),
    rest: |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '+' | '*' | '?'),
    allowed: "a pattern has the characters of package names, `*` and `?`",
    help: "write a package name or a pattern like `openssl-*`",
};

impl Glob {
    /// Whether the whole of `name` matches. Takes at most `pattern × name` steps.
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut p, mut n) = (0, 0);
        // Where to go on after the last `*` when what follows it does not fit.
        let mut retry: Option<(usize, usize)> = None;
        while n < name.len() {
            match pattern.get(p) {
                Some(b'*') => {
                    retry = Some((p + 1, n));
                    p += 1;
                }
                Some(c) if *c == b'?' || *c == name[n] => {
                    p += 1;
                    n += 1;
                }
                _ => match &mut retry {
                    Some((after_star, from)) => {
                        *from += 1;
                        (p, n) = (*after_star, *from);
                    }
                    None => return false,
                },
            }
        }
        pattern[p..].iter().all(|c| *c == b'*')
    }

    /// Whether the pattern names exactly one package, without `*` or `?`.
    pub fn is_literal(&self) -> bool {
        !self.0.contains(['*', '?'])
    }
}

impl FromStr for Glob {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        RULE.check(text)?;
        Ok(Self(text.to_owned()))
    }
}

string_type!(
    Glob,
    "^[A-Za-z0-9*?][A-Za-z0-9._+*?-]*$",
    MAX_PACKAGE_NAME_BYTES,
    "A pattern over package names: * stands for any characters, ? for one."
);

#[cfg(test)]
mod tests {
    use super::Glob;

    #[test]
    fn whole_names_match() {
        let check = |pattern: &str, name: &str, expect: bool| {
            let glob: Glob = pattern.parse().expect(pattern);
            assert_eq!(glob.matches(name), expect, "{pattern} against {name}");
        };
        check("openssl", "openssl", true);
        check("openssl", "openssl-libs", false);
        check("openssl*", "openssl-libs", true);
        check("*", "", true);
        check("*-devel", "nss-devel", true);
        check("*-devel", "nss-devel-doc", false);
        check("lib?", "libc", true);
        check("lib?", "lib", false);
        check("*a*b*c", "xxaxxbxxbxc", true);
        check("*a*b*c", "xxaxxcxxb", false);
        check("**", "anything", true);
    }
}

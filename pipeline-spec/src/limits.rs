//! Every bound of the language in one place. Beyond a bound the file is refused with a diagnostic.

/// Largest YAML file, in bytes. A request of 1,000 packages takes about 150 KB; more than this is
/// a mistake, and the parser's work grows with it.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;

/// Largest public key file, in bytes. Debian's whole archive keyring is about 60 KB.
pub const MAX_KEY_FILE_BYTES: usize = 256 * 1024;

/// Deepest nesting of a YAML file. The language itself needs six levels.
pub const MAX_DEPTH: usize = 24;

/// Most nodes (scalars, lists, mappings) in one YAML file.
pub const MAX_NODES: usize = 100_000;

/// Longest path of a file in the state repository, in bytes.
pub const MAX_PATH_BYTES: usize = 200;

/// Longest name of a platform, repository, flavor, key or runner, in bytes.
pub const MAX_NAME_BYTES: usize = 64;

/// Longest name of a package or a pattern over such names, in bytes.
pub const MAX_PACKAGE_NAME_BYTES: usize = 128;

/// Longest URL or git ref, in bytes.
pub const MAX_URL_BYTES: usize = 2048;

/// Longest free text (a reason, a description), in characters.
pub const MAX_TEXT_CHARS: usize = 2000;

/// Most entries of a list or mapping, the packages of a build request among them. A mass rebuild
/// is several requests, linked by `with`.
pub const MAX_ENTRIES: usize = 2000;

/// Most diagnostics reported for one file. The rest would be noise that follows from the first.
pub const MAX_DIAGNOSTICS_PER_FILE: usize = 100;

/// Longest excerpt of a source line kept in a diagnostic, in characters.
pub const MAX_EXCERPT_CHARS: usize = 160;

/// Longest version, release or epoch:version-release string that is compared, in bytes.
pub const MAX_VERSION_BYTES: usize = 1024;

/// Longest value of an RPM macro, in bytes.
pub const MAX_MACRO_VALUE_BYTES: usize = 1024;

//! Tag numbers of rpm 4.18's `rpmtag.h`: only those that are read or written here.

/// Tags of the main header.
pub(crate) mod header {
    pub(crate) const NAME: u32 = 1000;
    pub(crate) const VERSION: u32 = 1001;
    pub(crate) const RELEASE: u32 = 1002;
    pub(crate) const EPOCH: u32 = 1003;
    pub(crate) const SUMMARY: u32 = 1004;
    pub(crate) const DESCRIPTION: u32 = 1005;
    pub(crate) const BUILD_TIME: u32 = 1006;
    pub(crate) const BUILD_HOST: u32 = 1007;
    pub(crate) const SIZE: u32 = 1009;
    pub(crate) const VENDOR: u32 = 1011;
    pub(crate) const LICENSE: u32 = 1014;
    pub(crate) const PACKAGER: u32 = 1015;
    pub(crate) const GROUP: u32 = 1016;
    pub(crate) const URL: u32 = 1020;
    pub(crate) const ARCH: u32 = 1022;
    pub(crate) const OLD_FILE_NAMES: u32 = 1027;
    pub(crate) const FILE_SIZES: u32 = 1028;
    pub(crate) const FILE_MODES: u32 = 1030;
    pub(crate) const FILE_LINK_TOS: u32 = 1036;
    pub(crate) const FILE_FLAGS: u32 = 1037;
    pub(crate) const SOURCE_RPM: u32 = 1044;
    pub(crate) const ARCHIVE_SIZE: u32 = 1046;
    pub(crate) const EXCLUDE_ARCH: u32 = 1059;
    pub(crate) const EXCLUSIVE_ARCH: u32 = 1061;
    pub(crate) const CHANGELOG_TIME: u32 = 1080;
    pub(crate) const CHANGELOG_NAME: u32 = 1081;
    pub(crate) const CHANGELOG_TEXT: u32 = 1082;
    pub(crate) const BUILD_ARCHS: u32 = 1089;
    pub(crate) const SOURCE_PACKAGE: u32 = 1106;
    pub(crate) const DIR_INDEXES: u32 = 1116;
    pub(crate) const BASE_NAMES: u32 = 1117;
    pub(crate) const DIR_NAMES: u32 = 1118;
    pub(crate) const LONG_FILE_SIZES: u32 = 5008;
    pub(crate) const LONG_SIZE: u32 = 5009;
    pub(crate) const PAYLOAD_DIGEST: u32 = 5092;
    pub(crate) const PAYLOAD_DIGEST_ALGO: u32 = 5093;
    pub(crate) const RPM_FORMAT: u32 = 5114;

    /// Name, flags and version tags of one kind of dependency.
    pub(crate) type Triple = (u32, u32, u32);
    pub(crate) const PROVIDES: Triple = (1047, 1112, 1113);
    pub(crate) const REQUIRES: Triple = (1049, 1048, 1050);
    pub(crate) const CONFLICTS: Triple = (1054, 1053, 1055);
    pub(crate) const OBSOLETES: Triple = (1090, 1114, 1115);
    pub(crate) const RECOMMENDS: Triple = (5046, 5048, 5047);
    pub(crate) const SUGGESTS: Triple = (5049, 5051, 5050);
    pub(crate) const SUPPLEMENTS: Triple = (5052, 5054, 5053);
    pub(crate) const ENHANCES: Triple = (5055, 5057, 5056);
}

/// Tags of the signature header.
pub(crate) mod signature {
    pub(crate) const REGION: u32 = 62;
    /// Header-only signature by DSA, ECDSA or EdDSA.
    pub(crate) const DSA: u32 = 267;
    /// Header-only signature by RSA.
    pub(crate) const RSA: u32 = 268;
    pub(crate) const SHA1: u32 = 269;
    pub(crate) const LONG_ARCHIVE_SIZE: u32 = 271;
    pub(crate) const SHA256: u32 = 273;
    /// rpm 6's list of signatures.
    pub(crate) const OPENPGP: u32 = 278;
    pub(crate) const SHA3_256: u32 = 279;
    /// Reserved space of v6 packages.
    pub(crate) const V6_RESERVED: u32 = 999;
    /// Signatures over header and payload of rpm 3: RSA, old RSA, DSA.
    pub(crate) const PGP: u32 = 1002;
    pub(crate) const GPG: u32 = 1005;
    pub(crate) const PGP5: u32 = 1006;
    pub(crate) const PAYLOAD_SIZE: u32 = 1007;
    pub(crate) const RESERVED_SPACE: u32 = 1008;
}

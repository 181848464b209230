//! repo-deb

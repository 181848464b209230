//! repo-rpm

//! state-repo

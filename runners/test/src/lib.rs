//! runner-test

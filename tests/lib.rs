//! Tests that cross crates. Each file beside this one is a test program of its own.

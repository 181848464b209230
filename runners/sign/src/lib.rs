//! runner-sign

//! runner-api

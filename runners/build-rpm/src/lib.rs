//! runner-build-rpm

//! runner-build-deb

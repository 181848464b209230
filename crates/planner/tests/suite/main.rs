//! Plans of small requests, as people would read them.

mod builds;
mod releases;
mod world;

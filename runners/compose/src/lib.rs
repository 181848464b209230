//! runner-compose

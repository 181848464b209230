//! pipeline-spec

//! exuvia-core

//! exuvia-cloud

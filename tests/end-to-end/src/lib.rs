//! exuvia-end-to-end

//! exuvia-aws

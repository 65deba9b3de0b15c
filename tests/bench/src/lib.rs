//! What a deploy costs in time and in money, measured: beside the limits, and beside what others have published.

//! Tables of good and bad configurations.

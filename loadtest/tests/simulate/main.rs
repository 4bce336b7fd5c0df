//! Runs in virtual time: what has to hold for every seed, and what feedback and exchange are for.
#![allow(clippy::expect_used, reason = "a test may fail")]

mod feedback;
mod fleet;
mod replay;
mod roster;
mod sweep;

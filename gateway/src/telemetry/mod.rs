//! What the gateway tells its operators: numbers, one line per request, and events.
//!
//! | file | for | cost |
//! |---|---|---|
//! | [`metrics`] | alerts and graphs, summed over requests | well below a microsecond a request |
//! | [`access_log`] | what happened to one request | a queue; written by a thread of its own |
//! | [`caches`] | what corrects our beliefs about engines' caches | one lock a request |
//! | [`source_touch`] | how old what a source said may be | rare |
//! | [`events`] | what happened to the gateway | rare |
//!
//! None of them ever holds a prompt.

pub mod access_log;
pub mod caches;
pub mod events;
pub mod metrics;
pub mod source_touch;
pub mod timestamp;

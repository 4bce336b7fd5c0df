//! Moments as people and collectors read them.

use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};

/// RFC 3339 in UTC with milliseconds; what is before 1970 is shown as its start.
#[must_use]
pub fn rfc3339(at: SystemTime) -> String {
    let since_1970 = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let ms = i64::try_from(since_1970.as_millis()).unwrap_or_default();
    let at: DateTime<Utc> = DateTime::from_timestamp_millis(ms).unwrap_or_default();
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

//! Wall clock, for provenance and last use only; no key depends on it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Returns the current time.
#[expect(clippy::disallowed_methods, reason = "last use and the age of files are the store's business")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// Returns nanoseconds since 1970.
pub(crate) fn now_ns() -> u64 {
    let elapsed = now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
}

/// Returns milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    now_ns() / 1_000_000
}

/// Converts a time of a filesystem to milliseconds since 1970.
pub(crate) fn ms_of(time: SystemTime) -> u64 {
    u64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

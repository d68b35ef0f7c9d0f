//! The wall clock, for provenance and last use only; it decides no key.

use std::time::{SystemTime, UNIX_EPOCH};

/// The time.
#[expect(clippy::disallowed_methods, reason = "last use and the age of files are the store's business")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// Nanoseconds since 1970.
pub(crate) fn now_ns() -> u64 {
    let elapsed = now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    now_ns() / 1_000_000
}

/// Milliseconds from 1970 to a time that a filesystem gave.
pub(crate) fn ms_of(time: SystemTime) -> u64 {
    u64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

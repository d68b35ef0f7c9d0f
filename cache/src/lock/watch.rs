//! Watch over the heartbeats of sessions of other hosts: one that has stood still for long belongs to a dead process.
//!
//! A session that is open for long counts up a number in its file (`session_file.rs`). An observer compares it with
//! the number that it saw before, and times this by a clock of its own that nobody sets, and that goes on while the
//! machine sleeps. So no wall clock matters, neither of a host nor of a file server.
//!
//! A process that waits for a claim watches by itself. Collections are short and rare, so they keep what they saw in
//! the file `tmp/BOOT.seen`, named after the last start of the host, from which its times count. Containers of one host
//! share it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::files::disk;
use crate::files::frame::{sealed, unsealed};
use crate::lock::session_file::Sign;

/// Most bytes read of a file of sightings.
const BYTES_MAX: u64 = 1 << 24;
/// Names the interval of heartbeats in milliseconds; for tests that cannot wait. All hosts must agree.
const INTERVAL_VARIABLE: &str = "ORCHESTRATE_HEARTBEAT_MS";

/// Interval of heartbeats.
pub(crate) fn interval() -> Duration {
    let given = std::env::var(INTERVAL_VARIABLE).ok().and_then(|text| text.parse().ok()).filter(|ms| *ms > 0);
    given.map_or(Duration::from_secs(15), Duration::from_millis)
}

/// Time without a heartbeat after which another host takes a claim over: two minutes.
pub(crate) fn claim_ends() -> Duration {
    interval() * 8
}

/// Time without a heartbeat after which the notes of a session count no more: ten minutes. Longer, as a collection that
/// comes too early costs more than a node that is computed twice.
pub(crate) fn notes_end() -> Duration {
    interval() * 40
}

/// Time without a heartbeat after which the files of a session go: a day, as a worker that wakes up needs them.
pub(crate) fn files_end() -> Duration {
    interval() * 4 * 60 * 24
}

/// Returns the time since this host started, its sleep included.
pub(crate) fn uptime() -> Duration {
    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::CLOCK_BOOTTIME;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;
    clock_gettime(CLOCK).map_or(Duration::ZERO, Duration::from) + UP_BEFORE
}

/// Lets tests look back for days on a host that has just started.
const UP_BEFORE: Duration = Duration::from_secs(if cfg!(test) { 10 * 24 * 60 * 60 } else { 0 });

/// The last sightings of sessions, by name.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Watch {
    seen: BTreeMap<String, Seen>,
}

/// A sign of life, and when it was first seen, in milliseconds since the start of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    sign: Sign,
    since_ms: u64,
}

impl Watch {
    /// Notes the present sign of a session; returns for how long it has been the same.
    pub(crate) fn stood_still(&mut self, session: &str, sign: Sign, uptime: Duration) -> Duration {
        let now_ms = u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX);
        let seen = self.seen.entry(session.to_owned()).or_insert(Seen { sign, since_ms: now_ms });
        if seen.sign != sign || seen.since_ms > now_ms {
            *seen = Seen { sign, since_ms: now_ms };
        }
        Duration::from_millis(now_ms - seen.since_ms)
    }

    /// Adds the sightings in a file; a damaged file has none.
    pub(crate) fn read(&mut self, path: &Path) {
        let earlier: Option<Self> = disk::read(path, BYTES_MAX).ok().and_then(|bytes| unsealed(&bytes).ok());
        for (session, seen) in earlier.unwrap_or_default().seen {
            let known = self.seen.entry(session).or_insert(seen);
            if known.sign == seen.sign {
                known.since_ms = known.since_ms.min(seen.since_ms);
            }
        }
    }

    /// Keeps the sightings of these sessions in a file.
    pub(crate) fn write(&mut self, path: &Path, sessions: &[&str]) -> Result<(), StoreError> {
        self.seen.retain(|session, _| sessions.contains(&session.as_str()));
        if self.seen.is_empty() { Ok(()) } else { disk::replace(path, (sealed(self) + "\n").as_bytes(), false) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn sign(beat: u64) -> Sign {
        Sign { nonce: 7, beat }
    }

    #[test]
    fn a_session_stands_still_from_the_first_sight_of_its_last_beat() {
        let mut watch = Watch::default();
        assert_eq!(watch.stood_still("a", sign(1), at(1000)), at(0), "it is seen for the first time");
        assert_eq!(watch.stood_still("a", sign(1), at(1060)), at(60));
        assert_eq!(watch.stood_still("b", sign(1), at(1060)), at(0), "another one");
        assert_eq!(watch.stood_still("a", sign(2), at(1090)), at(0), "it beats");
        assert_eq!(watch.stood_still("a", Sign { nonce: 8, beat: 2 }, at(2000)), at(0), "the next one in that file");
        assert_eq!(watch.stood_still("a", Sign { nonce: 8, beat: 2 }, at(2120)), at(120));
    }

    #[test]
    fn two_collections_watch_together() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seen");
        let mut first = Watch::default();
        first.stood_still("a", sign(1), at(1000));
        first.stood_still("gone", sign(1), at(1000));
        first.write(&path, &["a"]).unwrap();
        let read = || {
            let mut watch = Watch::default();
            watch.read(&path);
            watch
        };
        assert_eq!(read().stood_still("a", sign(1), at(1700)), at(700));
        assert_eq!(read().stood_still("gone", sign(1), at(1700)), at(0));
        assert_eq!(read().stood_still("a", sign(1), at(30)), at(0), "a clock that goes back only makes them wait");
        std::fs::write(&path, "damaged").unwrap();
        assert_eq!(read(), Watch::default());
    }
}

//! The name of a run.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// The name of a run: its start in UTC, to the millisecond, and six random hexadecimal digits, for example
/// `20260131-174502-318-9f02ac`. The order of the texts is the order of the runs in time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct RunId(String);

impl RunId {
    /// Returns a name for a run that starts now; two processes that start in one millisecond get two names.
    pub fn now() -> Self {
        Self::at(Timestamp::now(), u64::from(std::process::id()))
    }

    fn at(start: Timestamp, salt: u64) -> Self {
        // The keys of a `RandomState` are random in each process and differ between calls.
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u64(salt);
        let random = hasher.finish() & 0xff_ffff;
        let time = start.to_zoned(TimeZone::UTC).strftime("%Y%m%d-%H%M%S");
        let millisecond = start.as_millisecond().rem_euclid(1000);
        Self(format!("{time}-{millisecond:03}-{random:06x}"))
    }

    /// Returns the start of the run in milliseconds since 1970; 0 if the digits are no time.
    pub fn began_ms(&self) -> u64 {
        let time = self.0.get(..15).and_then(|text| DateTime::strptime("%Y%m%d-%H%M%S", text).ok());
        let start = time.and_then(|time| time.to_zoned(TimeZone::UTC).ok()).map(|time| time.timestamp());
        let millisecond: i64 = self.0.get(16..19).and_then(|text| text.parse().ok()).unwrap_or(0);
        start.map_or(0, |start| u64::try_from(start.as_millisecond() + millisecond).unwrap_or(0))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The error for a text that is not the name of a run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the name of a run, such as `20260131-174502-318-9f02ac`")]
pub struct ParseRunIdError(String);

impl FromStr for RunId {
    type Err = ParseRunIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let valid = text.len() == 26
            && text.bytes().enumerate().all(|(index, byte)| match index {
                8 | 15 | 19 => byte == b'-',
                20.. => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
                _ => byte.is_ascii_digit(),
            });
        if valid { Ok(Self(text.to_owned())) } else { Err(ParseRunIdError(text.to_owned())) }
    }
}

impl TryFrom<String> for RunId {
    type Error = ParseRunIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_runs_sort_after_earlier_ones() {
        let id = |millisecond| RunId::at(Timestamp::from_millisecond(millisecond).expect("in range"), 1);
        let ids = [id(1_700_000_000_007), id(1_700_000_000_010), id(1_700_000_001_000), id(1_800_000_000_000)];
        assert!(ids.is_sorted());
        assert!(ids[0].as_str().starts_with("20231114-221320-007-"), "{}", ids[0]);
        assert_eq!(ids[1].began_ms(), 1_700_000_000_010);
        assert_eq!("99999999-999999-999-9f02ac".parse().map(|id: RunId| id.began_ms()), Ok(0));
    }

    #[test]
    fn name_is_read_back_and_other_folder_names_are_not_runs() {
        let id = RunId::now();
        assert_eq!(id.as_str().parse(), Ok(id));
        for other in ["", "tmp", "../20260131-174502-318-9f02ac", "20260131-174502-318-9f02aZ", "20260131-174502-318"] {
            assert!(other.parse::<RunId>().is_err(), "{other}");
        }
    }
}

//! Resources of a node while it runs: `resources = { threads = 2, memory = "2GB", gpu = 1 }`; sizes and durations as
//! text.
//!
//! None of it is in a key: it changes when and where a node runs, never its outputs.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// The largest number of `retries`.
pub(crate) const RETRIES_MAX: u32 = 100;

/// Resources of a node while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Resources {
    /// CPU threads, at least 1. By default a light node takes one, and heavy nodes share the free ones. The engine sets
    /// 0 for a node that runs on another machine.
    #[serde(deserialize_with = "threads")]
    pub threads: Option<usize>,
    /// Memory in bytes; by default none is reserved.
    #[serde(rename = "memory", deserialize_with = "memory")]
    pub memory_bytes: Option<u64>,
    /// Accelerator devices: a fraction of one (0.5 puts two nodes on one device) or a number of whole ones. By default
    /// the [kind of stage](crate::stage::Facts::device) decides.
    #[serde(deserialize_with = "gpu")]
    pub gpu: Option<f64>,
}

/// Parses a size such as `"2GB"`, `"512 MiB"` or `"1.5GB"`: kB, MB, GB, TB are powers of 1000, KiB … TiB of 1024.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let problem = || format!("`{text}` is not a size; write a number and a unit, for example \"2GB\" or \"512MiB\"");
    let (number, unit) = split_unit(text).ok_or_else(problem)?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "b" => 1,
        "kb" => 1000,
        "mb" => 1000_u64.pow(2),
        "gb" => 1000_u64.pow(3),
        "tb" => 1000_u64.pow(4),
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err(problem()),
    };
    let bytes = number * factor as f64;
    if bytes >= 1.0 && bytes < 2_f64.powi(63) { Ok(bytes.round() as u64) } else { Err(problem()) }
}

/// Parses a duration such as `"90s"`, `"1h30m"` or `"250ms"`; units are ms, s, m (or min), h and d (or days).
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let problem =
        || format!("`{text}` is not a duration; write a number and a unit, for example \"90s\", \"2h\" or \"1h30m\"");
    let mut rest = text.trim();
    let mut sum = 0.0;
    while !rest.is_empty() {
        let after_number = rest.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(problem)?;
        let part = &rest[after_number..];
        let end = after_number + part.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(part.len());
        let (number, unit) = split_unit(&rest[..end]).ok_or_else(problem)?;
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" | "day" | "days" => 86400.0,
            _ => return Err(problem()),
        };
        sum += number * seconds;
        rest = rest[end..].trim_start();
    }
    // A hundred years: far below the largest duration, and beyond any sensible timeout.
    if sum > 0.0 && sum < 3.2e9 { Ok(Duration::from_secs_f64(sum)) } else { Err(problem()) }
}

/// Splits a positive number from the unit of letters after it.
fn split_unit(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let digits = text[..unit].trim_end();
    if !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    Some((digits.parse().ok()?, &text[unit..]))
}

/// Formats a size for people: `1.5 GB`.
pub fn display_size(bytes: u64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    let mut size = bytes as f64;
    let mut name = "B";
    for unit in units {
        if size < 999.95 {
            break;
        }
        size /= 1000.0;
        name = unit;
    }
    let digits = usize::from(name != "B" && size.fract() >= 0.05 && size < 99.95);
    format!("{size:.digits$} {name}")
}

/// Formats a duration for people: `250 ms`, `1.5 s`, `2m 05s`, `1h 30m`.
pub(crate) fn display_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{:.1} s", (duration.as_millis() / 100) as f64 / 10.0),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

fn threads<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    struct Threads;
    impl Visitor<'_> for Threads {
        type Value = usize;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number of threads, at least 1")
        }

        fn visit_i64<E: de::Error>(self, count: i64) -> Result<usize, E> {
            let threads = usize::try_from(count).ok().filter(|threads| (1..=1 << 16).contains(threads));
            threads.ok_or_else(|| E::invalid_value(Unexpected::Signed(count), &self))
        }
    }
    deserializer.deserialize_any(Threads).map(Some)
}

fn memory<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    struct Size;
    impl Visitor<'_> for Size {
        type Value = u64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a size with a unit, for example \"2GB\"")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
            parse_size(text).map_err(E::custom)
        }
    }
    deserializer.deserialize_any(Size).map(Some)
}

fn gpu<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    struct Share;
    impl Visitor<'_> for Share {
        type Value = f64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number of devices: 0, a fraction such as 0.5, or a whole number")
        }

        fn visit_i64<E: de::Error>(self, count: i64) -> Result<f64, E> {
            self.visit_f64(count as f64)
        }

        fn visit_f64<E: de::Error>(self, share: f64) -> Result<f64, E> {
            let fraction = (0.001..1.0).contains(&share) || share == 0.0;
            let whole = (1.0..=1024.0).contains(&share) && share.fract() == 0.0;
            if fraction || whole { Ok(share) } else { Err(E::invalid_value(Unexpected::Float(share), &self)) }
        }
    }
    deserializer.deserialize_any(Share).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Stage {
        #[serde(default)]
        resources: Resources,
    }

    fn read(toml: &str) -> Result<Stage, toml::de::Error> {
        toml::from_str(toml)
    }

    #[test]
    fn resources_are_read_from_toml() {
        let stage = read(r#"resources = { threads = 2, memory = "2GB", gpu = 0.5 }"#).expect("it is valid");
        let expected = Resources { threads: Some(2), memory_bytes: Some(2_000_000_000), gpu: Some(0.5) };
        assert_eq!(stage.resources, expected);
        let stage = read("resources = { gpu = 2 }").expect("it is valid");
        assert_eq!(stage.resources, Resources { gpu: Some(2.0), ..Resources::default() });
        assert_eq!(read("").expect("all of it can be left out").resources, Resources::default());
    }

    #[test]
    fn each_mistake_is_named_at_its_place() {
        let mistakes = [
            ("resources = { threads = 0 }", "0", "at least 1"),
            ("resources = { threads = -1 }", "-1", "at least 1"),
            ("resources = { threads = \"2\" }", "\"2\"", "a whole number of threads"),
            ("resources = { memory = 2 }", "2", "a size with a unit"),
            ("resources = { memory = \"2 apples\" }", "\"2 apples\"", "for example \"2GB\""),
            ("resources = { gpu = 1.5 }", "1.5", "a fraction such as 0.5"),
            ("resources = { gpu = -1 }", "-1", "a fraction such as 0.5"),
            ("resources = { gpus = 1 }", "gpus", "unknown field `gpus`"),
        ];
        for (toml, place, message) in mistakes {
            let error = read(toml).expect_err(toml);
            assert!(error.message().contains(message), "{toml}: {}", error.message());
            assert_eq!(error.span().map(|span| &toml[span]), Some(place), "{toml}");
        }
    }

    #[test]
    fn sizes_and_durations_are_read_as_written() {
        let sizes = [("1B", 1), ("1.5 kB", 1500), ("2GB", 2_000_000_000), ("512MiB", 1 << 29), (" 1TiB ", 1 << 40)];
        for (text, bytes) in sizes {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        let durations =
            [("250ms", 250), ("90s", 90_000), ("1.5h", 5_400_000), ("1h 2m 3s", 3_723_000), ("1d", 86_400_000)];
        for (text, milliseconds) in durations {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "s", "5", "5 5s", "-1s", "1e3s", "0s", "1y", "1..2s", "inf s", "999999999h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        for text in ["", "GB", "5", "-1GB", "0GB", "1XB", "9999999999TB", "1GB1MB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_and_durations_are_short_for_people() {
        let sizes = [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2_000_000_000, "2 GB"), (123_456_789, "123 MB")];
        for (bytes, text) in sizes {
            assert_eq!(display_size(bytes), text);
        }
        let durations =
            [(250, "250 ms"), (1500, "1.5 s"), (59_999, "59.9 s"), (125_000, "2m 05s"), (5_400_000, "1h 30m")];
        for (milliseconds, text) in durations {
            assert_eq!(display_duration(Duration::from_millis(milliseconds)), text);
        }
    }
}

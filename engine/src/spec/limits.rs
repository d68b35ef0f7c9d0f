//! The limits of a store: section `[store]` of `orchestrate.toml`.
//!
//! ```toml
//! [store]
//! max_size = "200 GB"
//! max_age = "90 days"
//! log_max_size = "100 MB"
//! ```
//!
//! The file is the nearest one in or above the store's folder, so everyone who shares a store shares its limits.

use std::path::Path;
use std::time::Duration;

use super::reader::Reader;
use super::toml_text;
use crate::diagnostic::{Diagnostic, SpecError};
use crate::resources::{parse_duration, parse_size};
use crate::source::SourceMap;
use crate::stage::LOG_MAX_BYTES;

/// Name of the file that marks a project's root.
pub(super) const PROJECT_FILE: &str = "orchestrate.toml";

/// The limits of a store; without a limit of size or age nothing is ever deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreLimits {
    /// `max_size`: the least recently used results are deleted until the rest needs at most this much.
    pub max_size_bytes: Option<u64>,
    /// `max_age`: results unused for longer are deleted.
    pub max_age: Option<Duration>,
    /// `log_max_size`: a node's log keeps at most this much of its output.
    pub log_max_bytes: Option<u64>,
}

impl StoreLimits {
    /// Reads the limits of the store in a folder. Errors: everything that is wrong with the file, with locations.
    pub fn of_store(dir: &Path) -> Result<Self, SpecError> {
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        match dir.ancestors().map(|dir| dir.join(PROJECT_FILE)).find(|path| path.exists()) {
            Some(path) => Self::read(&path),
            None => Ok(Self::default()),
        }
    }

    /// The largest log of one node; 64 MiB by default.
    pub fn log_max_bytes(&self) -> u64 {
        self.log_max_bytes.unwrap_or(LOG_MAX_BYTES)
    }

    /// Returns whether anything is ever deleted.
    pub fn is_some(&self) -> bool {
        self.max_size_bytes.is_some() || self.max_age.is_some()
    }

    fn read(path: &Path) -> Result<Self, SpecError> {
        let mut sources = SourceMap::default();
        let mut problems = Vec::new();
        let limits = match toml_text::read(path) {
            Ok(text) => {
                let base = sources.add(path.display().to_string(), path.parent().unwrap_or(path), &text);
                Self::parse(&text, base, &mut problems)
            }
            Err(error) => {
                problems.push(Diagnostic::error(format!("cannot read {}: {error}", path.display())));
                None
            }
        };
        if problems.is_empty() { Ok(limits.unwrap_or_default()) } else { Err(SpecError::new(sources, problems)) }
    }

    fn parse(text: &str, base: usize, problems: &mut Vec<Diagnostic>) -> Option<Self> {
        let table = toml_text::parse("this", text, base, None, problems)?;
        let mut reader = Reader { problems };
        reader.unknown_keys("the project file", &table, &["store"]);
        let store = reader.table("`store`", table.get("store")?)?;
        reader.unknown_keys("`store`", store, &["max_size", "max_age", "log_max_size"]);
        Some(Self {
            max_size_bytes: reader.quantity(store, "max_size", parse_size),
            max_age: reader.quantity(store, "max_age", parse_duration),
            log_max_bytes: reader.quantity(store, "log_max_size", parse_size),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(text: &str) -> Result<StoreLimits, String> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(dir.path().join(PROJECT_FILE), text).expect("the folder is writable");
        let shown = dir.path().join(PROJECT_FILE).display().to_string();
        let read = StoreLimits::of_store(&dir.path().join("a/.orchestrate"));
        read.map_err(|error| error.to_string().replace(&shown, "FILE"))
    }

    #[test]
    fn limits_come_from_the_nearest_project_file() {
        let day = Duration::from_secs(86_400);
        let both =
            StoreLimits { max_size_bytes: Some(200_000_000_000), max_age: Some(90 * day), ..StoreLimits::default() };
        assert_eq!(limits("[store]\nmax_size = \"200 GB\"\nmax_age = \"90 days\"\n"), Ok(both));
        assert_eq!(limits("[store]\nmax_age = \"36h\"\n").map(|limits| limits.max_age), Ok(Some(day * 3 / 2)));
        assert_eq!(limits(""), Ok(StoreLimits::default()));
        let logs = limits("[store]\nlog_max_size = \"100 MB\"\n").expect("it is right");
        assert_eq!((logs.log_max_bytes(), logs.is_some()), (100_000_000, false));
        assert_eq!(StoreLimits::default().log_max_bytes(), 64 << 20);
        assert!(both.is_some() && !StoreLimits::default().is_some());
    }

    #[test]
    fn all_mistakes_are_reported_with_their_locations() {
        let text = "[store]\nmax_sise = \"2 GB\"\nmax_size = \"2\"\nmax_age = 90\nlog_max_size = \"big\"\n\n[shop]\n";
        insta::assert_snapshot!(limits(text).unwrap_err(), @r#"
        FILE:2:1: unknown field `max_sise` in `store`
          = fields: max_size, max_age, log_max_size
          help: did you mean `max_size`?
        FILE:3:12: `max_size`: `2` is not a size; write a number and a unit, for example "2GB" or "512MiB"
        FILE:4:11: `max_age` must be a text, found integer
        FILE:5:16: `log_max_size`: `big` is not a size; write a number and a unit, for example "2GB" or "512MiB"
        FILE:7:2: unknown field `shop` in the project file
          = fields: store
        "#);
        for (text, problem) in [
            ("[store\n", "FILE:1:"),
            ("[store\n", "this is not TOML"),
            ("store = 3\n", "FILE:1:9: `store` must be a table, found integer"),
        ] {
            let error = limits(text).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
    }
}

//! The limits of a store: section `[store]` of `orchestrate.toml`.
//!
//! ```toml
//! [store]
//! max_size = "200 GB"
//! max_age = "90 days"
//! log_max_size = "100 MB"
//! ```
//!
//! The file is the nearest one in or above the store's folder, so everyone who shares a store shares its limits. The
//! section `[store.trust]` is read elsewhere (`trust.rs`), and so is `[cluster]` (`cluster/`).

use std::path::Path;
use std::time::Duration;

use orchestrate_cache::Signer;
use toml::de::DeTable;

use super::reader::Reader;
use super::remote::{self, RemoteSettings};
use super::{toml_text, trust};
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
    /// Reads the limits of the store in a folder, for a project with this root or for none.
    ///
    /// Errors: everything that is wrong with the file, with locations; `[store.trust]` or `[store.remote]` outside of
    /// the project's root.
    pub fn of_store(dir: &Path, root: Option<&Path>) -> Result<Self, SpecError> {
        let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        let above = |dir: &&Path| dir.join(PROJECT_FILE).exists();
        let Some(found) = dir.ancestors().find(above) else { return Ok(Self::default()) };
        let is_elsewhere = root.is_some_and(|root| !is_same_folder(root, found));
        let limits = read(&found.join(PROJECT_FILE), |store, reader| {
            // Above the store it may be that of another project, whose trust is no business of this one.
            match (is_elsewhere, found == dir) {
                (true, true) => {
                    trust::refuse("trust", store, reader);
                    trust::refuse("remote", store, reader);
                }
                (true, false) => {}
                (false, _) => drop((trust::parse(store, reader), remote::parse(store, reader))),
            }
            Self::parse(store, reader)
        })?;
        Ok(limits.unwrap_or_default())
    }

    /// The largest log of one node; 64 MiB by default.
    pub fn log_max_bytes(&self) -> u64 {
        self.log_max_bytes.unwrap_or(LOG_MAX_BYTES)
    }

    /// Returns whether anything is ever deleted.
    pub fn is_some(&self) -> bool {
        self.max_size_bytes.is_some() || self.max_age.is_some()
    }

    fn parse(store: &DeTable<'static>, reader: &mut Reader<'_>) -> Self {
        Self {
            max_size_bytes: reader.quantity(store, "max_size", parse_size),
            max_age: reader.quantity(store, "max_age", parse_duration),
            log_max_bytes: reader.quantity(store, "log_max_size", parse_size),
        }
    }
}

/// The part of `[store]` that only the file in a project's root can say.
#[derive(Clone, Debug, Default)]
pub struct ProjectStore {
    /// The signers that the project trusts; `None` if it trusts everybody.
    pub signers: Option<Vec<Signer>>,
    /// The bucket or folder behind the store.
    pub remote: Option<RemoteSettings>,
}

impl ProjectStore {
    /// Reads the sections of the project with this root. Errors: as of [`StoreLimits::of_store`].
    pub fn read(root: &Path) -> Result<Self, SpecError> {
        let path = root.join(PROJECT_FILE);
        if !path.exists() {
            return Ok(Self::default());
        }
        // The limits too, so that all mistakes of the file are reported at once.
        let section = |store: &DeTable<'static>, reader: &mut Reader<'_>| {
            StoreLimits::parse(store, reader);
            Self { signers: trust::parse(store, reader), remote: remote::parse(store, reader) }
        };
        Ok(read(&path, section)?.unwrap_or_default())
    }
}

/// Reads section `[store]` of a file; `None` if it has none.
fn read<T>(path: &Path, parse: impl FnOnce(&DeTable<'static>, &mut Reader<'_>) -> T) -> Result<Option<T>, SpecError> {
    project_file(path, |file, reader| {
        let store = reader.table("`store`", file.get("store")?)?;
        reader.unknown_keys("`store`", store, &["max_size", "max_age", "log_max_size", "trust", "remote"]);
        Some(parse(store, reader))
    })
}

/// Reads a section of a project file; `None` if it has none.
pub(super) fn project_file<T>(
    path: &Path,
    section: impl FnOnce(&DeTable<'static>, &mut Reader<'_>) -> Option<T>,
) -> Result<Option<T>, SpecError> {
    let mut sources = SourceMap::default();
    let mut problems = Vec::new();
    let mut found = None;
    match toml_text::read(path) {
        Ok(text) => {
            let base = sources.add(path.display().to_string(), path.parent().unwrap_or(path), &text);
            let table = toml_text::parse("this", &text, base, None, &mut problems).unwrap_or_default();
            let mut reader = Reader { problems: &mut problems };
            reader.unknown_keys("the project file", &table, &["store", "cluster"]);
            found = section(&table, &mut reader);
        }
        Err(error) => problems.push(Diagnostic::error(format!("cannot read {}: {error}", path.display()))),
    }
    if problems.is_empty() { Ok(found) } else { Err(SpecError::new(sources, problems)) }
}

/// Returns whether two paths name one folder.
fn is_same_folder(one: &Path, other: &Path) -> bool {
    one == other || matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(text: &str) -> Result<StoreLimits, String> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(dir.path().join(PROJECT_FILE), text).expect("the folder is writable");
        let shown = dir.path().join(PROJECT_FILE).display().to_string();
        let read = StoreLimits::of_store(&dir.path().join("a/.orchestrate"), None);
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
          = fields: max_size, max_age, log_max_size, trust, remote
          help: did you mean `max_size`?
        FILE:3:12: `max_size`: `2` is not a size; write a number and a unit, for example "2GB" or "512MiB"
        FILE:4:11: `max_age` must be a text, found the number 90
        FILE:5:16: `log_max_size`: `big` is not a size; write a number and a unit, for example "2GB" or "512MiB"
        FILE:7:2: unknown field `shop` in the project file
          = fields: store, cluster
        "#);
        for (text, problem) in [
            ("[store\n", "FILE:1:"),
            ("[store\n", "this is not TOML"),
            ("store = 3\n", "FILE:1:9: `store` must be a table, found the number 3"),
        ] {
            let error = limits(text).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
    }

    const KEY: &str = "ed25519:3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";

    fn signers(text: &str) -> Result<Option<Vec<String>>, String> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(dir.path().join(PROJECT_FILE), text).expect("the folder is writable");
        let shown = dir.path().join(PROJECT_FILE).display().to_string();
        let names = |signers: Vec<Signer>| signers.into_iter().map(|signer| signer.name).collect();
        let read = ProjectStore::read(dir.path()).map(|project| project.signers.map(names));
        read.map_err(|error| error.to_string().replace(&shown, "FILE"))
    }

    #[test]
    fn signers_are_those_of_the_projects_root() {
        assert_eq!(signers(""), Ok(None));
        assert_eq!(signers("[store]\nmax_size = \"2 GB\"\n"), Ok(None));
        assert_eq!(signers("[store.trust]\nkeys = []\n"), Ok(Some(Vec::new())), "nobody but oneself");
        let text = format!("[store.trust]\nkeys = [\n  \"{KEY} alice\", # of the lab\n]\n");
        assert_eq!(signers(&text), Ok(Some(vec!["alice".to_owned()])));
        let root = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(ProjectStore::read(root.path()).expect("no file is no list").signers, None);
        std::fs::write(root.path().join(PROJECT_FILE), &text).expect("the folder is writable");
        let store = root.path().join("store");
        assert!(StoreLimits::of_store(&store, Some(root.path())).is_ok());
        let elsewhere = root.path().join("elsewhere");
        assert!(StoreLimits::of_store(&store, Some(&elsewhere)).is_ok(), "another project's, above the store");
        let error = StoreLimits::of_store(root.path(), Some(&elsewhere)).unwrap_err().to_string();
        assert!(error.contains(":1:8: `store.trust` counts only in the root of a project"), "{error}");
        let remote = "[store.remote]\nurl = \"s3://theirs\"\n";
        std::fs::write(root.path().join(PROJECT_FILE), remote).expect("the folder is writable");
        let error = StoreLimits::of_store(root.path(), Some(&elsewhere)).unwrap_err().to_string();
        assert!(error.contains(":1:8: `store.remote` counts only in the root of a project"), "{error}");
    }

    #[test]
    fn mistakes_in_the_list_of_signers_are_reported_with_their_locations() {
        let text = format!("[store.trust]\nkeys = [\"alice\", 3, \"{KEY}\", \"{KEY} again\"]\nkey = 1\n");
        insta::assert_snapshot!(signers(&text).unwrap_err(), @r#"
        FILE:2:9: `alice` is no public key; write `ed25519:` and 64 hexadecimal digits, as `store keygen` prints
        FILE:2:18: a key must be a text, found the number 3
        FILE:2:97: the key ed25519:3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c is listed twice
        FILE:3:1: unknown field `key` in `store.trust`
          = fields: keys
          help: did you mean `keys`?
        "#);
        insta::assert_snapshot!(signers("[store.trust]\n").unwrap_err(), @r#"
        FILE:1:1: `store.trust` has no `keys`, so it would trust nobody
          help: list the public keys that `orchestrate store keygen` prints: keys = ["ed25519:… alice"]
        "#);
        let both = signers("[store]\nmax_size = \"2\"\n[store.trust]\nkeys = [\"alice\"]\n").unwrap_err();
        assert!(both.contains("FILE:2:12: `max_size`") && both.contains("FILE:4:9: `alice`"), "{both}");
        let no_table = signers("[store]\ntrust = [\"x\"]\n");
        assert_eq!(no_table.unwrap_err().trim_end(), "FILE:2:9: `store.trust` must be a table, found a list");
    }
}

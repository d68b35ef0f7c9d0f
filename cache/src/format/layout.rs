//! Where what lies in a store.
//!
//! | path | what |
//! |---|---|
//! | `format` | `orchestrate store 1`; a later number is refused and nothing is touched |
//! | `CACHEDIR.TAG` | tells backup programs that all of this can be made again |
//! | `packs/ID.pack` | action results, artifacts and small blobs; see `pack.rs` |
//! | `objects/ab/DIGEST` | blobs of 64 KiB and more, a read-only file each |
//! | `tmp/NUMBER/`, `tmp/NUMBER.lock` | what a running process has not finished, and what it needs; see `session.rs` |
//! | `claims/KEY` | who works on a key, for other hosts; see `host_lease.rs` |
//! | `checkpoints/KEY/` | what a killed stage resumes from; see `checkpoint.rs` |
//! | `runs/` | logs of runs; the engine's business |
//! | `quarantine/` | bytes that were not what their digest promised |
//! | `last-use` | when keys were last needed; see `last_use.rs` |
//! | `last-gc` | when garbage was last collected, in milliseconds since 1970 |
//! | `lineage` | a JSON line for each collected result: what it was and where it came from |
//! | `pins/NAME.json` | results that stay whatever the limits; see `pin.rs` |
//! | `pack-ends` | how long packs were; see `ends.rs` |
//! | `stat-cache` | digests of external files; see `file_digest.rs` |
//! | `leases.d/`, `gc.lock`, `use.lock` | files that carry kernel locks; see `lease.rs`, `gc.rs` and `using.rs` |
//!
//! A folder is opened for writing only if it has the file `format`, or is new or empty: then `CACHEDIR.TAG` and `format` are
//! written first, so that a process that is killed meanwhile leaves a folder that can still become a store. The folder itself may be reached by
//! links. Nothing in it may be one: files are opened without following links (`regular.rs`), and its folders are looked at when it is opened, or, where
//! there are many, before something is written there or removed. Names that a store does not make stay as they are (`names.rs`).

use std::ffi::OsString;
use std::fs::FileType;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::files::disk::{self, finished_name};
use crate::files::regular::{self, Irregular};
use crate::format::names::{FILES, FOLDERS, IGNORED, LATER_FOLDERS};
use crate::format::pack::Pack;
use crate::records::index::pack_ids;
use crate::value::artifact::ActionKey;
use crate::value::digest::Digest;

/// What a store may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Lookups and recording; the folder is made if it is missing.
    ReadWrite,
    /// Lookups; nothing in the folder changes.
    ReadOnly,
}

const FORMAT: u64 = 1;
const FORMAT_WORDS: &str = "orchestrate store ";
pub(crate) const CACHEDIR_TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # This folder is a cache of orchestrate; see https://bford.info/cachedir/\n";
/// A longer file is none of those that say what a folder is.
const SMALL_BYTES: u64 = 4096;
/// How many names an error lists.
const NAMES_SHOWN: usize = 3;

/// A name in a folder, and what has it.
type Entry = (OsString, FileType);

/// The paths of one store.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) dir: PathBuf,
}

impl Layout {
    /// Checks that the folder is a store, and makes it one if it may.
    pub(crate) fn open(dir: &Path, access: Access) -> Result<Self, StoreError> {
        let layout = Self { dir: std::path::absolute(dir).map_err(StoreError::io("find", dir))? };
        let mut made = layout.check_format()?;
        let entries = layout.entries()?;
        if !made && !layout.is_blank(&entries) {
            // Another process may have made it in between.
            made = layout.check_format()?;
            if !made {
                return Err(layout.holds_others(&entries));
            }
        }
        if made {
            layout.check_kinds(&entries)?;
        }
        // A folder that is not there yet, or blank, is a store that holds nothing.
        if access == Access::ReadWrite {
            layout.create(made, &entries)?;
        }
        Ok(layout)
    }

    /// Lists the folder itself.
    fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        match disk::entries(&self.dir) {
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotADirectory => {
                Err(self.not_a_store("it is no folder; name an empty or a new one"))
            }
            Ok(entries) if entries.is_empty() && self.dir.is_symlink() && !self.dir.exists() => {
                Err(self
                    .not_a_store("it is a link that leads nowhere; make the folder that it leads to, or name another"))
            }
            listed => listed,
        }
    }

    /// Whether a folder holds nothing, or what a killed process has left that was about to make a store of it.
    fn is_blank(&self, entries: &[Entry]) -> bool {
        entries.iter().all(|(name, kind)| {
            let Some(name) = name.to_str() else { return false };
            let text = match finished_name(name).unwrap_or(name) {
                "CACHEDIR.TAG" => CACHEDIR_TAG.to_owned(),
                "format" => format_text(),
                _ => return IGNORED.contains(&name),
            };
            let is_begun = match disk::read(&self.dir.join(name), SMALL_BYTES) {
                Ok(begun) => text.as_bytes().starts_with(&begun),
                // Whoever makes the store just now has given it its final name.
                Err(error) => error.kind() == io::ErrorKind::NotFound,
            };
            kind.is_file() && is_begun
        })
    }

    /// Refuses what is a link, or of another kind than a store makes it, wherever it leads.
    fn check_kinds(&self, entries: &[Entry]) -> Result<(), StoreError> {
        for (name, kind) in entries {
            let Some(name) = name.to_str() else { continue };
            let is_folder = FOLDERS.contains(&name) || LATER_FOLDERS.contains(&name);
            if is_folder && !kind.is_dir() || FILES.contains(&name) && !kind.is_file() {
                return Err(self.wrong_kind(
                    &self.dir.join(name),
                    if is_folder { "a folder" } else { "a file" },
                    *kind,
                ));
            }
        }
        Ok(())
    }

    fn create(&self, made: bool, entries: &[Entry]) -> Result<(), StoreError> {
        if !made {
            // What a killed process leaves of these alone is blank; whatever comes later stands in a folder that has a format.
            disk::create_dir(&self.dir)?;
            disk::replace(&self.cachedir_tag(), CACHEDIR_TAG.as_bytes(), true)?;
            // What carries a format has a durable name, and so have all folders above it.
            disk::sync_above(&self.dir)?;
            self.write_format()?;
        }
        for name in FOLDERS {
            if !entries.iter().any(|(entry, _)| entry == name) {
                disk::create_folder(&self.dir.join(name))?;
            }
        }
        Ok(())
    }

    fn write_format(&self) -> Result<(), StoreError> {
        disk::replace(&self.format(), format_text().as_bytes(), true)
    }

    /// Writes the file `format` anew if the folder is a store in which that file is damaged or gone; says what was done.
    ///
    /// One that names another format is not damaged, and stays. A folder without anything that only a store holds is none.
    pub(crate) fn mend_format(dir: &Path) -> Result<Option<String>, StoreError> {
        let layout = Self { dir: std::path::absolute(dir).map_err(StoreError::io("find", dir))? };
        match layout.check_format() {
            Ok(true) => return Ok(None),
            Ok(false) if !layout.is_known() => return Ok(None),
            Err(StoreError::NotAStore { .. }) if layout.is_known() => {}
            Err(error) => return Err(error),
            Ok(false) => {}
        }
        let mut kept = "it was not there".to_owned();
        if layout.format().symlink_metadata().is_ok() {
            let quarantined = layout.quarantine_of(&layout.format());
            disk::create_folder(&layout.quarantine())?;
            disk::rename(&layout.format(), &quarantined)?;
            kept = format!("what it was is kept as {}", quarantined.display());
        }
        layout.write_format()?;
        Ok(Some(format!("wrote {} anew ({kept})", layout.format().display())))
    }

    /// Whether the folder holds what only a store does, whatever its file `format` says.
    fn is_known(&self) -> bool {
        let is_folder = |path: &Path| path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        let tag = || disk::read(&self.cachedir_tag(), SMALL_BYTES).is_ok_and(|tag| tag == CACHEDIR_TAG.as_bytes());
        let pack = || {
            let ids = pack_ids(self).unwrap_or_default();
            ids.iter().any(|id| Pack::new(id, self.pack(id)).read_new().is_ok_and(|groups| !groups.is_empty()))
        };
        is_folder(&self.packs()) && is_folder(&self.objects()) && (tag() || pack())
    }

    /// Whether the folder says that it is a store of a format known here.
    fn check_format(&self) -> Result<bool, StoreError> {
        let path = self.format();
        let bytes = match disk::read(&path, SMALL_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(false);
            }
            Err(error) if Irregular::is_cause_of(&error) => {
                return Err(self.not_a_store(&format!("of its file `format`: {error}")));
            }
            Err(error) => return Err(StoreError::io("read", path)(error)),
        };
        let text = String::from_utf8_lossy(&bytes);
        match text.strip_prefix(FORMAT_WORDS).and_then(|number| number.trim_end().parse().ok()) {
            Some(FORMAT) => Ok(true),
            Some(found) if found > FORMAT => {
                Err(StoreError::NewerFormat { dir: self.dir.clone(), found, known: FORMAT })
            }
            _ => {
                let reason = format!("its file `format` does not say `orchestrate store 1`; {}", self.what_to_do());
                Err(self.not_a_store(&reason))
            }
        }
    }

    /// The error about a folder without a format in which something lies.
    fn holds_others(&self, entries: &[Entry]) -> StoreError {
        let mut names: Vec<_> = entries.iter().map(|(name, _)| format!("`{}`", name.display())).collect();
        names.sort_unstable();
        let more = if names.len() > NAMES_SHOWN { ", …" } else { "" };
        let names = names.into_iter().take(NAMES_SHOWN).collect::<Vec<_>>().join(", ");
        self.not_a_store(&format!("it has no file `format`, and holds {names}{more}; {}", self.what_to_do()))
    }

    fn what_to_do(&self) -> String {
        if self.is_known() {
            format!("if it was a store, mend it by `orchestrate store repair --store {}`", self.dir.display())
        } else {
            "name an empty or a new folder".to_owned()
        }
    }

    fn wrong_kind(&self, path: &Path, made: &'static str, kind: FileType) -> StoreError {
        let (dir, path) = (self.dir.clone(), path.to_owned());
        StoreError::WrongKind { dir, path, made, found: regular::name_of(kind) }
    }

    fn not_a_store(&self, reason: &str) -> StoreError {
        StoreError::NotAStore { dir: self.dir.clone(), reason: reason.to_owned() }
    }

    /// Where bytes go that cannot be trusted, by the path that they had.
    pub(crate) fn quarantine_of(&self, path: &Path) -> PathBuf {
        let name = path.strip_prefix(&self.dir).unwrap_or(path).to_string_lossy().replace('/', "-");
        self.quarantine().join(name)
    }

    pub(crate) fn cachedir_tag(&self) -> PathBuf {
        self.dir.join("CACHEDIR.TAG")
    }

    pub(crate) fn stat_cache(&self) -> PathBuf {
        self.dir.join("stat-cache")
    }

    fn format(&self) -> PathBuf {
        self.dir.join("format")
    }

    pub(crate) fn packs(&self) -> PathBuf {
        self.dir.join("packs")
    }

    pub(crate) fn pack(&self, id: &str) -> PathBuf {
        self.dir.join("packs").join(format!("{id}.pack"))
    }

    pub(crate) fn pack_ends(&self) -> PathBuf {
        self.dir.join("pack-ends")
    }

    pub(crate) fn objects(&self) -> PathBuf {
        self.dir.join("objects")
    }

    pub(crate) fn object(&self, digest: &Digest) -> PathBuf {
        let hex = digest.to_string();
        self.objects().join(&hex[..2]).join(hex)
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    pub(crate) fn quarantine(&self) -> PathBuf {
        self.dir.join("quarantine")
    }

    pub(crate) fn runs(&self) -> PathBuf {
        self.dir.join("runs")
    }

    pub(crate) fn checkpoints(&self) -> PathBuf {
        self.dir.join("checkpoints")
    }

    pub(crate) fn checkpoint(&self, key: &ActionKey) -> PathBuf {
        self.checkpoints().join(key.0.to_string())
    }

    pub(crate) fn last_use(&self) -> PathBuf {
        self.dir.join("last-use")
    }

    pub(crate) fn lineage(&self) -> PathBuf {
        self.dir.join("lineage")
    }

    pub(crate) fn leases(&self) -> PathBuf {
        self.dir.join("leases.d")
    }

    pub(crate) fn gc_lock(&self) -> PathBuf {
        self.dir.join("gc.lock")
    }

    pub(crate) fn use_lock(&self) -> PathBuf {
        self.dir.join("use.lock")
    }

    pub(crate) fn last_gc(&self) -> PathBuf {
        self.dir.join("last-gc")
    }

    pub(crate) fn pins(&self) -> PathBuf {
        self.dir.join("pins")
    }

    pub(crate) fn claims(&self) -> PathBuf {
        self.dir.join("claims")
    }

    pub(crate) fn claim(&self, key: &ActionKey) -> PathBuf {
        self.claims().join(key.0.to_string())
    }
}

fn format_text() -> String {
    format!("{FORMAT_WORDS}{FORMAT}\n")
}

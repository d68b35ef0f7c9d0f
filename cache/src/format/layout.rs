//! Layout of a store's folder.
//!
//! | path | content |
//! |---|---|
//! | `format` | `orchestrate store 2`; a later number is refused, and nothing is touched |
//! | `CACHEDIR.TAG` | a tag for backup programs: all of this can be made again |
//! | `packs/ID.pack` | action results, artifacts and small blobs (`pack.rs`) |
//! | `packs/ID.index` | the places of their records (`index_file.rs`) |
//! | `objects/ab/DIGEST` | blobs of 64 KiB and more, a read-only file each (`object.rs`) |
//! | `tmp/HOST-NUMBER/`, `tmp/HOST-NUMBER.lock` | unfinished files of a session, and its session file (`session.rs`) |
//! | `tmp/BOOT.seen` | what a host has seen of sessions of others (`watch.rs`) |
//! | `claims/KEY` | the process that works on a key, for other hosts (`claim.rs`) |
//! | `checkpoints/KEY/` | checkpoints of an unfinished stage (`checkpoint.rs`) |
//! | `runs/` | logs of runs; the engine's business |
//! | `quarantine/` | bytes that did not have their digest or checksum |
//! | `last-use` | times of last use (`last_use.rs`) |
//! | `last-gc` | time of the last garbage collection, in milliseconds since 1970 |
//! | `lineage` | a JSON line for each collected result (`lineage.rs`) |
//! | `pins/NAME.json` | results that stay whatever the limits (`pin.rs`) |
//! | `links/KEY/` | files of results for other programs (`links.rs`) |
//! | `remotes/ID/` | what is known of a remote, and what waits for its upload (`catalogue.rs`, `queue.rs`) |
//! | `jobs/RUN-NUMBER/` | tasks that a run submitted to a cluster; the engine's business |
//! | `forgetting` | what an interrupted forgetting has yet to remove (`forget.rs`) |
//! | `pack-ends` | durable lengths of packs (`pack_lengths.rs`) |
//! | `stat-cache` | digests of external files (`stat_cache.rs`) |
//! | `stat-caches/NAME` | the same for one user, where trust is limited (`file_digest.rs`) |
//! | `leases.d/`, `lease-files/`, `gc.lock`, `use.lock` | kernel locks (`lock/mod.rs`) |
//!
//! A folder becomes a store only if it is new or empty. `CACHEDIR.TAG` and `format` are written first, so a process
//! that is killed meanwhile leaves a folder that can still become a store. The folder itself may be reached by links.
//! Nothing in it may be one: files are opened without following links (`regular.rs`); folders are checked when the
//! store is opened or, if there are many, before a write or removal in them. Foreign names stay as they are
//! (`names.rs`).

use std::ffi::OsString;
use std::fs::FileType;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::files::disk::{self, finished_name};
use crate::files::regular::{self, Irregular};
use crate::files::rights;
use crate::format::names::{self, FILES, FOLDERS, IGNORED};
use crate::format::pack::Pack;
use crate::value::artifact::ActionKey;
use crate::value::digest::Digest;

/// The rights of an open store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Lookups and recording; the folder is created if it is missing.
    ReadWrite,
    /// Lookups; nothing in the folder changes.
    ReadOnly,
}

/// Format 1 has no index files, seals or hosts in names; a program that knows only it would lose records of format 2.
const FORMAT: u64 = 2;
const FORMAT_WORDS: &str = "orchestrate store ";
pub(crate) const CACHEDIR_TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # This folder is a cache of orchestrate; see https://bford.info/cachedir/\n";
/// Most bytes read of `format` and `CACHEDIR.TAG`.
const BYTES_MAX: u64 = 4096;
/// Names listed in an error.
const NAMES_SHOWN: usize = 3;

/// The ids of packs and of index files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PackNames {
    pub(crate) packs: Vec<String>,
    pub(crate) indexes: Vec<String>,
}

/// A name in a folder, and its type.
type Entry = (OsString, FileType);

/// The paths of one store.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) dir: PathBuf,
    /// True if it had a format of earlier programs when it was opened.
    pub(crate) is_old: bool,
}

impl Layout {
    /// Checks that the folder is a store, and makes it one if `access` allows that.
    pub(crate) fn open(dir: &Path, access: Access) -> Result<Self, StoreError> {
        let mut layout = Self::at(dir)?;
        let format = layout.check_format()?;
        layout.is_old = format.is_some_and(|format| format < FORMAT);
        let mut is_store = format.is_some();
        let entries = layout.entries()?;
        if !is_store && !layout.is_blank(&entries) {
            // Another process may have made it one in between.
            is_store = layout.check_format()?.is_some();
            if !is_store {
                return Err(layout.holds_others(&entries));
            }
        }
        if is_store {
            layout.check_kinds(&entries)?;
        }
        // To a reader, a missing or blank folder is an empty store.
        if access == Access::ReadWrite {
            layout.create(is_store, &entries)?;
        }
        Ok(layout)
    }

    /// Names the paths in a folder, whatever lies there.
    pub(crate) fn at(dir: &Path) -> Result<Self, StoreError> {
        let dir = std::path::absolute(dir).map_err(StoreError::io("find", dir))?;
        Ok(Self { dir, is_old: false })
    }

    /// Lists the folder itself.
    fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        match disk::entries(&self.dir) {
            Err(error) if error.is(io::ErrorKind::NotADirectory) => {
                Err(self.not_a_store("it is no folder; name an empty or a new one"))
            }
            Ok(entries) if entries.is_empty() && self.dir.is_symlink() && !self.dir.exists() => {
                Err(self
                    .not_a_store("it is a link that leads nowhere; make the folder that it leads to, or name another"))
            }
            listed => listed,
        }
    }

    /// Returns whether a folder is empty, or holds only the leftovers of a process that died while it made a store of
    /// it.
    fn is_blank(&self, entries: &[Entry]) -> bool {
        entries.iter().all(|(name, kind)| {
            let Some(name) = name.to_str() else { return false };
            let texts = match finished_name(name).unwrap_or(name) {
                "CACHEDIR.TAG" => vec![CACHEDIR_TAG.to_owned()],
                "format" => (1..=FORMAT).map(format_text).collect(),
                _ => return IGNORED.contains(&name),
            };
            let is_begun = match disk::read(&self.dir.join(name), BYTES_MAX) {
                Ok(begun) => texts.iter().any(|text| text.as_bytes().starts_with(&begun)),
                // Another process makes the store now and has just given the file its final name.
                Err(error) => error.kind() == io::ErrorKind::NotFound,
            };
            kind.is_file() && is_begun
        })
    }

    /// Refuses links, and anything of another kind than a store makes.
    fn check_kinds(&self, entries: &[Entry]) -> Result<(), StoreError> {
        for (name, kind) in entries {
            let Some(name) = name.to_str() else { continue };
            let made = match name {
                name if names::is_folder(name) && !kind.is_dir() => "a folder",
                name if FILES.contains(&name) && !kind.is_file() => "a file",
                _ => continue,
            };
            let (dir, path) = (self.dir.clone(), self.dir.join(name));
            return Err(StoreError::WrongKind { dir, path, made, found: regular::name_of(*kind) });
        }
        Ok(())
    }

    fn create(&self, is_store: bool, entries: &[Entry]) -> Result<(), StoreError> {
        if !is_store {
            // A kill between these leaves a blank folder; everything later stands in a folder with a format.
            disk::create_dir(&self.dir)?;
            rights::share_if_writable_by_group(&self.dir);
            disk::replace(&self.cachedir_tag(), CACHEDIR_TAG.as_bytes(), true)?;
            // A folder with a format has a durable name, and so have all folders above it.
            disk::sync_above(&self.dir)?;
            self.write_format()?;
        }
        let is_missing = |name: &&&str| !entries.iter().any(|(entry, _)| entry == **name);
        if is_store && is_missing(&&"CACHEDIR.TAG") {
            disk::replace(&self.cachedir_tag(), CACHEDIR_TAG.as_bytes(), true)?;
        }
        FOLDERS.iter().filter(is_missing).try_for_each(|name| disk::create_folder(&self.dir.join(name)))
    }

    /// Raises the format of a store to the present one; the caller has it alone.
    pub(crate) fn raise_format(&self) -> Result<(), StoreError> {
        let is_old = self.check_format()?.is_some_and(|found| found < FORMAT);
        if is_old { self.write_format() } else { Ok(()) }
    }

    fn write_format(&self) -> Result<(), StoreError> {
        disk::replace(&self.format(), format_text(FORMAT).as_bytes(), true)
    }

    /// Writes a damaged or missing file `format` anew, if the folder must be a store; returns a sentence about it.
    ///
    /// A file that names another format is not damaged, and stays.
    pub(crate) fn mend_format(dir: &Path) -> Result<Option<String>, StoreError> {
        let layout = Self::at(dir)?;
        match layout.check_format() {
            Ok(Some(_)) => return Ok(None),
            Ok(None) if !layout.is_known() => return Ok(None),
            Err(StoreError::NotAStore { .. }) if layout.is_known() => {}
            Err(error) => return Err(error),
            Ok(None) => {}
        }
        let mut kept = "it was not there".to_owned();
        if layout.format().symlink_metadata().is_ok() {
            let quarantined = layout.quarantine_of(&layout.format());
            disk::create_folder(&layout.quarantine())?;
            disk::rename(&layout.format(), &quarantined)?;
            kept = format!("the old one is kept as {}", quarantined.display());
        }
        layout.write_format()?;
        Ok(Some(format!("wrote {} anew ({kept})", layout.format().display())))
    }

    /// Returns whether the folder has contents of a store, whatever its file `format` says.
    fn is_known(&self) -> bool {
        let is_folder = |path: &Path| path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        let tag = || disk::read(&self.cachedir_tag(), BYTES_MAX).is_ok_and(|tag| tag == CACHEDIR_TAG.as_bytes());
        let pack = || {
            let ids = self.pack_ids().unwrap_or_default();
            ids.iter().any(|id| Pack::new(id, self.pack(id)).read_new().is_ok_and(|groups| !groups.is_empty()))
        };
        is_folder(&self.packs()) && is_folder(&self.objects()) && (tag() || pack())
    }

    /// Returns the number of the store's format; `None` if there is no file `format`.
    pub(crate) fn check_format(&self) -> Result<Option<u64>, StoreError> {
        let path = self.format();
        let bytes = match disk::read(&path, BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) if Irregular::is_cause_of(&error) => {
                return Err(self.not_a_store(&format!("of its file `format`: {error}")));
            }
            Err(error) => return Err(StoreError::io("read", path)(error)),
        };
        let text = String::from_utf8_lossy(&bytes);
        match text.strip_prefix(FORMAT_WORDS).and_then(|number| number.trim_end().parse().ok()) {
            Some(found) if found > FORMAT => {
                Err(StoreError::NewerFormat { dir: self.dir.clone(), found, known: FORMAT })
            }
            Some(found @ 1..=FORMAT) => Ok(Some(found)),
            _ => {
                let reason = format!("its file `format` does not say `{FORMAT_WORDS}{FORMAT}`; {}", self.advice());
                Err(self.not_a_store(&reason))
            }
        }
    }

    /// The error for a non-empty folder without a format.
    fn holds_others(&self, entries: &[Entry]) -> StoreError {
        let mut names: Vec<_> = entries.iter().map(|(name, _)| format!("`{}`", name.display())).collect();
        names.sort_unstable();
        let more = if names.len() > NAMES_SHOWN { ", …" } else { "" };
        names.truncate(NAMES_SHOWN);
        let names = names.join(", ");
        self.not_a_store(&format!("it has no file `format`, and holds {names}{more}; {}", self.advice()))
    }

    fn advice(&self) -> String {
        if self.is_known() {
            format!("if it was a store, mend it by `orchestrate store repair --store {}`", self.dir.display())
        } else {
            "name an empty or a new folder".to_owned()
        }
    }

    fn not_a_store(&self, reason: &str) -> StoreError {
        StoreError::NotAStore { dir: self.dir.clone(), reason: reason.to_owned() }
    }

    /// Lists the ids of all packs, sorted; an id begins with the time of its creation, so the oldest is first.
    pub(crate) fn pack_ids(&self) -> Result<Vec<String>, StoreError> {
        self.pack_names().map(|names| names.packs)
    }

    /// Lists the ids of all packs and index files, sorted.
    pub(crate) fn pack_names(&self) -> Result<PackNames, StoreError> {
        let mut found = PackNames::default();
        for name in disk::list_now(&self.packs())? {
            if let Some(id) = names::pack_id(&name) {
                found.packs.push(id.to_owned());
            } else if let Some(id) = names::index_id(&name) {
                found.indexes.push(id.to_owned());
            }
        }
        Ok(found)
    }

    /// Path in quarantine for the file of a store.
    pub(crate) fn quarantine_of(&self, path: &Path) -> PathBuf {
        let name = path.strip_prefix(&self.dir).unwrap_or(path).to_string_lossy().replace('/', "-");
        self.quarantine().join(name)
    }

    pub(crate) fn cachedir_tag(&self) -> PathBuf {
        self.dir.join("CACHEDIR.TAG")
    }

    pub(crate) fn stat_caches(&self) -> PathBuf {
        self.dir.join("stat-caches")
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

    pub(crate) fn remotes(&self) -> PathBuf {
        self.dir.join("remotes")
    }

    pub(crate) fn forgetting(&self) -> PathBuf {
        self.dir.join("forgetting")
    }

    pub(crate) fn leases(&self) -> PathBuf {
        self.dir.join("leases.d")
    }

    pub(crate) fn lease_files(&self) -> PathBuf {
        self.dir.join("lease-files")
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

    pub(crate) fn links(&self) -> PathBuf {
        self.dir.join("links")
    }

    pub(crate) fn jobs(&self) -> PathBuf {
        self.dir.join("jobs")
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

fn format_text(format: u64) -> String {
    format!("{FORMAT_WORDS}{format}\n")
}

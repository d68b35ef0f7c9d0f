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

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::artifact::ActionKey;
use crate::digest::Digest;
use crate::disk;
use crate::error::StoreError;
use crate::store::Access;

const FORMAT: u64 = 1;
const FORMAT_WORDS: &str = "orchestrate store ";
pub(crate) const CACHEDIR_TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # This folder is a cache of orchestrate; see https://bford.info/cachedir/\n";

/// The paths of one store.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) dir: PathBuf,
}

impl Layout {
    /// Checks that the folder is a store, and makes it one if it may.
    pub(crate) fn open(dir: &Path, access: Access) -> Result<Self, StoreError> {
        let layout = Self { dir: std::path::absolute(dir).map_err(StoreError::io("find", dir))? };
        let made = layout.check_format()?;
        match access {
            // A folder that is not there yet is a store that holds nothing.
            Access::ReadOnly if !made && layout.dir.exists() => {
                return Err(layout.not_a_store("it has no file `format`; run something first"));
            }
            Access::ReadOnly => {}
            Access::ReadWrite => layout.create(made)?,
        }
        Ok(layout)
    }

    fn create(&self, made: bool) -> Result<(), StoreError> {
        if !made {
            let names = disk::list(&self.dir)?;
            let ours = ["CACHEDIR.TAG", "runs", "packs", "objects", "tmp"];
            if !names.is_empty() && !names.iter().any(|name| ours.contains(&name.as_str())) {
                return Err(self.not_a_store("it holds other files; name an empty or a new folder"));
            }
        }
        for dir in [
            self.packs(),
            self.objects(),
            self.tmp(),
            self.quarantine(),
            self.runs(),
            self.checkpoints(),
            self.leases(),
        ] {
            if !dir.is_dir() {
                disk::create_dir(&dir)?;
            }
        }
        if !made {
            // What carries a format is durable, with all folders in it and above it.
            disk::replace(&self.cachedir_tag(), CACHEDIR_TAG.as_bytes(), true)?;
            disk::sync_above(&self.dir)?;
            // Last: what carries a format is complete.
            if self.objects().is_dir() && !disk::list(&self.packs())?.is_empty() {
                tracing::warn!("{} was missing and is written anew", self.format().display());
            }
            self.write_format()?;
        }
        Ok(())
    }

    fn write_format(&self) -> Result<(), StoreError> {
        disk::replace(&self.format(), format!("{FORMAT_WORDS}{FORMAT}\n").as_bytes(), true)
    }

    /// Writes the file `format` anew if the folder is a store in which that file is damaged; says what was done.
    ///
    /// One that names another format is not damaged, and stays.
    pub(crate) fn mend_format(dir: &Path) -> Result<Option<String>, StoreError> {
        let layout = Self { dir: std::path::absolute(dir).map_err(StoreError::io("find", dir))? };
        let is_store = layout.packs().is_dir() && layout.objects().is_dir();
        match layout.check_format() {
            Err(StoreError::NotAStore { .. }) if is_store => {}
            Err(error) => return Err(error),
            Ok(_) => return Ok(None),
        }
        let kept = layout.quarantine_of(&layout.format());
        disk::create_dir(&layout.quarantine())?;
        disk::rename(&layout.format(), &kept)?;
        layout.write_format()?;
        Ok(Some(format!("wrote {} anew (what it was is kept as {})", layout.format().display(), kept.display())))
    }

    /// Whether the folder says that it is a store of a format known here.
    fn check_format(&self) -> Result<bool, StoreError> {
        let path = self.format();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(StoreError::io("read", path)(error)),
        };
        let text = String::from_utf8_lossy(&bytes);
        match text.strip_prefix(FORMAT_WORDS).and_then(|number| number.trim_end().parse().ok()) {
            Some(FORMAT) => Ok(true),
            Some(found) if found > FORMAT => {
                Err(StoreError::NewerFormat { dir: self.dir.clone(), found, known: FORMAT })
            }
            _ => Err(self.not_a_store("its file `format` does not say `orchestrate store 1`; name another folder, or if it was a store, mend it by \
                 `orchestrate store repair`")),
        }
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

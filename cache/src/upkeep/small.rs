//! What is wrong with the small files of a store, beside packs and objects, and how each is mended.

use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::external::file_digest;
use crate::files::disk;
use crate::files::regular::Irregular;
use crate::format::checkpoint;
use crate::format::layout::{CACHEDIR_TAG, Layout};
use crate::format::names;
use crate::records::ends;
use crate::store::last_use;
use crate::upkeep::lineage;
use crate::upkeep::pin;
use crate::upkeep::verify::Problem;

/// A longer file is not read: none of them grows to this.
const BYTES_MAX: u64 = lineage::BYTES_MAX;

/// A small file that is not as it was written.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) problem: Problem,
    /// Whether a crash may have left it so.
    pub(crate) torn: bool,
    /// What can stand in its place; nothing where it is made again when needed.
    mended: Option<Vec<u8>>,
}

/// Looks at all small files.
pub(crate) fn findings(layout: &Layout) -> Result<Vec<Finding>, StoreError> {
    let mut findings = Vec::new();
    let mut add = |path: PathBuf, message: String, torn, mended| {
        findings.push(Finding { problem: Problem { path, message }, torn, mended });
    };
    for (path, damage) in [
        (layout.last_use(), last_use::damage as fn(&[u8]) -> Option<(String, bool, Vec<u8>)>),
        (layout.lineage(), lineage::damage),
    ] {
        match read(&path)? {
            Read::Bytes(bytes) => {
                if let Some((message, torn, whole)) = damage(&bytes) {
                    add(path, message, torn, Some(whole));
                }
            }
            Read::Nothing => {}
            Read::Refused(message) => add(path, message, false, None),
        }
    }
    match read(&layout.stat_cache())? {
        Read::Bytes(bytes) => {
            if !file_digest::is_whole(bytes) {
                let message = "it is damaged, so that all external files are read anew".to_owned();
                add(layout.stat_cache(), message, false, None);
            }
        }
        Read::Refused(message) => add(layout.stat_cache(), message, false, None),
        Read::Nothing => {}
    }
    if ends::read(layout).is_none() {
        add(
            layout.pack_ends(),
            "it is damaged, so that a pack that is cut or gone is not missed".to_owned(),
            false,
            None,
        );
    }
    if !matches!(read(&layout.cachedir_tag())?, Read::Bytes(bytes) if bytes == CACHEDIR_TAG.as_bytes()) {
        let message = "it is missing or damaged, so that backups copy the store".to_owned();
        add(layout.cachedir_tag(), message, false, Some(CACHEDIR_TAG.as_bytes().to_vec()));
    }
    for name in disk::list(&layout.pins())?.into_iter().filter(|name| names::is_pin(name)) {
        let path = layout.pins().join(name);
        let message = match read(&path)? {
            Read::Bytes(bytes) => pin::problem(&bytes),
            Read::Nothing => None,
            Read::Refused(message) => Some(message),
        };
        if let Some(message) = message {
            add(path, format!("{message}; nothing is collected until it is repaired or unpinned"), false, None);
        }
    }
    for key in checkpoint::keys(layout)? {
        for file in disk::list(&layout.checkpoint(&key))? {
            let path = layout.checkpoint(&key).join(file);
            if let Some(message) = checkpoint::problem(&path, &key) {
                add(path, format!("{message}; its stage goes on from an earlier one or begins anew"), false, None);
            }
        }
    }
    Ok(findings)
}

/// What there is to read of a file.
enum Read {
    Bytes(Vec<u8>),
    Nothing,
    /// Why it is not read.
    Refused(String),
}

fn read(path: &Path) -> Result<Read, StoreError> {
    match disk::read(path, BYTES_MAX) {
        Ok(bytes) => Ok(Read::Bytes(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Read::Nothing),
        Err(error) if Irregular::is_cause_of(&error) => Ok(Read::Refused(error.to_string())),
        Err(error) => Err(StoreError::io("read", path)(error)),
    }
}

impl Finding {
    /// Keeps the file in quarantine and puts what can be kept of it in its place; says so.
    pub(crate) fn mend(&self, layout: &Layout) -> Result<String, StoreError> {
        let path = &self.problem.path;
        let quarantined = layout.quarantine_of(path);
        let kept = match read(path)? {
            Read::Bytes(bytes) => {
                disk::replace(&quarantined, &bytes, true)?;
                format!("kept as {}", quarantined.display())
            }
            Read::Nothing => "it was not there".to_owned(),
            Read::Refused(_) => {
                disk::rename(path, &quarantined)?;
                format!("kept as {}", quarantined.display())
            }
        };
        match &self.mended {
            Some(bytes) => disk::replace(path, bytes, true)?,
            None => disk::remove_file(path)?,
        }
        let verb = if self.mended.is_some() { "mended" } else { "removed" };
        Ok(format!("{verb} {} ({kept})", path.display()))
    }
}

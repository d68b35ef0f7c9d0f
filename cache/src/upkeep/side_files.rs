//! Damage and repair of the files beside packs and objects: lists, caches, pins, checkpoints and the tag for backups.

use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::external::stat_cache::StatCache;
use crate::files::disk;
use crate::files::regular::Irregular;
use crate::format::checkpoint::{self, Checkpoints};
use crate::format::layout::{CACHEDIR_TAG, Layout};
use crate::format::names;
use crate::records::pack_lengths;
use crate::store::last_use;
use crate::trust::stamp::STAMP_LEN;
use crate::upkeep::problem::Problem;
use crate::upkeep::{forget, lineage, pin};

/// A longer file is not read: none of them grows to this.
const BYTES_MAX: u64 = lineage::BYTES_MAX;

/// A damaged file.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) problem: Problem,
    /// True if a crash may have left it so.
    pub(crate) torn: bool,
    /// Bytes to put in its place; `None` if it is made again on demand.
    mended: Option<Vec<u8>>,
}

/// Makes a finding about a file to be removed, if it is damaged.
fn removable(path: PathBuf, damage: Option<String>) -> Option<Finding> {
    damage.map(|message| Finding { problem: Problem::new(path, message), torn: false, mended: None })
}

/// Checks all of these files.
pub(crate) fn findings(layout: &Layout) -> Result<Vec<Finding>, StoreError> {
    let mut findings = Vec::new();
    for (path, damage) in [
        (layout.last_use(), last_use::damage as fn(&[u8]) -> Option<(String, bool, Vec<u8>)>),
        (layout.lineage(), lineage::damage),
    ] {
        match read(&path)? {
            Read::Bytes(bytes) => findings.extend(damage(&bytes).map(|(message, torn, whole)| Finding {
                problem: Problem::new(path, message),
                torn,
                mended: Some(whole),
            })),
            Read::Nothing => {}
            Read::Refused(message) => findings.extend(removable(path, Some(message))),
        }
    }
    let message = || "it is damaged, so all external files are read anew".to_owned();
    let is_damaged = |bytes: &[u8]| StatCache::decode(bytes.to_vec()).is_none().then(message);
    findings.extend(removable(layout.stat_cache(), damage(&layout.stat_cache(), is_damaged)?));
    for name in disk::list(&layout.stat_caches())?.into_iter().filter(|name| names::is_digest(name)) {
        let path = layout.stat_caches().join(name);
        // Only its user can check the stamp.
        let is_damaged = |bytes: &[u8]| bytes.get(STAMP_LEN..).map_or_else(|| Some(message()), is_damaged);
        let damage = damage(&path, is_damaged)?;
        findings.extend(removable(path, damage));
    }
    let message = || "it is damaged, so a pack that is cut or gone is not noticed".to_owned();
    findings.extend(removable(layout.pack_ends(), pack_lengths::read(layout).is_none().then(message)));
    let path = layout.forgetting();
    let message =
        damage(&path, forget::problem)?.map(|text| format!("{text}; forget the same again, as bytes may be left"));
    findings.extend(removable(path, message));
    if !matches!(read(&layout.cachedir_tag())?, Read::Bytes(bytes) if bytes == CACHEDIR_TAG.as_bytes()) {
        let message = "it is missing or damaged, so backups copy the store";
        let mended = Some(CACHEDIR_TAG.as_bytes().to_vec());
        findings.push(Finding { problem: Problem::new(layout.cachedir_tag(), message), torn: false, mended });
    }
    for name in disk::list(&layout.pins())?.into_iter().filter(|name| names::is_pin(name)) {
        let path = layout.pins().join(name);
        let message = damage(&path, pin::problem)?;
        let message = message.map(|text| format!("{text}; nothing is collected until it is repaired or unpinned"));
        findings.extend(removable(path, message));
    }
    for key in checkpoint::keys(layout)? {
        for (path, message) in Checkpoints::new(&layout.checkpoint(&key), key).damaged()? {
            let message = format!("{message}; its stage goes on from an earlier one or begins anew");
            findings.extend(removable(path, Some(message)));
        }
    }
    Ok(findings)
}

/// Returns the damage of a file, as far as it exists.
fn damage(path: &Path, of: impl Fn(&[u8]) -> Option<String>) -> Result<Option<String>, StoreError> {
    Ok(match read(path)? {
        Read::Bytes(bytes) => of(&bytes),
        Read::Nothing => None,
        Read::Refused(message) => Some(message),
    })
}

/// Outcome of reading a file.
enum Read {
    Bytes(Vec<u8>),
    Nothing,
    /// It is no regular file, or too long.
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
    /// Keeps the file in quarantine and puts the mended bytes in its place; returns a sentence about it.
    pub(crate) fn mend(&self, layout: &Layout) -> Result<String, StoreError> {
        let path = &self.problem.path;
        let quarantined = layout.quarantine_of(path);
        let mut kept = format!("kept as {}", quarantined.display());
        match read(path)? {
            Read::Bytes(bytes) => disk::replace(&quarantined, &bytes, true)?,
            Read::Nothing => kept = "it was not there".to_owned(),
            Read::Refused(_) => disk::rename(path, &quarantined)?,
        }
        let verb = match &self.mended {
            Some(bytes) => disk::replace(path, bytes, true).map(|()| "mended")?,
            None => disk::remove_file(path).map(|()| "removed")?,
        };
        Ok(format!("{verb} {} ({kept})", path.display()))
    }
}

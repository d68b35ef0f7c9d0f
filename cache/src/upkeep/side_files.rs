//! Damage and repair of the files beside packs and objects: lists, caches, pins, checkpoints and the tag for backups.

use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::thread;

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
use crate::upkeep::problem::{LOOK_AGAIN, Problem};
use crate::upkeep::{forget, lineage, pin};

/// A longer file is not read: none of them grows to this.
const BYTES_MAX: u64 = lineage::BYTES_MAX;

/// A damaged file.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) problem: Problem,
    /// True if a crash may have left it so.
    pub(crate) torn: bool,
    mending: Mending,
}

/// The way to mend a damaged file.
#[derive(Debug)]
enum Mending {
    /// Put these bytes in its place.
    Replace(Vec<u8>),
    /// Remove it, as it is made again on demand.
    Remove,
    /// None: this user may not read it, so it may well be sound.
    Leave,
}

/// Checks all of these files, beside processes that write them: a file is damaged if two looks say so.
pub(crate) fn confirmed(layout: &Layout) -> Result<Vec<Finding>, StoreError> {
    let mut findings = findings(layout)?;
    if !findings.is_empty() {
        thread::sleep(LOOK_AGAIN);
        let again: HashSet<_> = self::findings(layout)?.into_iter().map(|finding| finding.problem.path).collect();
        findings.retain(|finding| again.contains(&finding.problem.path));
    }
    Ok(findings)
}

/// Checks all of these files once.
pub(crate) fn findings(layout: &Layout) -> Result<Vec<Finding>, StoreError> {
    let mut found = Vec::new();
    for (path, damage) in [
        (layout.last_use(), last_use::damage as fn(&[u8]) -> Option<(String, bool, Vec<u8>)>),
        (layout.lineage(), lineage::damage),
    ] {
        let judge = |bytes: &[u8]| damage(bytes).map(|(message, torn, whole)| (message, torn, Mending::Replace(whole)));
        found.extend(look(path, judge)?);
    }
    let message = || "it is damaged, so all external files are read anew".to_owned();
    let is_damaged = |bytes: &[u8]| StatCache::decode(bytes.to_vec()).is_none().then(message);
    found.extend(look_at_made(layout.stat_cache(), is_damaged)?);
    for name in list(&layout.stat_caches(), &mut found).into_iter().filter(|name| names::is_digest(name)) {
        // Only its user can check the stamp.
        let is_damaged = |bytes: &[u8]| bytes.get(STAMP_LEN..).map_or_else(|| Some(message()), is_damaged);
        found.extend(look_at_made(layout.stat_caches().join(name), is_damaged)?);
    }
    let message = || "it is damaged, so a pack that is cut or gone is not noticed".to_owned();
    found.extend(look_at_made(layout.pack_ends(), |_| pack_lengths::read(layout).is_none().then(message))?);
    found.extend(look_at_made(layout.forgetting(), |bytes| {
        forget::problem(bytes).map(|text| format!("{text}; forget the same again, as bytes may be left"))
    })?);
    let tag = layout.cachedir_tag();
    let message = "it is missing or damaged, so backups copy the store";
    let lost = || (message.to_owned(), false, Mending::Replace(CACHEDIR_TAG.as_bytes().to_vec()));
    found.extend(look(tag.clone(), |bytes| (bytes != CACHEDIR_TAG.as_bytes()).then(lost))?);
    if tag.symlink_metadata().is_err() {
        found.push(Finding::new(tag, lost()));
    }
    for name in list(&layout.pins(), &mut found).into_iter().filter(|name| names::is_pin(name)) {
        found.extend(look_at_made(layout.pins().join(name), |bytes| {
            pin::problem(bytes).map(|text| format!("{text}; nothing is collected until it is repaired or unpinned"))
        })?);
    }
    for key in checkpoint::keys(layout)? {
        let checkpoints = Checkpoints::new(&layout.checkpoint(&key), key);
        for name in list(&layout.checkpoint(&key), &mut found).into_iter().filter(|name| names::is_checkpoint(name)) {
            found.extend(look_at_made(layout.checkpoint(&key).join(name), |bytes| {
                let message = checkpoints.problem(bytes)?;
                Some(format!("{message}; its stage goes on from an earlier one or begins anew"))
            })?);
        }
    }
    Ok(found)
}

/// The message about a damaged file, whether a crash may have left it so, and the way to mend it.
type Judgement = (String, bool, Mending);

/// Reads a file, as far as it exists, and judges its bytes.
fn look(path: PathBuf, judge: impl FnOnce(&[u8]) -> Option<Judgement>) -> Result<Option<Finding>, StoreError> {
    let judgement = match read(&path)? {
        Read::Bytes(bytes) => judge(&bytes),
        Read::Nothing => None,
        Read::Refused(message) => Some((message, false, Mending::Remove)),
        Read::Denied(message) => Some((message, false, Mending::Leave)),
    };
    Ok(judgement.map(|judgement| Finding::new(path, judgement)))
}

/// Does the same for a file that is made again on demand.
fn look_at_made(path: PathBuf, damage: impl FnOnce(&[u8]) -> Option<String>) -> Result<Option<Finding>, StoreError> {
    look(path, |bytes| damage(bytes).map(|message| (message, false, Mending::Remove)))
}

/// Lists a folder; one that cannot be listed is a finding.
fn list(dir: &Path, found: &mut Vec<Finding>) -> Vec<String> {
    disk::list(dir).unwrap_or_else(|error| {
        found.push(Finding::new(dir.to_owned(), (error.to_string(), false, Mending::Leave)));
        Vec::new()
    })
}

/// Outcome of reading a file.
enum Read {
    Bytes(Vec<u8>),
    Nothing,
    /// It is no regular file, or too long, or its disk is bad.
    Refused(String),
    /// This user may not read it, so it may well be sound.
    Denied(String),
}

fn read(path: &Path) -> Result<Read, StoreError> {
    match disk::read(path, BYTES_MAX) {
        Ok(bytes) => Ok(Read::Bytes(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Read::Nothing),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Ok(Read::Denied(StoreError::io("read", path)(error).to_string()))
        }
        Err(error) if Irregular::is_cause_of(&error) => Ok(Read::Refused(error.to_string())),
        Err(error) if error.raw_os_error() == Some(nix::libc::EIO) => Ok(Read::Refused(error.to_string())),
        Err(error) => Err(StoreError::io("read", path)(error)),
    }
}

impl Finding {
    fn new(path: PathBuf, (message, torn, mending): Judgement) -> Self {
        Self { problem: Problem::new(path, message), torn, mending }
    }

    /// Keeps the file in quarantine and puts the mended bytes in its place; returns a sentence about it.
    pub(crate) fn mend(&self, layout: &Layout) -> Result<String, StoreError> {
        let path = &self.problem.path;
        if matches!(self.mending, Mending::Leave) {
            return Err(StoreError::io("mend", path)(io::Error::other(self.problem.message.clone())));
        }
        let quarantined = layout.quarantine_of(path);
        let mut kept = format!("kept as {}", quarantined.display());
        match read(path)? {
            Read::Bytes(bytes) => disk::replace(&quarantined, &bytes, true)?,
            Read::Nothing => kept = "it was not there".to_owned(),
            Read::Refused(_) => disk::rename(path, &quarantined)?,
            Read::Denied(message) => return Err(StoreError::io("mend", path)(io::Error::other(message))),
        }
        let verb = match &self.mending {
            Mending::Replace(bytes) => disk::replace(path, bytes, true).map(|()| "mended")?,
            _ => disk::remove_file(path).map(|()| "removed")?,
        };
        Ok(format!("{verb} {} ({kept})", path.display()))
    }
}

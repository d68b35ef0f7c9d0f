//! What is wrong with the small files of a store, beside packs and objects, and how each is mended.

use std::fs;
use std::path::{Path, PathBuf};

use crate::artifact::ActionKey;
use crate::checkpoint;
use crate::disk;
use crate::ends;
use crate::error::StoreError;
use crate::file_digest;
use crate::last_use;
use crate::layout::{CACHEDIR_TAG, Layout};
use crate::lineage;
use crate::pin;
use crate::verify::Problem;

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
        if let Some((message, torn, whole)) = read(&path)?.and_then(|bytes| damage(&bytes)) {
            add(path, message, torn, Some(whole));
        }
    }
    if read(&layout.stat_cache())?.is_some_and(|bytes| !file_digest::is_whole(bytes)) {
        let message = "it is damaged, so that all external files are read anew".to_owned();
        add(layout.stat_cache(), message, false, None);
    }
    if ends::read(layout).is_none() {
        add(
            layout.pack_ends(),
            "it is damaged, so that a pack that is cut or gone is not missed".to_owned(),
            false,
            None,
        );
    }
    if read(&layout.cachedir_tag())?.as_deref() != Some(CACHEDIR_TAG.as_bytes()) {
        let message = "it is missing or damaged, so that backups copy the store".to_owned();
        add(layout.cachedir_tag(), message, false, Some(CACHEDIR_TAG.as_bytes().to_vec()));
    }
    for name in disk::list(&layout.pins())?.into_iter().filter(|name| !name.starts_with(disk::NEW)) {
        let path = layout.pins().join(name);
        if let Some(message) = read(&path)?.and_then(|bytes| pin::problem(&bytes)) {
            add(path, format!("{message}; nothing is collected until it is repaired or unpinned"), false, None);
        }
    }
    for name in disk::list(&layout.checkpoints())? {
        let Ok(key) = name.parse().map(ActionKey) else { continue };
        for file in disk::list(&layout.checkpoint(&key))? {
            let path = layout.checkpoint(&key).join(file);
            if let Some(message) = checkpoint::problem(&path, &key) {
                add(path, format!("{message}; its stage goes on from an earlier one or begins anew"), false, None);
            }
        }
    }
    Ok(findings)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("read", path)(error)),
    }
}

impl Finding {
    /// Keeps the file in quarantine and puts what can be kept of it in its place; says so.
    pub(crate) fn mend(&self, layout: &Layout) -> Result<String, StoreError> {
        let path = &self.problem.path;
        let kept = match read(path)? {
            Some(bytes) => {
                let kept = layout.quarantine_of(path);
                disk::replace(&kept, &bytes, true)?;
                format!("kept as {}", kept.display())
            }
            None => "it was not there".to_owned(),
        };
        match &self.mended {
            Some(bytes) => disk::replace(path, bytes, true)?,
            None => disk::remove_file(path)?,
        }
        let verb = if self.mended.is_some() { "mended" } else { "removed" };
        Ok(format!("{verb} {} ({kept})", path.display()))
    }
}

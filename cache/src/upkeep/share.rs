//! Sharing of a store with the group of its folder, as `git init --shared` does.
//!
//! The folder gets the setgid bit and the rights of its owner for its group, so that all that is made in it from then
//! on is shared (`rights.rs`). What is there already is shared too, as far as it belongs to this user. Logs of nodes
//! stay as they are: some are private.

use std::fs::{self, FileType};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::files::disk;
use crate::files::rights::{self, Rights};
use crate::format::layout::Access;
use crate::format::names;
use crate::store::Store;

impl Store {
    /// Shares the store with the group of its folder; lists what only its owner or root can share.
    pub fn share(&self) -> Result<Vec<PathBuf>, StoreError> {
        if self.access() == Access::ReadOnly {
            return Err(self.read_only());
        }
        rights::share(self.dir()).map_err(StoreError::io("share", self.dir()))?;
        if Rights::inside(self.dir()).is_none() {
            let reason = match rights::is_sticky(self.dir()) {
                true => "it is sticky, so members could not replace each other's files; `chmod -t` it first",
                false => "only a member of its group can share it; change the group by `chgrp` first",
            };
            let error = io::Error::other(reason);
            return Err(StoreError::io("share", self.dir())(error));
        }
        let gid = fs::metadata(self.dir()).map_err(StoreError::io("read", self.dir()))?.gid();
        let mut refused = Vec::new();
        let is_ours = |name: &str, kind: &FileType| {
            kind.is_dir() && names::is_folder(name) || kind.is_file() && names::FILES.contains(&name)
        };
        for (name, kind) in disk::entries(self.dir())? {
            if name.to_str().is_some_and(|name| is_ours(name, &kind)) {
                share_all(&self.dir().join(name), kind, gid, &mut refused);
            }
        }
        refused.sort_unstable();
        Ok(refused)
    }
}

/// Shares a file, or a folder with all in it. No link is followed.
fn share_all(path: &Path, kind: FileType, gid: u32, refused: &mut Vec<PathBuf>) {
    if rights::give_group(path, gid).and_then(|()| rights::share(path)).is_err() {
        refused.push(path.to_owned());
    }
    let is_of_logs = kind.is_dir() && path.file_name().is_some_and(|name| name == names::NODE_LOGS);
    if !kind.is_dir() || is_of_logs {
        return;
    }
    // One that cannot be listed could not be shared either.
    for (name, kind) in disk::entries(path).unwrap_or_default() {
        share_all(&path.join(name), kind, gid, refused);
    }
}

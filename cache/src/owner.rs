//! Names of the owners of files, for messages: whoever may not read a file asks its owner.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User};

/// Describes the owner, group and mode of a file in brackets, or those of its folder if there is no such file.
pub(crate) fn note(path: &Path) -> String {
    let own = fs::symlink_metadata(path).map(|metadata| ("it", metadata));
    let found = own.or_else(|error| match path.parent() {
        Some(dir) => fs::symlink_metadata(dir).map(|metadata| ("its folder", metadata)),
        None => Err(error),
    });
    let Ok((subject, metadata)) = found else { return String::new() };
    let (user, group, mode) = (user(metadata.uid()), group(metadata.gid()), metadata.mode() & 0o7777);
    format!(" ({subject} belongs to {user}, group {group}, mode {mode:04o})")
}

/// Returns the name of a user, or the number of one without a name.
fn user(id: u32) -> String {
    let known = User::from_uid(Uid::from_raw(id)).ok().flatten();
    known.map_or_else(|| format!("user {id}"), |user| user.name)
}

fn group(id: u32) -> String {
    let known = Group::from_gid(Gid::from_raw(id)).ok().flatten();
    known.map_or_else(|| id.to_string(), |group| group.name)
}

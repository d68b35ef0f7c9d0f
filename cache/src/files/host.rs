//! The host: processes with the same [`Host::id`] see each other's kernel locks in a folder.
//!
//! The id is part of the names of packs, sessions and unfinished files, so that nobody appends to a pack, or removes
//! the files, of a process whose lock may not reach. It is a digest of
//!
//! - the machine id and the name of the host: containers of one image share the former and differ in the latter;
//! - on filesystems that are not known to be local, also the last start of the host, and the device number of the
//!   mount. So two mounts of one share on one machine have two ids (locks on FUSE may stay within a mount), and so do
//!   two machines that were cloned with their names. It also changes whenever such a machine starts.
//!
//! A local disk belongs to one kernel, so its locks reach everybody; there the id stays when the host starts again.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::value::digest::Digest;

/// Hexadecimal digits of an id.
pub(crate) const HOST_LEN: usize = 12;

/// This host, as it sees one folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) id: String,
    /// For people.
    pub(crate) name: String,
}

impl Host {
    /// Returns the host for a folder.
    pub(crate) fn of(dir: &Path) -> Self {
        let name = name();
        let machine = first_line("/etc/machine-id");
        let mut facts = format!("{machine}\n{name}\n");
        // An image of a container may have no machine id.
        if machine.is_empty() || !is_local(dir) {
            let device = fs::metadata(dir).map(|metadata| metadata.dev()).unwrap_or_default();
            facts += &format!("{}\n{device}\n", first_line("/proc/sys/kernel/random/boot_id"));
        }
        let id = Digest::of(facts.as_bytes()).to_string()[..HOST_LEN].to_owned();
        Self { id, name }
    }
}

/// Returns an id of the last start of this host, which all its containers share.
pub(crate) fn boot() -> String {
    let boot = first_line("/proc/sys/kernel/random/boot_id");
    Digest::of(boot.as_bytes()).to_string()[..HOST_LEN].to_owned()
}

/// Returns the name of this host.
pub(crate) fn name() -> String {
    nix::unistd::gethostname().map_or_else(|_| "unknown".to_owned(), |name| name.to_string_lossy().into())
}

/// Returns whether a text is the id of a host.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == HOST_LEN && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn first_line(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim_end().to_owned()
}

/// Returns whether a folder lies on a filesystem that one kernel has to itself.
#[cfg(target_os = "linux")]
fn is_local(dir: &Path) -> bool {
    use nix::sys::statfs::{
        BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, F2FS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC, XFS_SUPER_MAGIC,
        statfs,
    };
    let local =
        [EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC, TMPFS_MAGIC, F2FS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC];
    statfs(dir).is_ok_and(|facts| local.contains(&facts.filesystem_type()))
}

/// Other systems have other numbers for filesystems.
#[cfg(not(target_os = "linux"))]
fn is_local(_dir: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_id_for_all_folders_of_a_local_disk() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        let (one, two) = (Host::of(dir.path()), Host::of(&dir.path().join("a")));
        assert_eq!(one, two);
        assert_eq!(one.id.len(), HOST_LEN);
        if cfg!(target_os = "linux") {
            assert_ne!(Host::of(Path::new("/proc")).id, one.id, "no local disk");
        }
    }
}

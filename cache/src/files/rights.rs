//! Rights of what is made in a folder that a group shares.
//!
//! A folder with the setgid bit is shared: what is made in it gets the rights of the folder, whatever the umask is, as
//! git does by `core.sharedRepository`. So the folder of a store decides for all that everybody makes in it: `2775`
//! gives files `664` and folders `2775`, `2770` gives `660` and `2770`, and read-only files `444` and `440`. The kernel
//! gives them the group of the folder. In any other folder the umask decides; nothing below a private folder can be
//! reached, whatever its own mode is. A sticky folder, such as `/tmp`, shares nothing.
//!
//! Rights are complete before a name is: under a umask that would cut them, a file or folder is made as `.new-NAME`,
//! gets its rights, and then its name. So nobody meets a pack or a lock that he may not open.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;
use std::sync::OnceLock;

use nix::unistd::{Gid, fchown};

const SETGID: u32 = 0o2000;
const STICKY: u32 = 0o1000;
const GROUP_WRITE: u32 = 0o020;

/// The rights that a shared folder gives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rights {
    /// The mode of the folder.
    mode: u32,
    /// The group of the folder.
    gid: u32,
}

impl Rights {
    /// Returns the rights in the folder of a path; `None` if the umask decides there.
    pub(crate) fn beside(path: &Path) -> Option<Self> {
        Self::inside(path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")))
    }

    /// Returns the rights in a folder; `None` if the umask decides there.
    pub(crate) fn inside(dir: &Path) -> Option<Self> {
        let metadata = fs::metadata(dir).ok()?;
        let (mode, gid) = (metadata.mode(), metadata.gid());
        (mode & (SETGID | STICKY) == SETGID).then_some(Self { mode, gid })
    }

    /// Returns the mode of a file in the folder: as asked for, as far as the folder allows it.
    pub(crate) fn of_file(self, asked: u32) -> u32 {
        asked & (self.mode & 0o077 | 0o700)
    }

    /// Returns the mode of a folder in the folder.
    pub(crate) fn of_folder(self) -> u32 {
        self.mode & 0o077 | 0o700
    }

    /// Returns whether the umask of this process takes rights away.
    pub(crate) fn are_cut(mode: u32) -> bool {
        mode & umask() != 0
    }

    /// Gives a file of this process its rights, and the group of the folder if it came from elsewhere.
    pub(crate) fn give(self, file: &File, asked: u32) -> io::Result<()> {
        if file.metadata()?.gid() != self.gid {
            // Only a member of the group can; others have shared nothing with it.
            let _ = fchown(file, None, Some(Gid::from_raw(self.gid)));
        }
        file.set_permissions(Permissions::from_mode(self.of_file(asked)))
    }

    /// Gives a new folder its rights.
    pub(crate) fn give_folder(self, dir: &Path) -> io::Result<()> {
        fs::set_permissions(dir, Permissions::from_mode(self.of_folder() | SETGID))
    }
}

/// Marks a folder as shared if its group may write to it and this user owns it.
pub(crate) fn share_if_writable_by_group(dir: &Path) {
    let Ok(metadata) = fs::metadata(dir) else { return };
    let mode = metadata.mode() & 0o7777;
    if mode & (GROUP_WRITE | SETGID | STICKY) == GROUP_WRITE
        && let Err(error) = fs::set_permissions(dir, Permissions::from_mode(mode | SETGID))
    {
        tracing::debug!("{} does not get the setgid bit: {error}", dir.display());
    }
}

/// Gives a file or folder the group of a shared folder, unless it has it.
pub(crate) fn give_group(path: &Path, gid: u32) -> io::Result<()> {
    if fs::symlink_metadata(path)?.gid() == gid { Ok(()) } else { lchown(path, None, Some(gid)) }
}

/// Shares a file or folder of this user with its group: it may do what the owner may.
pub(crate) fn share(path: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    let (mode, is_dir) = (metadata.mode() & 0o7777, metadata.is_dir());
    let shared = mode | (mode & 0o600) >> 3 | if is_dir { SETGID | 0o070 } else { 0 };
    if shared == mode || !(is_dir || metadata.is_file()) {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(shared))
}

/// Returns whether a folder is sticky: there only its owner can replace a file.
pub(crate) fn is_sticky(dir: &Path) -> bool {
    fs::metadata(dir).is_ok_and(|metadata| metadata.mode() & STICKY != 0)
}

/// Returns the umask of this process; all bits if the system does not tell.
///
/// To ask by `umask` would change it for an instant, in all threads.
fn umask() -> u32 {
    static UMASK: OnceLock<u32> = OnceLock::new();
    *UMASK.get_or_init(|| {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
        mask.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok()).unwrap_or(0o777)
    })
}

//! Collection of an output, once no process of the program is left: regular files, execute bits and empty folders.
//!
//! Links and other file systems are refused by name: the store moves files into itself, and files elsewhere are not
//! ours.

use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use orchestrate_engine::modes::{MODES, Modes};
use orchestrate_engine::resources::display_size;
use orchestrate_engine::stage::{Content, Output, StageError};

/// Longest name of a file below an output, in bytes.
const NAME_MAX: usize = 4096;
const OWNER_EXECUTES: u32 = 0o100;

/// The files below `{out.NAME}`, sorted by name, and their modes if any is special.
///
/// The folder of the output is `place` in the `root` of the program; `real_dir` is its path without links, from before
/// the program started.
pub(super) fn collect(output: &str, root: &Path, place: &Path, real_dir: &Path) -> Result<Output, StageError> {
    let failed = |message: String| StageError::new(format!("output `{output}`: {message}"));
    let dir = root.join(place);
    let device = check_root(root, &dir, real_dir).map_err(failed)?;
    let mut found = Found { device, root, files: Vec::new(), modes: Modes::default() };
    found.read(&dir, "").map_err(failed)?;
    let Found { mut files, mut modes, .. } = found;
    if files.is_empty() {
        return Err(StageError::new(format!(
            "the program ended well but wrote no file to output `{output}`; \
             it writes to the folder that `{{out}}` gives it"
        )));
    }
    if !modes.executable.is_empty() && all_can_be_executed(root).map_err(|error| failed(error.to_string()))? {
        modes.executable.clear();
    }
    files.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut files: Vec<_> = files.into_iter().map(|(name, path)| (name, Content::File(path))).collect();
    files.extend(modes.to_bytes().map(|bytes| (MODES.to_owned(), Content::Bytes(bytes))));
    Ok(Output { name: output.to_owned(), files })
}

/// The device of the folder of an output. Errors: the folder is missing, moved, a link or a mount.
fn check_root(root: &Path, dir: &Path, real_dir: &Path) -> Result<u64, String> {
    let advice = "the program writes files into the folder that `{out}` gives it, and leaves the folder there";
    let metadata = match fs::symlink_metadata(dir) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(format!("its folder is gone; {advice}")),
        Err(error) => return Err(format!("cannot read {}: {error}; {advice}", dir.display())),
    };
    if metadata.is_symlink() {
        let target = fs::read_link(dir).unwrap_or_default();
        return Err(format!(
            "its folder was replaced by a symbolic link to {}, and what that points to is not kept; copy the files \
             into the folder",
            target.display()
        ));
    }
    if !metadata.is_dir() {
        return Err(format!("its folder was replaced by {}; {advice}", kind(&metadata)));
    }
    let real = fs::canonicalize(dir).map_err(|error| format!("cannot read {}: {error}", dir.display()))?;
    if real != real_dir {
        return Err(format!(
            "a folder above its folder was replaced by a symbolic link, to {}; {advice}",
            real.display()
        ));
    }
    let device = fs::metadata(root).map_err(|error| format!("cannot read {}: {error}", root.display()))?.dev();
    if metadata.dev() != device {
        return Err(format!("another file system was mounted at its folder; {advice}"));
    }
    Ok(device)
}

struct Found<'a> {
    device: u64,
    root: &'a Path,
    files: Vec<(String, PathBuf)>,
    modes: Modes,
}

impl Found<'_> {
    fn read(&mut self, dir: &Path, prefix: &str) -> Result<(), String> {
        let failed = |path: &Path, error: io::Error| format!("cannot read {}: {error}", path.display());
        // Programs may leave read-only folders and private files. We own both, so we may change them.
        allow(dir, 0o700).map_err(|error| failed(dir, error))?;
        for entry in fs::read_dir(dir).map_err(|error| failed(dir, error))? {
            let path = entry.map_err(|error| failed(dir, error))?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let name = name.ok_or_else(|| format!("the name of {} is not UTF-8", path.display()))?;
            let name = format!("{prefix}{name}");
            check_name(&name)?;
            let metadata = fs::symlink_metadata(&path).map_err(|error| failed(&path, error))?;
            if metadata.is_dir() {
                if metadata.dev() != self.device {
                    return Err(format!("another file system is mounted at `{name}`; write into the folder itself"));
                }
                let before = (self.files.len(), self.modes.empty_folders.len());
                self.read(&path, &format!("{name}/"))?;
                if before == (self.files.len(), self.modes.empty_folders.len()) {
                    self.modes.empty_folders.insert(name);
                }
            } else if metadata.is_symlink() {
                return Err(format!(
                    "`{name}` is a symbolic link, and what it points to is not kept; write a file instead"
                ));
            } else if !metadata.is_file() {
                return Err(format!("`{name}` is neither a file nor a folder but {}", kind(&metadata)));
            } else {
                self.take(name, path, &metadata)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, name: String, path: PathBuf, metadata: &Metadata) -> Result<(), String> {
        let failed = |error: io::Error| format!("cannot read {}: {error}", path.display());
        if is_hole(&path, metadata) {
            let size = display_size(metadata.len());
            return Err(format!(
                "`{name}` is {size} long, more than its file system holds, so most of it was never written; cut it"
            ));
        }
        if metadata.nlink() > 1 {
            // Through another name of the file its bytes could change after they were hashed.
            copy(&path, self.root).and_then(|copy| fs::rename(copy, &path)).map_err(failed)?;
        } else {
            allow(&path, 0o400).map_err(failed)?;
        }
        if metadata.mode() & OWNER_EXECUTES != 0 {
            self.modes.executable.insert(name.clone());
        }
        self.files.push((name, path));
        Ok(())
    }
}

/// Adds missing permissions of the owner.
fn allow(path: &Path, mode: u32) -> io::Result<()> {
    let now = fs::symlink_metadata(path)?.mode() & 0o7777;
    if now & mode == mode { Ok(()) } else { fs::set_permissions(path, Permissions::from_mode(now | mode)) }
}

/// Refuses names that the store refuses, before anything is stored.
fn check_name(name: &str) -> Result<(), String> {
    if name.len() > NAME_MAX {
        return Err(format!("the name of a file is {} bytes long, longer than {NAME_MAX}: `{name}`", name.len()));
    }
    if name.contains('\\') {
        return Err(format!("the name of `{name}` holds a backslash, which some systems read as a folder"));
    }
    if name == MODES {
        return Err(format!("`{MODES}` is a name that we use; write the file under another one"));
    }
    Ok(())
}

/// Returns whether a file is longer than its file system, thus mostly holes: hashing a terabyte of zeros takes hours.
fn is_hole(path: &Path, metadata: &Metadata) -> bool {
    // Most files are short and need no call of `statvfs`.
    metadata.len() > 1 << 32
        && metadata.blocks() * 512 < metadata.len() / 2
        && statvfs(path).is_ok_and(|system| metadata.len() / system.fragment_size().max(1) > system.blocks())
}

/// A copy of a file beside the outputs.
fn copy(path: &Path, root: &Path) -> io::Result<PathBuf> {
    allow(path, 0o400)?;
    let (copy, mut file) = create_new(root)?;
    io::copy(&mut File::open(path)?, &mut file).map(|_| copy)
}

/// Returns whether the file system reports every file as executable, as those of Windows do.
fn all_can_be_executed(root: &Path) -> io::Result<bool> {
    Ok(create_new(root)?.1.metadata()?.mode() & OWNER_EXECUTES != 0)
}

/// An empty file under an unused name.
fn create_new(root: &Path) -> io::Result<(PathBuf, File)> {
    for number in 0.. {
        let path = root.join(format!("new-{number}"));
        match File::options().write(true).create_new(true).mode(0o600).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return opened.map(|file| (path, file)),
        }
    }
    unreachable!("a name for each number")
}

fn kind(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    match () {
        () if kind.is_file() => "a file",
        () if kind.is_fifo() => "a named pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    }
}

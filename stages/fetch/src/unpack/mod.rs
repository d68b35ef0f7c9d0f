//! Extracts the wanted files of a zip archive, and nothing else: no paths out of the folder, no links, no bombs.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, Read, Write};
use std::path::Path;

use zip::ZipArchive;
use zip::read::ZipFile;

use crate::error::FetchError;
use crate::progress::Progress;

/// Bounds of an archive, far above those of a data set of slices.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) entries: usize,
    pub(crate) file_bytes: u64,
    pub(crate) all_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 100_000, file_bytes: 1 << 28, all_bytes: 1 << 34 }
    }
}

/// Unpacks files whose name, without folders, is wanted into `to`, and returns the BLAKE3 digest of each.
///
/// The files are written beside `to` and moved once all are complete, so `to` never has half a file.
///
/// Errors: an entry that leads out of the folder, is a link, is encrypted, is too large, or occurs twice, by name.
pub(crate) fn unpack(
    archive: &Path,
    to: &Path,
    limits: Limits,
    wanted: impl Fn(&str) -> bool,
    listener: &mut dyn FnMut(Progress<'_>),
) -> Result<BTreeMap<String, String>, FetchError> {
    let wrong = |problem: String| FetchError::Archive { path: archive.to_owned(), problem };
    let file = File::open(archive).map_err(FetchError::io("open", archive))?;
    let mut zip = ZipArchive::new(BufReader::new(file)).map_err(|error| wrong(error.to_string()))?;
    let total = zip.len();
    if total > limits.entries {
        return Err(wrong(format!("it has {total} entries, more than {}", limits.entries)));
    }
    let name = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let beside = to.with_extension("new");
    if beside.exists() {
        fs::remove_dir_all(&beside).map_err(FetchError::io("remove", &beside))?;
    }
    for folder in [to, &beside] {
        fs::create_dir_all(folder).map_err(FetchError::io("create the folder", folder))?;
    }
    let mut contents = BTreeMap::new();
    let mut left = limits.all_bytes;
    for index in 0..total {
        let mut entry = zip.by_index(index).map_err(|error| wrong(format!("entry {index}: {error}")))?;
        let Some(file) = safe_name(&entry).map_err(&wrong)? else { continue };
        if !wanted(&file) {
            continue;
        }
        if contents.contains_key(&file) {
            return Err(wrong(format!("`{file}` is there twice")));
        }
        let bound = limits.file_bytes.min(left);
        let path = beside.join(&file);
        let (blake3, length) = copy(&mut entry, &path, bound, &file, &wrong)?;
        left -= length;
        contents.insert(file, blake3);
        listener(Progress::Unpacking { name: &name, done: contents.len(), total });
    }
    if contents.is_empty() {
        return Err(wrong("it has no file of the data set".to_owned()));
    }
    for file in contents.keys() {
        let target = to.join(file);
        fs::rename(beside.join(file), &target).map_err(FetchError::io("move a file to", &target))?;
    }
    fs::remove_dir_all(&beside).map_err(FetchError::io("remove", &beside))?;
    Ok(contents)
}

/// The name without folders; `None` for a folder.
fn safe_name<R: Read>(entry: &ZipFile<'_, R>) -> Result<Option<String>, String> {
    let shown = String::from_utf8_lossy(entry.name_raw()).into_owned();
    let climbs = shown.split(['/', '\\']).any(|part| part == "..") || shown.starts_with(['/', '\\']);
    let Some(path) = entry.enclosed_name().filter(|_| !climbs) else {
        return Err(format!("entry `{shown}` leads out of the folder"));
    };
    if entry.is_symlink() {
        return Err(format!("entry `{shown}` is a link"));
    }
    if entry.is_dir() {
        return Ok(None);
    }
    if entry.encrypted() {
        return Err(format!("entry `{shown}` is encrypted"));
    }
    Ok(path.file_name().and_then(|name| name.to_str()).map(str::to_owned))
}

/// Writes an entry of at most `bound` bytes, whatever length it claims, and returns its digest and length.
fn copy<R: Read>(
    entry: &mut ZipFile<'_, R>,
    path: &Path,
    bound: u64,
    name: &str,
    wrong: &impl Fn(String) -> FetchError,
) -> Result<(String, u64), FetchError> {
    let too_large = || wrong(format!("`{name}` has more than {bound} bytes"));
    if entry.size() > bound {
        return Err(too_large());
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).open(path).map_err(FetchError::io("create", path))?;
    let mut hasher = blake3::Hasher::new();
    let mut length = 0;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = entry.read(&mut buffer).map_err(|error| wrong(format!("`{name}`: {error}")))?;
        if read == 0 {
            break;
        }
        length += read as u64;
        if length > bound {
            return Err(too_large());
        }
        hasher.update(&buffer[..read]);
        file.write_all(&buffer[..read]).map_err(FetchError::io("write", path))?;
    }
    // Not synced: a file that a power cut damages no longer has its digest, and is unpacked again.
    Ok((hasher.finalize().to_hex().to_string(), length))
}

#[cfg(test)]
mod tests;

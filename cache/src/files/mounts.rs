//! Mount points in a folder: emptying the folder would empty those file systems too.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Lists the mount points at a folder or below it; none if the system has no list of them.
pub fn mounts_below(dir: &Path) -> Vec<PathBuf> {
    let Ok(dir) = fs::canonicalize(dir) else { return Vec::new() };
    let table = fs::read("/proc/self/mountinfo").unwrap_or_default();
    in_table(&table).filter(|mount| mount.starts_with(&dir)).collect()
}

/// Returns the fifth field of each line; there, blanks and the like are `\` and three octal digits.
fn in_table(table: &[u8]) -> impl Iterator<Item = PathBuf> {
    let fields = table.split(|byte| *byte == b'\n').filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    fields.map(|field| PathBuf::from(OsString::from_vec(unescape(field))))
}

fn unescape(mut field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    while let [first, rest @ ..] = field {
        let code = rest.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        let code = code.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(code.unwrap_or(*first));
        field = if code.is_some() { &rest[3..] } else { rest };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_mounts_are_read_with_their_blanks() {
        let table = b"36 35 98:0 /mnt1 /mnt/a\\040b\\134 rw,noatime master:1 - ext3 /dev/root rw\n24 1 0:22 / /proc rw - proc p rw\n";
        assert_eq!(in_table(table).collect::<Vec<_>>(), [Path::new("/mnt/a b\\"), Path::new("/proc")]);
    }

    #[test]
    fn a_folder_of_ours_has_no_mounts() {
        assert!(mounts_below(tempfile::tempdir().unwrap().path()).is_empty());
    }
}

//! Files of foreign formats, damaged at random, for tests of their readers.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// A reader that must return for any bytes.
pub(crate) type Read = fn(&[u8]);

/// The name of a fuzzing target, and its reader.
pub(crate) type Target = (&'static str, Read);

fn tests_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// Reads every file `tests/found/TARGET-WHAT`, on which the target once failed.
pub(crate) fn assert_found_are_read(targets: &[Target]) {
    for entry in fs::read_dir(tests_dir().join("found")).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let of = |(target, _): &&Target| name.strip_prefix(target).is_some_and(|rest| rest.starts_with('-'));
        let (_, read) = targets.iter().find(of).unwrap_or_else(|| panic!("{name} has no target"));
        read(&fs::read(&path).unwrap());
    }
}

/// The files in a folder of `tests/reference`, with their reader.
pub(crate) fn reference(folder: &str, read: Read) -> impl Iterator<Item = (Read, Vec<u8>)> {
    let entries = fs::read_dir(tests_dir().join("reference").join(folder)).unwrap();
    entries.map(move |entry| (read, fs::read(entry.unwrap().path()).unwrap()))
}

/// One of the files, damaged: bytes are replaced, most of them near the start, where lengths stand; then it is cut.
pub(crate) fn damaged(files: Vec<(Read, Vec<u8>)>) -> impl Strategy<Value = (Read, Vec<u8>)> {
    let flips = vec((any::<u16>(), 0..4_u32, any::<u8>()), 0..6);
    (any::<Index>(), flips, proptest::option::of(any::<u16>())).prop_map(move |(file, flips, end)| {
        let (read, mut bytes) = files[file.index(files.len())].clone();
        for (offset, shift, byte) in flips {
            let offset = (usize::from(offset) >> (4 * shift)) % bytes.len();
            bytes[offset] = byte;
        }
        bytes.truncate(end.map_or(bytes.len(), |end| usize::from(end) % (bytes.len() + 1)));
        (read, bytes)
    })
}

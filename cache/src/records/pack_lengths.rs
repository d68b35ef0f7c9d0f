//! The file `pack-ends`: the durable length of each pack.
//!
//! By these lengths, `verify` notices that a pack was deleted or cut between two groups, and a run of hits knows
//! without a sync that its results are durable.
//!
//! The file has a line `ID LENGTH` for each pack and ends with `crc` and the CRC-32 of the lines. A process that knows
//! of more durable bytes (`durable.rs`) writes it when it closes the store. The file is never synced: the lengths in an
//! old, empty or missing one are too small, which is safe.

use std::collections::BTreeMap;

use crate::error::StoreError;
use crate::files::disk;
use crate::files::frame::{before_crc_line, with_crc_line};
use crate::format::layout::Layout;

/// Durable lengths of packs by id.
pub(crate) type PackLengths = BTreeMap<String, u64>;

/// The size of the largest file; a larger one counts as damaged, as no store has that many packs.
const BYTES_MAX: u64 = 1 << 26;

/// Reads the file; `None` if it is damaged.
pub(crate) fn read(layout: &Layout) -> Option<PackLengths> {
    match disk::read(&layout.pack_ends(), BYTES_MAX) {
        // A power cut leaves an empty file if it was written just before.
        Ok(bytes) if bytes.is_empty() => Some(PackLengths::new()),
        Ok(bytes) => parse(std::str::from_utf8(&bytes).ok()?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some(PackLengths::new()),
        Err(_) => None,
    }
}

/// Rewrites the file if `packs` has greater lengths; does not read it if `packs` are those of `last_read`.
pub(crate) fn raise(layout: &Layout, last_read: &PackLengths, packs: PackLengths) -> Result<(), StoreError> {
    if packs.iter().all(|(id, length)| last_read.get(id) == Some(length)) {
        return Ok(());
    }
    // Read again, as other processes may have raised other lengths meanwhile.
    let in_file = read(layout);
    let mut lengths = in_file.clone().unwrap_or_default();
    for (id, length) in packs.into_iter().filter(|(_, length)| *length > 0) {
        let raised = lengths.entry(id).or_default();
        *raised = length.max(*raised);
    }
    if in_file.as_ref() == Some(&lengths) { Ok(()) } else { write(layout, &lengths) }
}

/// Replaces the file.
pub(crate) fn write(layout: &Layout, lengths: &PackLengths) -> Result<(), StoreError> {
    let lines = lengths.iter().map(|(id, length)| format!("{id} {length}\n")).collect();
    disk::replace(&layout.pack_ends(), with_crc_line(lines).as_bytes(), false)
}

fn parse(text: &str) -> Option<PackLengths> {
    let line = |line: &str| {
        let (id, length) = line.split_once(' ')?;
        Some((id.to_owned(), length.parse().ok()?))
    };
    before_crc_line(text)?.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::format::layout::Access;
    use crate::store::Store;

    #[test]
    fn lengths_only_grow_and_damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Store::open(dir.path(), Access::ReadWrite).unwrap().layout.clone();
        let lengths = |a, b| PackLengths::from([("a".to_owned(), a), ("b".to_owned(), b)]);
        raise(&layout, &PackLengths::new(), lengths(3, 5)).unwrap();
        raise(&layout, &lengths(3, 4), lengths(4, 2)).unwrap();
        assert_eq!(read(&layout), Some(lengths(4, 5)));
        let whole = fs::read(layout.pack_ends()).unwrap();
        for offset in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[offset] ^= 1;
            for bytes in [&whole[..offset], &flipped] {
                fs::write(layout.pack_ends(), bytes).unwrap();
                let expected = bytes.is_empty().then(PackLengths::new);
                assert_eq!(read(&layout), expected, "at {offset}");
            }
        }
    }
}

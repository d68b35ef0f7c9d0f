//! How long packs were: so that `verify` misses a pack that was deleted, and one that was cut where a group ends, and so that a run of
//! hits knows without a sync that what it found is durable.
//!
//! The file `pack-ends` has a line `ID LENGTH` for each pack and ends with `crc` and the CRC-32 of all that stands before. It is written
//! when a store is closed that knows of more durable bytes than it says (`durable.rs`), and never synced: one that is old, empty or
//! none knows less.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::error::StoreError;
use crate::files::disk;
use crate::format::layout::Layout;
use crate::records::index::Index;

/// Lengths of packs by id.
pub(crate) type Ends = BTreeMap<String, u64>;

/// A longer file is none: there are not that many packs.
const BYTES_MAX: u64 = 1 << 26;

/// What the file says; `None` if it is damaged.
pub(crate) fn read(layout: &Layout) -> Option<Ends> {
    match disk::read(&layout.pack_ends(), BYTES_MAX) {
        // As a power cut leaves one that was written just before.
        Ok(bytes) if bytes.is_empty() => Some(Ends::new()),
        Ok(bytes) => parse(std::str::from_utf8(&bytes).ok()?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some(Ends::new()),
        Err(_) => None,
    }
}

/// Packs that are gone or shorter than they were, with what is wrong.
pub(crate) fn missing(ends: &Ends, layout: &Layout, index: &Index) -> Vec<(PathBuf, String)> {
    let left = |(id, end): (&String, &u64)| {
        let path = layout.pack(id);
        match index.packs.iter().find(|pack| pack.id == *id).map(|pack| pack.end) {
            None => Some((path, format!("it is gone, and its {end} bytes of records are lost"))),
            Some(left) if left < *end => Some((path, format!("only {left} of {end} bytes are left; records are lost"))),
            Some(_) => None,
        }
    };
    ends.iter().filter_map(left).collect()
}

/// Up to where the packs are durable that an index has read, as far as it knows.
pub(crate) fn of(index: &Index) -> Ends {
    index.packs.iter().map(|pack| (pack.id.clone(), pack.durable)).collect()
}

/// Writes the file anew if more of a pack is durable than it says; `said` is what it said when it was read last.
pub(crate) fn raise(layout: &Layout, said: &Ends, packs: Ends) -> Result<(), StoreError> {
    if packs.iter().all(|pack| said.get(pack.0) == Some(pack.1)) {
        return Ok(());
    }
    let known = read(layout);
    let mut ends = known.clone().unwrap_or_default();
    for (id, end) in packs.into_iter().filter(|(_, end)| *end > 0) {
        let known = ends.entry(id).or_default();
        *known = end.max(*known);
    }
    if known.as_ref() == Some(&ends) { Ok(()) } else { write(layout, &ends) }
}

/// Writes the file.
pub(crate) fn write(layout: &Layout, ends: &Ends) -> Result<(), StoreError> {
    let mut text: String = ends.iter().map(|(id, end)| format!("{id} {end}\n")).collect();
    text.push_str(&format!("crc {:08x}\n", crc32fast::hash(text.as_bytes())));
    disk::replace(&layout.pack_ends(), text.as_bytes(), false)
}

fn parse(text: &str) -> Option<Ends> {
    let place = text.rfind("crc ")?;
    let (lines, crc) = text.split_at(place);
    if crc != format!("crc {:08x}\n", crc32fast::hash(lines.as_bytes())) {
        return None;
    }
    let line = |line: &str| {
        let (id, end) = line.split_once(' ')?;
        Some((id.to_owned(), end.parse().ok()?))
    };
    lines.lines().map(line).collect()
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
        let ends = |a, b| Ends::from([("a".to_owned(), a), ("b".to_owned(), b)]);
        raise(&layout, &Ends::new(), ends(3, 5)).unwrap();
        raise(&layout, &ends(3, 4), ends(4, 2)).unwrap();
        assert_eq!(read(&layout), Some(ends(4, 5)));
        let whole = fs::read(layout.pack_ends()).unwrap();
        for place in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[place] ^= 1;
            for bytes in [&whole[..place], &flipped] {
                fs::write(layout.pack_ends(), bytes).unwrap();
                let expected = bytes.is_empty().then(Ends::new);
                assert_eq!(read(&layout), expected, "at {place}");
            }
        }
    }
}

//! Directories of TIFF structures: the pages of a TIFF file, and the Exif block in a JPEG or PNG file.
//!
//! A header names the first directory, and each directory the next. A directory is a list of tags with numbers or
//! text, which lie in the entry itself if they fit, else at an offset. Source: TIFF 6.0, section 2; in BigTIFF counts
//! and offsets have 8 bytes.

use std::collections::{BTreeMap, BTreeSet};

/// Largest number of tags that are read; a damaged file could name overlapping directories without end.
const TAGS_MAX: usize = 1 << 20;

/// Bytes that start with a TIFF header.
#[derive(Clone, Copy)]
pub(super) struct Structure<'a> {
    bytes: &'a [u8],
    big_endian: bool,
    /// True for BigTIFF.
    wide: bool,
}

/// A directory: its tags, and the place of their values.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    entries: BTreeMap<u16, Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    kind: u16,
    count: usize,
    /// Offset of the values from the start of the structure.
    at: usize,
}

impl<'a> Structure<'a> {
    /// Reads the header; `None` if there is none.
    pub(super) fn open(bytes: &'a [u8]) -> Option<Self> {
        let big_endian = match bytes.get(..2)? {
            b"II" => false,
            b"MM" => true,
            _ => return None,
        };
        let structure = Self { bytes, big_endian, wide: false };
        match structure.uint(2, 2)? {
            42 => Some(structure),
            43 => Some(Self { wide: true, ..structure }),
            _ => None,
        }
    }

    /// Reads all directories in their order. Errors: an offset beyond the end, or a circle.
    pub(super) fn directories(self) -> Result<Vec<Directory>, String> {
        let beyond = || "it is cut short: a directory of its pages lies beyond its end".to_owned();
        let mut at = if self.wide { self.uint(8, 8) } else { self.uint(4, 4) }.ok_or_else(beyond)?;
        let mut seen = BTreeSet::new();
        let mut directories = Vec::new();
        let mut tags = 0;
        while at != 0 {
            if !seen.insert(at) || tags > TAGS_MAX {
                return Err("it is damaged: its directories never end".to_owned());
            }
            let (directory, next) = usize::try_from(at).ok().and_then(|at| self.directory(at)).ok_or_else(beyond)?;
            tags += 1 + directory.entries.len();
            directories.push(directory);
            at = next;
        }
        Ok(directories)
    }

    /// Reads the first directory.
    pub(super) fn first(self) -> Option<Directory> {
        let at = if self.wide { self.uint(8, 8) } else { self.uint(4, 4) }?;
        Some(self.directory(at.try_into().ok()?)?.0)
    }

    /// Returns the directory at an offset and the offset of the next.
    fn directory(self, at: usize) -> Option<(Directory, u64)> {
        // Bytes of the number of entries, of a count or offset, and of an entry.
        let (head, word, size) = if self.wide { (8, 8, 20) } else { (2, 4, 12) };
        let count = usize::try_from(self.uint(at, head)?).ok()?;
        let start = at.checked_add(head)?;
        let end = count.checked_mul(size)?.checked_add(start).filter(|&end| end <= self.bytes.len())?;
        let mut entries = BTreeMap::new();
        for entry in (start..end).step_by(size) {
            let tag = self.uint(entry, 2)? as u16;
            let kind = self.uint(entry + 2, 2)? as u16;
            let count = usize::try_from(self.uint(entry + 4, word)?).ok()?;
            let inline = entry + 4 + word;
            let fits = count.checked_mul(width(kind))? <= word;
            let at = if fits { inline } else { usize::try_from(self.uint(inline, word)?).ok()? };
            entries.entry(tag).or_insert(Entry { kind, count, at });
        }
        Some((Directory { entries }, self.uint(end, word)?))
    }

    /// Returns the whole numbers of a tag; `None` without the tag, or if its values are not all in the file.
    pub(super) fn numbers(self, directory: &Directory, tag: u16) -> Option<Vec<u64>> {
        let Entry { kind, count, at } = *directory.entries.get(&tag)?;
        let width = if matches!(kind, BYTE | SHORT | LONG | IFD | LONG8 | IFD8) { width(kind) } else { return None };
        let end = count.checked_mul(width)?.checked_add(at)?;
        self.bytes.get(at..end)?;
        (at..end).step_by(width).map(|at| self.uint(at, width)).collect()
    }

    /// Returns the only or first number of a tag.
    pub(super) fn number(self, directory: &Directory, tag: u16) -> Option<u64> {
        self.numbers(directory, tag)?.first().copied()
    }

    /// Returns the bytes of a tag that holds text or data.
    pub(super) fn data(self, directory: &Directory, tag: u16) -> Option<&'a [u8]> {
        let Entry { kind, count, at } = *directory.entries.get(&tag)?;
        let size = count.checked_mul(width(kind))?;
        self.bytes.get(at..at.checked_add(size)?)
    }

    /// Returns the bytes that replace a tag's single number, and their place.
    pub(super) fn replacement(self, directory: &Directory, tag: u16, number: u8) -> Option<(usize, Vec<u8>)> {
        let Entry { kind, count, at } = *directory.entries.get(&tag)?;
        let width = if matches!(kind, BYTE | SHORT | LONG) && count == 1 { width(kind) } else { return None };
        let mut bytes = vec![0; width];
        bytes[if self.big_endian { width - 1 } else { 0 }] = number;
        Some((at, bytes))
    }

    fn uint(self, at: usize, width: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(width)?)?;
        let join = |number, byte: &u8| number << 8 | u64::from(*byte);
        Some(if self.big_endian { bytes.iter().fold(0, join) } else { bytes.iter().rev().fold(0, join) })
    }
}

const BYTE: u16 = 1;
const SHORT: u16 = 3;
const LONG: u16 = 4;
const IFD: u16 = 13;
const LONG8: u16 = 16;
const IFD8: u16 = 18;

/// Bytes of a value of that type.
const fn width(kind: u16) -> usize {
    match kind {
        SHORT | 8 => 2,
        LONG | IFD | 9 | 11 => 4,
        LONG8 | IFD8 | 5 | 10 | 12 | 17 => 8,
        _ => 1,
    }
}

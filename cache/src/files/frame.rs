//! The checksummed forms of files.
//!
//! | form | checksum | files |
//! |---|---|---|
//! | [`Frame`]: magic number, checksum, content | CRC-32 or BLAKE3 of the content | `stat-cache`, checkpoints |
//! | records behind headers with lengths | [`crc`] in each header | packs, `last-use` |
//! | lines of text, then `crc HEX` | CRC-32 of the lines | `pack-ends` |
//! | JSON object with the last field `seal` | BLAKE3 of the rest | pins, `lineage`, `forgetting`, logs, `BOOT.seen` |
//!
//! JSON has its checksum inside, because it is also for people: other readers ignore the field.
//! Session files, `use.lock` and `last-gc` have no checksum: a wrong number there costs time, never a result.
//!
//! Integers are little-endian everywhere; [`Reader`] decodes them.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::value::digest::Digest;

/// The form of a file with a magic number, a checksum and the content, in this order.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Name of such a file in errors.
    pub(crate) name: &'static str,
    pub(crate) magic: &'static [u8],
    pub(crate) checksum: Checksum,
}

/// The checksum of a [`Frame`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Checksum {
    /// Four bytes; detects every single flipped byte.
    Crc32,
    /// 32 bytes.
    Blake3,
}

/// The reason for refusing bytes as a [`Frame`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BrokenFrame {
    #[error("it is no {0}")]
    Magic(&'static str),
    #[error("it is cut short")]
    Cut,
    #[error("its checksum does not fit")]
    Checksum,
}

impl Checksum {
    const fn len(self) -> usize {
        match self {
            Self::Crc32 => 4,
            Self::Blake3 => 32,
        }
    }

    fn of(self, content: &[u8]) -> Vec<u8> {
        match self {
            Self::Crc32 => crc32fast::hash(content).to_le_bytes().to_vec(),
            Self::Blake3 => Digest::of(content).as_bytes().to_vec(),
        }
    }
}

impl Frame {
    /// The length of magic number and checksum together.
    pub(crate) const fn header_len(&self) -> usize {
        self.magic.len() + self.checksum.len()
    }

    /// Writes the header over the first [`Frame::header_len`] bytes. The caller leaves room for it, so that large
    /// contents are not copied.
    pub(crate) fn seal(&self, bytes: &mut [u8]) {
        let (header, content) = bytes.split_at_mut(self.header_len());
        let (magic, checksum) = header.split_at_mut(self.magic.len());
        magic.copy_from_slice(self.magic);
        checksum.copy_from_slice(&self.checksum.of(content));
    }

    /// Returns the content behind an intact header.
    pub(crate) fn open<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], BrokenFrame> {
        let rest = bytes.strip_prefix(self.magic).ok_or(BrokenFrame::Magic(self.name))?;
        let (stored, content) = rest.split_at_checked(self.checksum.len()).ok_or(BrokenFrame::Cut)?;
        if stored == self.checksum.of(content) { Ok(content) } else { Err(BrokenFrame::Checksum) }
    }
}

/// The CRC-32 of the concatenation of several byte strings.
pub(crate) fn crc(parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize()
}

/// Decodes fields from the front of a byte string; each method returns `None` if the bytes end before the field does.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(front)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn digest(&mut self) -> Option<Digest> {
        self.array().map(Digest::from_bytes)
    }

    /// Decodes a length in four bytes, and as many bytes as it says.
    pub(crate) fn counted(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()? as usize;
        self.take(len)
    }
}

/// Ends lines of text with their checksum.
pub(crate) fn with_crc_line(mut lines: String) -> String {
    lines += &crc_line(&lines);
    lines
}

/// Returns the lines before an intact checksum.
pub(crate) fn before_crc_line(text: &str) -> Option<&str> {
    let (lines, crc) = text.split_at(text.rfind("crc ")?);
    (crc == crc_line(lines)).then_some(lines)
}

fn crc_line(lines: &str) -> String {
    format!("crc {:08x}\n", crc32fast::hash(lines.as_bytes()))
}

const SEAL: &str = ",\"seal\":\"";
/// Length of a digest in hexadecimal digits.
const SEAL_HEX: usize = 64;
const SEAL_END: &str = "\"}";

/// Returns the end of a sealed JSON object: the field `seal`, in place of the last brace.
///
/// - `before`: digest of all text before the object's last brace, from the start of the file
pub fn seal(before: &Digest) -> String {
    format!("{SEAL}{before}{SEAL_END}")
}

/// Serializes a JSON object with its seal, without a line end.
pub fn sealed(object: &impl Serialize) -> String {
    let mut text = serde_json::to_string(object).expect("texts, numbers and JSON values can be written to memory");
    assert_eq!(text.pop(), Some('}'), "BUG: only an object is sealed");
    text += &seal(&Digest::of(text.as_bytes()));
    text
}

/// Returns whether the seal of a text is intact; `None` if there is none. White space after it is ignored.
pub fn is_sealed(text: &[u8]) -> Option<bool> {
    let text = text.trim_ascii_end();
    let seal_start = text.len().checked_sub(SEAL.len() + SEAL_HEX + SEAL_END.len())?;
    let (before, end) = text.split_at(seal_start);
    end.starts_with(SEAL.as_bytes()).then(|| end == seal(&Digest::of(before)).as_bytes())
}

/// Parses an object that [`sealed`] wrote. The error is one sentence.
pub(crate) fn unsealed<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    if is_sealed(text) != Some(true) {
        return Err("its checksum does not fit".to_owned());
    }
    serde_json::from_slice(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_byte_anywhere_breaks_the_seal_or_removes_it() {
        let before = b"{\"a\":1}\n{\"b\":2".to_vec();
        let sealed = [before.clone(), seal(&Digest::of(&before)).into_bytes(), b"\n".to_vec()].concat();
        assert_eq!(is_sealed(&sealed), Some(true));
        for offset in 0..sealed.len() - 1 {
            let mut flipped = sealed.clone();
            flipped[offset] ^= 1;
            assert_ne!(is_sealed(&flipped), Some(true), "at {offset}");
            assert_eq!(is_sealed(&sealed[..offset]), None, "cut at {offset}");
        }
    }

    #[test]
    fn a_frame_that_is_cut_or_flipped_anywhere_is_refused() {
        for checksum in [Checksum::Crc32, Checksum::Blake3] {
            let frame = Frame { name: "list", magic: b"LIST", checksum };
            let mut bytes = [&vec![0; frame.header_len()][..], b"content"].concat();
            frame.seal(&mut bytes);
            assert_eq!(frame.open(&bytes), Ok(&b"content"[..]));
            for offset in 0..bytes.len() {
                let mut flipped = bytes.clone();
                flipped[offset] ^= 1;
                assert!(frame.open(&flipped).is_err() && frame.open(&bytes[..offset]).is_err(), "at {offset}");
            }
        }
    }
}

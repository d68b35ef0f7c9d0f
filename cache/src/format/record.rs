//! The records of a pack: a small head in binary, which is read at opening, and a body, which is read when asked for.
//!
//! | offset | size | head |
//! |---|---|---|
//! | 0 | 1 | kind, see below; a reader skips kinds that it does not know |
//! | 1 | 3 | zero |
//! | 4 | 4 | `L`, length of what follows in the head from offset 16 |
//! | 8 | 4 | length of the body |
//! | 12 | 4 | CRC-32 of the body |
//! | 16 | `L` | by kind |
//!
//! | kind | head from offset 16 | body |
//! |---|---|---|
//! | 1 blob | digest (32) | the bytes |
//! | 2 artifact | digest (32), count of files (4), for each: digest (32), size (8), name | none |
//! | 3 result | key (32), `recorded_ms` (8), `elapsed_ms` (8), count of outputs (4), for each: digest (32), name | the rest of the result as JSON |
//! | 4 forget | kind (1) and digest or key (32) of the record, offset of its body (8), id of its pack to the end | none |
//!
//! Integers are little-endian; a name is its length (4) and UTF-8. A *forget* takes one record out of use: its body is
//! corrupt, or the result was collected. It names the record by place, because equal bytes may be stored again.

use serde::{Deserialize, Serialize};

use crate::value::artifact::{ActionKey, ActionResult, Artifact, FileEntry, OutputDigest, check_name};
use crate::value::digest::Digest;

/// Length of a head before its part by kind.
pub(crate) const HEAD_LEN: usize = 16;

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Kind {
    Blob = 1,
    Artifact = 2,
    Result = 3,
    Forget = 4,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Blob, Self::Artifact, Self::Result, Self::Forget].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A record in memory, on its way into a pack.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) kind: Kind,
    /// The head from offset 16.
    pub(crate) fixed: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl Draft {
    pub(crate) fn blob(digest: &Digest, bytes: Vec<u8>) -> Self {
        Self { kind: Kind::Blob, fixed: digest.as_bytes().to_vec(), body: bytes }
    }

    pub(crate) fn artifact(digest: &OutputDigest, artifact: &Artifact) -> Self {
        let mut fixed = digest.0.as_bytes().to_vec();
        push_u32(&mut fixed, artifact.files.len());
        for file in &artifact.files {
            fixed.extend(file.digest.as_bytes());
            fixed.extend(file.size_bytes.to_le_bytes());
            push_text(&mut fixed, &file.name);
        }
        Self { kind: Kind::Artifact, fixed, body: Vec::new() }
    }

    pub(crate) fn result<P: Serialize>(key: &ActionKey, result: &ActionResult<P>) -> Self {
        let mut fixed = key.0.as_bytes().to_vec();
        fixed.extend(result.recorded_ms.to_le_bytes());
        fixed.extend(result.elapsed_ms.to_le_bytes());
        push_u32(&mut fixed, result.outputs.len());
        for (name, output) in &result.outputs {
            fixed.extend(output.0.as_bytes());
            push_text(&mut fixed, name);
        }
        let provenance = Provenance {
            preimage: &result.preimage,
            node: result.node.as_str(),
            kind: result.kind.as_str(),
            run: result.run.as_str(),
            device: result.device.as_str(),
        };
        let body = serde_json::to_vec(&provenance).expect("texts and JSON values can be written as JSON");
        Self { kind: Kind::Result, fixed, body }
    }

    pub(crate) fn forget(forget: &Forget) -> Self {
        let mut fixed = vec![forget.kind as u8];
        fixed.extend(forget.digest.as_bytes());
        fixed.extend(forget.body_at.to_le_bytes());
        fixed.extend(forget.pack.as_bytes());
        Self { kind: Kind::Forget, fixed, body: Vec::new() }
    }

    /// Appends the head.
    pub(crate) fn encode_head(&self, heads: &mut Vec<u8>) {
        heads.extend([self.kind as u8, 0, 0, 0]);
        push_u32(heads, self.fixed.len());
        push_u32(heads, self.body.len());
        heads.extend(crc32fast::hash(&self.body).to_le_bytes());
        heads.extend(&self.fixed);
    }

    /// The length of head and body in a pack.
    pub(crate) fn len(&self) -> usize {
        HEAD_LEN + self.fixed.len() + self.body.len()
    }
}

/// What a result holds that no hit needs.
#[derive(Serialize, Deserialize)]
struct Provenance<P, T> {
    #[serde(rename = "manifest")]
    preimage: P,
    node: T,
    kind: T,
    run: T,
    device: T,
}

/// The head of a record as it lies in a pack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    /// `None` for a kind of a later version.
    pub(crate) kind: Option<Kind>,
    /// The head from offset 16.
    pub(crate) fixed: &'a [u8],
    pub(crate) body_len: u32,
    pub(crate) body_crc: u32,
}

impl<'a> Head<'a> {
    /// Reads the head at the start of `bytes`; `None` if they end within it.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let kind = Kind::from_byte(reader.take(4)?[0]);
        let fixed_len = reader.u32()? as usize;
        let (body_len, body_crc) = (reader.u32()?, reader.u32()?);
        Some(Self { kind, fixed: reader.take(fixed_len)?, body_len, body_crc })
    }

    /// The length of the head.
    pub(crate) fn len(&self) -> usize {
        HEAD_LEN + self.fixed.len()
    }

    /// Digest or key that begins blobs, artifacts and results.
    pub(crate) fn digest(&self) -> Option<Digest> {
        Reader(self.fixed).digest()
    }

    /// The files of an artifact; none where a name would lead out of it, whoever wrote that record.
    pub(crate) fn files(&self) -> Option<Vec<FileEntry>> {
        let mut reader = Reader(self.fixed.get(32..)?);
        let count = reader.u32()?;
        let file = |reader: &mut Reader<'a>| {
            let (digest, size_bytes) = (reader.digest()?, reader.u64()?);
            let name = reader.text().filter(|name| check_name(name).is_ok())?;
            Some(FileEntry { name, digest, size_bytes })
        };
        (0..count).map(|_| file(&mut reader)).collect()
    }

    /// Digest and length of each file of an artifact, without the names; `None` stands for a head that is cut.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = Option<(Digest, u64)>> {
        let mut reader = Reader(self.fixed.get(32..).unwrap_or_default());
        let count = reader.u32();
        let mut blob = move || {
            let blob = (reader.digest()?, reader.u64()?);
            let name_len = reader.u32()? as usize;
            reader.take(name_len).map(|_| blob)
        };
        (0..count.unwrap_or(1)).map(move |_| blob())
    }

    /// The names of the files of an artifact; `None` stands for a head that is cut.
    pub(crate) fn file_names(&self) -> impl Iterator<Item = Option<&'a [u8]>> + use<'a> {
        let mut reader = Reader(self.fixed.get(32..).unwrap_or_default());
        let count = reader.u32();
        let mut name = move || {
            reader.take(32 + 8)?;
            let name_len = reader.u32()? as usize;
            reader.take(name_len)
        };
        (0..count.unwrap_or(1)).map(move |_| name())
    }

    /// What every hit needs of a result.
    pub(crate) fn hit(&self) -> Option<Hit> {
        let mut reader = Reader(self.fixed.get(32..)?);
        let (recorded_ms, elapsed_ms, count) = (reader.u64()?, reader.u64()?, reader.u32()?);
        let output = |reader: &mut Reader<'a>| {
            let digest = OutputDigest(reader.digest()?);
            Some((reader.text()?, digest))
        };
        let outputs = (0..count).map(|_| output(&mut reader)).collect::<Option<_>>()?;
        Some(Hit { outputs, elapsed_ms, recorded_ms })
    }

    /// The outputs of a result by name, without copies; `None` stands for a head that is cut.
    pub(crate) fn outputs(&self) -> impl Iterator<Item = Option<(&'a [u8], OutputDigest)>> + use<'a> {
        // Key and two times come before the count.
        let mut reader = Reader(self.fixed.get(32 + 16..).unwrap_or_default());
        let count = reader.u32();
        let mut output = move || {
            let digest = OutputDigest(reader.digest()?);
            let name_len = reader.u32()? as usize;
            Some((reader.take(name_len)?, digest))
        };
        (0..count.unwrap_or(1)).map(move |_| output())
    }

    /// The whole result, given the body.
    pub(crate) fn result(&self, body: &[u8]) -> Option<ActionResult> {
        let hit = self.hit()?;
        let body: Provenance<serde_json::Value, String> = serde_json::from_slice(body).ok()?;
        let Provenance { preimage, node, kind, run, device } = body;
        let Hit { outputs, elapsed_ms, recorded_ms } = hit;
        Some(ActionResult { outputs, preimage, node, kind, run, elapsed_ms, recorded_ms, device })
    }

    /// The record that a forget names.
    pub(crate) fn forget(&self) -> Option<Forget> {
        let mut reader = Reader(self.fixed);
        let kind = Kind::from_byte(reader.take(1)?[0])?;
        let (digest, body_at) = (reader.digest()?, reader.u64()?);
        let pack = std::str::from_utf8(reader.0).ok()?.to_owned();
        Some(Forget { kind, digest, body_at, pack })
    }
}

/// The part of an [`ActionResult`] that a run needs for a hit; it is in memory, so that no file is read for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Named outputs in the order in which the stage declares them.
    pub outputs: Vec<(String, OutputDigest)>,
    /// How long the stage ran.
    pub elapsed_ms: u64,
    /// When it was recorded, in milliseconds since 1970.
    pub recorded_ms: u64,
}

/// A record that is out of use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Forget {
    pub(crate) kind: Kind,
    /// Digest of the blob, or key of the result.
    pub(crate) digest: Digest,
    /// Where its body begins in its pack.
    pub(crate) body_at: u64,
    /// The id of its pack.
    pub(crate) pack: String,
}

fn push_u32(bytes: &mut Vec<u8>, number: usize) {
    let number = u32::try_from(number).expect("a record is far shorter than 4 GiB");
    bytes.extend(number.to_le_bytes());
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    push_u32(bytes, text.len());
    bytes.extend(text.as_bytes());
}

/// Takes values off the front of a byte string; `None` where it is too short.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(front)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn digest(&mut self) -> Option<Digest> {
        Some(Digest::from_bytes(self.take(32)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<String> {
        let len = self.u32()? as usize;
        String::from_utf8(self.take(len)?.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifact_with_a_name_that_leads_out_has_no_files() {
        let files = |name: &str| {
            let entry = FileEntry { name: name.to_owned(), digest: Digest::of(b"x"), size_bytes: 1 };
            let artifact = Artifact { files: vec![entry] };
            let mut head = Vec::new();
            Draft::artifact(&artifact.digest(), &artifact).encode_head(&mut head);
            Head::parse(&head).expect("it was just encoded").files()
        };
        assert!(files("a/b.png").is_some());
        for name in ["../b", "/b", "a/../../b", "", "a\\b"] {
            assert_eq!(files(name), None, "{name}");
        }
    }
}

//! Records of a pack: each is a small binary header, read when a store is opened, and a body, read on demand.
//!
//! | offset | size | header |
//! |---|---|---|
//! | 0 | 1 | kind, see below; a reader skips unknown kinds |
//! | 1 | 3 | zero |
//! | 4 | 4 | `L`, length of the header's fields |
//! | 8 | 4 | length of the body |
//! | 12 | 4 | CRC-32 of the body |
//! | 16 | `L` | fields by kind |
//!
//! | kind | fields | body |
//! |---|---|---|
//! | 1 blob | digest (32) | the bytes |
//! | 2 artifact | digest (32), count of files (4), each: digest (32), size (8), name | none |
//! | 3 result | key (32), `recorded_ms` (8), `elapsed_ms` (8), count of outputs (4), each: digest (32), name; | JSON |
//! | | then nothing, or a signature (129), see `trust/signature.rs` | |
//! | 4 tombstone | of a dead record: kind (1), digest or key (32), offset of the body (8), id of the pack | none |
//! | 5 seal | none: the pack gets no more groups | none |
//!
//! Sizes in parentheses are in bytes. Integers are little-endian; a name is its length (4), then UTF-8. The JSON holds
//! the preimage and the provenance of the result. The id of a pack has no length, as it is the last field. A
//! *tombstone* takes one record out of use, because its body is corrupt or the result was collected. It names the
//! record by location, because equal bytes may be stored again.

use serde::{Deserialize, Serialize};

use crate::files::frame::Reader;
use crate::trust::private_key::PrivateKey;
use crate::trust::signature::{self, Signature};
use crate::value::artifact::{ActionKey, ActionResult, Artifact, FileEntry, OutputDigest, check_name};
use crate::value::digest::Digest;
use crate::value::producer::Producer;

/// Offset of the fields in a header.
pub(crate) const FIELDS_AT: usize = 16;

/// Length of a digest or key, the first field of every kind but tombstones.
const DIGEST_LEN: usize = 32;
/// Offset of the first output in the fields of a result: behind the key, two times and the count.
const OUTPUTS_AT: usize = DIGEST_LEN + 2 * 8 + 4;

/// Kind of a record; its number is the first byte of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Kind {
    Blob = 1,
    Artifact = 2,
    Result = 3,
    Tombstone = 4,
    Seal = 5,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Blob, Self::Artifact, Self::Result, Self::Tombstone, Self::Seal]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// A record in memory that is yet to be written to a pack.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) kind: Kind,
    pub(crate) fields: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl Draft {
    pub(crate) fn blob(digest: &Digest, bytes: Vec<u8>) -> Self {
        Self { kind: Kind::Blob, fields: digest.as_bytes().to_vec(), body: bytes }
    }

    pub(crate) fn artifact(digest: &OutputDigest, artifact: &Artifact) -> Self {
        let mut fields = digest.0.as_bytes().to_vec();
        push_u32(&mut fields, artifact.files.len());
        for file in &artifact.files {
            fields.extend(file.digest.as_bytes());
            fields.extend(file.size_bytes.to_le_bytes());
            push_text(&mut fields, &file.name);
        }
        Self { kind: Kind::Artifact, fields, body: Vec::new() }
    }

    /// Makes the record of a result, signed if there is a key.
    pub(crate) fn result<P: Serialize>(key: &ActionKey, result: &ActionResult<P>, signer: Option<&PrivateKey>) -> Self {
        let mut fields = key.0.as_bytes().to_vec();
        fields.extend(result.recorded_ms.to_le_bytes());
        fields.extend(result.elapsed_ms.to_le_bytes());
        push_u32(&mut fields, result.outputs.len());
        for (name, output) in &result.outputs {
            fields.extend(output.0.as_bytes());
            push_text(&mut fields, name);
        }
        let ActionResult { preimage, node, kind, run, device, producer, .. } = result;
        let provenance = Provenance { preimage, node, kind, run, device, producer: producer.clone() };
        let body = serde_json::to_vec(&provenance).expect("texts and JSON values can be written as JSON");
        if let Some(signer) = signer {
            signature::sign(&mut fields, &body, signer);
        }
        Self { kind: Kind::Result, fields, body }
    }

    pub(crate) fn tombstone(tombstone: &Tombstone) -> Self {
        let mut fields = vec![tombstone.kind as u8];
        fields.extend(tombstone.digest.as_bytes());
        fields.extend(tombstone.body_at.to_le_bytes());
        fields.extend(tombstone.pack.as_bytes());
        Self { kind: Kind::Tombstone, fields, body: Vec::new() }
    }

    pub(crate) fn seal() -> Self {
        Self { kind: Kind::Seal, fields: Vec::new(), body: Vec::new() }
    }

    /// Appends the header to `headers`.
    pub(crate) fn encode_header(&self, headers: &mut Vec<u8>) {
        headers.extend([self.kind as u8, 0, 0, 0]);
        push_u32(headers, self.fields.len());
        push_u32(headers, self.body.len());
        headers.extend(crc32fast::hash(&self.body).to_le_bytes());
        headers.extend(&self.fields);
    }

    /// The length of header and body together.
    pub(crate) fn len(&self) -> usize {
        FIELDS_AT + self.fields.len() + self.body.len()
    }
}

/// The body of a result, as JSON; a hit does not read it.
#[derive(Serialize, Deserialize)]
struct Provenance<P, T> {
    #[serde(rename = "manifest")]
    preimage: P,
    node: T,
    kind: T,
    run: T,
    device: T,
    /// Records of earlier programs have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    producer: Option<Producer>,
}

/// The header of a record in a pack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header<'a> {
    /// `None` for a kind of a later version.
    pub(crate) kind: Option<Kind>,
    pub(crate) fields: &'a [u8],
    pub(crate) body_len: u32,
    pub(crate) body_crc: u32,
}

impl<'a> Header<'a> {
    /// Decodes the header at the start of `bytes`; `None` if they end within it.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let kind = Kind::from_byte(reader.take(4)?[0]);
        let fields_len = reader.u32()? as usize;
        let (body_len, body_crc) = (reader.u32()?, reader.u32()?);
        Some(Self { kind, fields: reader.take(fields_len)?, body_len, body_crc })
    }

    /// The fields as they are.
    pub(crate) fn fields(&self) -> &'a [u8] {
        self.fields
    }

    /// The length of the header.
    pub(crate) fn len(&self) -> usize {
        FIELDS_AT + self.fields.len()
    }

    /// The digest of a blob or artifact, or the key of a result.
    pub(crate) fn digest(&self) -> Option<Digest> {
        Reader(self.fields).digest()
    }

    /// The files of an artifact; `None` if the fields are cut short or a name would lead out of the artifact.
    pub(crate) fn files(&self) -> Option<Vec<FileEntry>> {
        let file = |file: Option<(Digest, u64, &[u8])>| {
            let (digest, size_bytes, name) = file?;
            let name = str::from_utf8(name).ok().filter(|name| check_name(name).is_ok())?.to_owned();
            Some(FileEntry { name, digest, size_bytes })
        };
        self.raw_files().map(file).collect()
    }

    /// Digest, size and name of each file of an artifact, without copies; an item is `None` where the fields are cut
    /// short.
    pub(crate) fn raw_files(&self) -> impl Iterator<Item = Option<(Digest, u64, &'a [u8])>> + use<'a> {
        // The digest comes before the count.
        let mut reader = Reader(self.fields.get(DIGEST_LEN..).unwrap_or_default());
        let count = reader.u32();
        let mut file = move || Some((reader.digest()?, reader.u64()?, reader.counted()?));
        (0..count.unwrap_or(1)).map(move |_| file())
    }

    /// Returns whether an artifact's digest is that of its files.
    pub(crate) fn is_sound_artifact(&self) -> bool {
        self.files().is_some_and(|files| self.digest() == Some(Artifact { files }.digest().0))
    }

    /// The time at which a result was recorded; `None` for other kinds.
    pub(crate) fn recorded_ms(&self) -> Option<u64> {
        let is_result = self.kind == Some(Kind::Result);
        is_result.then_some(Reader(self.fields.get(DIGEST_LEN..)?)).and_then(|mut reader| reader.u64())
    }

    /// The outputs and times of a result.
    pub(crate) fn hit(&self) -> Option<Hit> {
        let mut reader = Reader(self.fields.get(DIGEST_LEN..)?);
        let (recorded_ms, elapsed_ms) = (reader.u64()?, reader.u64()?);
        let output = |output: Option<(&[u8], OutputDigest)>| {
            let (name, digest) = output?;
            Some((String::from_utf8(name.to_vec()).ok()?, digest))
        };
        Some(Hit { outputs: self.outputs().map(output).collect::<Option<_>>()?, elapsed_ms, recorded_ms })
    }

    /// Name and digest of each output of a result, without copies; an item is `None` where the fields are cut short.
    pub(crate) fn outputs(&self) -> impl Iterator<Item = Option<(&'a [u8], OutputDigest)>> + use<'a> {
        // The key and two times come before the count.
        let mut reader = Reader(self.fields.get(DIGEST_LEN + 2 * 8..).unwrap_or_default());
        let count = reader.u32();
        let mut output = move || {
            let digest = OutputDigest(reader.digest()?);
            Some((reader.counted()?, digest))
        };
        (0..count.unwrap_or(1)).map(move |_| output())
    }

    /// The signature of a result, good or not.
    pub(crate) fn signature(&self) -> Option<Signature<'a>> {
        let names = self.outputs().map(|output| Some(DIGEST_LEN + 4 + output?.0.len())).sum::<Option<usize>>()?;
        Signature::parse(self.fields, OUTPUTS_AT + names)
    }

    /// The whole result, from the header and the body; `None` if the body is not the one that was signed.
    pub(crate) fn result(&self, body: &[u8]) -> Option<ActionResult> {
        let Hit { outputs, elapsed_ms, recorded_ms } = self.hit()?;
        if self.signature().is_some_and(|signature| signature.body != Digest::of(body)) {
            return None;
        }
        let Provenance { preimage, node, kind, run, device, producer } = serde_json::from_slice(body).ok()?;
        Some(ActionResult { outputs, preimage, node, kind, run, elapsed_ms, recorded_ms, device, producer })
    }

    /// The fields of a tombstone.
    pub(crate) fn tombstone(&self) -> Option<Tombstone> {
        let mut reader = Reader(self.fields);
        let kind = Kind::from_byte(reader.take(1)?[0])?;
        let (digest, body_at) = (reader.digest()?, reader.u64()?);
        let pack = str::from_utf8(reader.0).ok()?.to_owned();
        Some(Tombstone { kind, digest, body_at, pack })
    }
}

/// The outputs and times of an [`ActionResult`]: the part in its header, which is in memory, so a hit reads no file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Named outputs in the order in which the stage declares them.
    pub outputs: Vec<(String, OutputDigest)>,
    /// Run time of the stage.
    pub elapsed_ms: u64,
    /// When it was recorded, in milliseconds since 1970.
    pub recorded_ms: u64,
}

/// The fields of a tombstone: kind, digest and location of the record that it takes out of use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tombstone {
    pub(crate) kind: Kind,
    /// Digest of the blob or artifact, or key of the result.
    pub(crate) digest: Digest,
    /// Offset of the record's body in its pack.
    pub(crate) body_at: u64,
    /// The id of that pack.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifact_with_a_name_that_leads_out_has_no_files() {
        let files = |name: &str| {
            let entry = FileEntry { name: name.to_owned(), digest: Digest::of(b"x"), size_bytes: 1 };
            let artifact = Artifact { files: vec![entry] };
            let mut header = Vec::new();
            Draft::artifact(&artifact.digest(), &artifact).encode_header(&mut header);
            Header::parse(&header).expect("it was just encoded").files()
        };
        assert!(files("a/b.png").is_some());
        for name in ["../b", "/b", "a/../../b", "", "a\\b"] {
            assert_eq!(files(name), None, "{name}");
        }
    }
}

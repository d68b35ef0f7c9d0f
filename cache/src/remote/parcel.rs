//! Parcels: a result with all that it names but large blobs, as records of a pack (`record.rs`), header and body each.
//!
//! The result comes first, then its artifacts, then their small blobs. A parcel holds nothing else, and is used by
//! itself: small blobs that several results share are in the parcel of each.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::error::StoreError;
use crate::files::disk;
use crate::format::object::OBJECT_MIN_BYTES;
use crate::format::record::{Draft, Header, Hit, Kind};
use crate::store::Store;
use crate::value::artifact::{ActionKey, Artifact, OutputDigest};
use crate::value::digest::Digest;

/// Small blobs beyond this in one parcel are put like large ones.
const SMALL_BYTES_MAX: u64 = 32 << 20;

/// The parcel of a result, and the large blobs beside it.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) bytes: Vec<u8>,
    pub(crate) blobs: Vec<(Digest, u64)>,
}

/// A parcel that was read and checked: all in it fits together.
#[derive(Debug)]
pub(crate) struct Unpacked {
    pub(crate) result: Draft,
    pub(crate) hit: Hit,
    pub(crate) artifacts: Vec<(OutputDigest, Artifact)>,
    pub(crate) small: Vec<(Digest, Vec<u8>)>,
    /// Blobs that its artifacts name and that are not in it, each with its length.
    pub(crate) others: Vec<(Digest, u64)>,
}

/// The reason why a parcel is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Its bytes are not those of a parcel of this key.
    Damaged,
    /// Nobody trusted has signed its result.
    Untrusted,
}

impl Store {
    /// Makes the parcel of a result; `None` if the store has no result, or not all of its bytes.
    pub(crate) fn parcel(&self, key: &ActionKey) -> Result<Option<Parcel>, StoreError> {
        let Some(hit) = self.hit(key) else { return Ok(None) };
        let Some(result) = self.result_draft(key)? else { return Ok(None) };
        let mut bytes = Vec::new();
        push(&mut bytes, &result);
        let outputs: BTreeMap<_, _> = hit.outputs.iter().map(|(_, output)| (*output, ())).collect();
        let mut files = BTreeMap::new();
        for output in outputs.into_keys() {
            let Some(artifact) = self.artifact(&output) else { return Ok(None) };
            push(&mut bytes, &Draft::artifact(&output, &artifact));
            files.extend(artifact.files.into_iter().map(|file| (file.digest, file.size_bytes)));
        }
        let (mut small_bytes, mut blobs) = (0, Vec::new());
        for (digest, size_bytes) in files {
            if size_bytes >= OBJECT_MIN_BYTES || size_bytes > 0 && small_bytes + size_bytes > SMALL_BYTES_MAX {
                blobs.push((digest, size_bytes));
                continue;
            }
            small_bytes += size_bytes;
            match self.read(&digest) {
                Ok(read) => push(&mut bytes, &Draft::blob(&digest, read)),
                // It is out of use by now, and so the result is none any more.
                Err(StoreError::Corrupt { .. } | StoreError::Missing { .. }) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(Parcel { bytes, blobs }))
    }

    /// Reads the record of a result as it is.
    fn result_draft(&self, key: &ActionKey) -> Result<Option<Draft>, StoreError> {
        let index = self.index_with(Kind::Result, &[key.0]);
        let Some(location) = index.location(Kind::Result, &key.0) else { return Ok(None) };
        let Some(header) = index.header(&location) else { return Ok(None) };
        let pack = &index.packs[location.pack as usize];
        let body = pack.body(&disk::open(&pack.path)?, &header, location.body_at)?;
        let fields = header.fields().to_vec();
        Ok(body.map(|body| Draft { kind: Kind::Result, fields, body }))
    }
}

fn push(bytes: &mut Vec<u8>, draft: &Draft) {
    draft.encode_header(bytes);
    bytes.extend(&draft.body);
}

/// Reads and checks a parcel.
pub(crate) fn unpack(store: &Store, key: &ActionKey, bytes: &[u8]) -> Result<Unpacked, Refused> {
    let mut rest = bytes;
    let (mut result, mut artifacts, mut small) = (None, HashMap::new(), HashMap::new());
    while !rest.is_empty() {
        let header = Header::parse(rest).ok_or(Refused::Damaged)?;
        let body = rest.get(header.len()..).and_then(|body| body.get(..header.body_len as usize));
        let body = body.ok_or(Refused::Damaged)?;
        match header.kind {
            Some(Kind::Result) if result.is_none() && header.digest() == Some(key.0) => {
                let hit = header.hit().filter(|_| header.result(body).is_some()).ok_or(Refused::Damaged)?;
                if !store.trust().accepts(header.signature()) {
                    return Err(Refused::Untrusted);
                }
                let fields = header.fields().to_vec();
                result = Some((Draft { kind: Kind::Result, fields, body: body.to_vec() }, hit));
            }
            Some(Kind::Artifact) if header.is_sound_artifact() => {
                let files = header.files().ok_or(Refused::Damaged)?;
                artifacts.insert(OutputDigest(header.digest().ok_or(Refused::Damaged)?), Artifact { files });
            }
            Some(Kind::Blob) if header.digest() == Some(Digest::of(body)) => {
                small.insert(Digest::of(body), body.to_vec());
            }
            _ => return Err(Refused::Damaged),
        }
        rest = &rest[header.len() + body.len()..];
    }
    let (result, hit) = result.ok_or(Refused::Damaged)?;
    let wanted: HashSet<_> = hit.outputs.iter().map(|(_, output)| *output).collect();
    if wanted.len() != artifacts.len() || !wanted.iter().all(|output| artifacts.contains_key(output)) {
        return Err(Refused::Damaged);
    }
    let mut others = BTreeMap::new();
    for file in artifacts.values().flat_map(|artifact| &artifact.files) {
        match small.get(&file.digest) {
            Some(bytes) if bytes.len() as u64 == file.size_bytes => {}
            Some(_) => return Err(Refused::Damaged),
            // One digest has one length.
            None if others.insert(file.digest, file.size_bytes).is_none_or(|known| known == file.size_bytes) => {}
            None => return Err(Refused::Damaged),
        }
    }
    Ok(Unpacked {
        result,
        hit,
        artifacts: artifacts.into_iter().collect(),
        small: small.into_iter().collect(),
        others: others.into_iter().collect(),
    })
}

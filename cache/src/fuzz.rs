//! Functions that must return for any bytes, for the targets in `tests/fuzz/` and for property tests.
#![allow(clippy::missing_panics_doc, reason = "a panic is the finding")]

use std::fs;
use std::path::PathBuf;

use crate::external::file_digest::FileDigests;
use crate::format::layout::{Access, Layout};
use crate::format::pack::Pack;
use crate::format::record::{Draft, Kind};
use crate::store::Store;
use crate::trust::Trust;

/// Opens and verifies a store with a pack of these bytes.
///
/// After an odd first byte, the rest is the pack; else the rest becomes records with right checksums: kind,
/// length of the fields, length of the body, a byte each, then both.
pub fn pack(bytes: &[u8]) {
    const ID: &str = "000000000001-1-1";
    let Some((mode, rest)) = bytes.split_first() else { return };
    let pack = if mode % 2 == 1 { rest.to_vec() } else { Pack::new(ID, PathBuf::new()).encode(&drafts(rest)) };
    with_store(|layout| fs::write(layout.pack(ID), &pack).expect("a temporary folder is writable"));
}

/// Opens and verifies a store with these bytes in `last-use` and `stat-cache`, behind right checksums.
pub fn lists(bytes: &[u8]) {
    let crc = |bytes: &[u8]| crc32fast::hash(bytes).to_le_bytes();
    let (head, keys) = bytes.split_at(bytes.len().min(44));
    let uses = [b"LUSE", head].concat();
    let uses = [&uses[..], &crc(&[&uses[..], keys].concat()), keys].concat();
    let stats = [&b"OST1"[..], &crc(bytes), bytes].concat();
    with_store(|layout| {
        for (name, bytes) in [("last-use", &uses), ("stat-cache", &stats)] {
            fs::write(layout.dir.join(name), bytes).expect("a temporary folder is writable");
        }
    });
}

fn drafts(mut rest: &[u8]) -> Vec<Draft> {
    let mut drafts = Vec::new();
    while let [kind, fields_len, body_len, after @ ..] = rest {
        let (fields, after) = after.split_at(after.len().min(usize::from(*fields_len)));
        let (body, after) = after.split_at(after.len().min(usize::from(*body_len)));
        let kinds = [Kind::Blob, Kind::Artifact, Kind::Result, Kind::Tombstone];
        drafts.push(Draft { kind: kinds[usize::from(*kind) % 4], fields: fields.to_vec(), body: body.to_vec() });
        rest = after;
    }
    drafts
}

fn with_store(change: impl FnOnce(&Layout)) {
    let dir = tempfile::tempdir().expect("there is a temporary folder");
    drop(Store::open(dir.path(), Access::ReadWrite).expect("a new folder can be a store"));
    change(&Layout::at(dir.path()).unwrap());
    let believing = [Access::ReadOnly, Access::ReadWrite].map(|access| (access, None));
    for (access, signers) in believing.into_iter().chain([(Access::ReadOnly, Some(Vec::new()))]) {
        let Ok(store) = Store::open_trusting(dir.path(), access, Trust::new(signers, None)) else { continue };
        let _ = store.stats();
        for (key, result, _) in store.results() {
            let _ = (store.hit(&key), store.find(&key.0.short()), store.signed(&key), result.key());
            for (_, output) in result.outputs {
                for file in store.artifact(&output).into_iter().flat_map(|artifact| artifact.files) {
                    let _ = store.read(&file.digest);
                }
            }
        }
        let _ = store.verify();
        let _ = FileDigests::open(dir.path()).digest(&dir.path().join("format"));
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_store_with_any_bytes_as_a_pack_opens(bytes in vec(any::<u8>(), 0..300)) {
            pack(&bytes);
        }

        /// Any counts and lengths, behind a right checksum.
        #[test]
        fn a_store_with_any_records_opens(
            records in vec((0..4_u8, vec(any::<u8>(), 0..90), vec(any::<u8>(), 0..20)), 0..6),
        ) {
            let record = |(kind, fields, body): &(u8, Vec<u8>, Vec<u8>)| {
                [&[*kind, fields.len() as u8, body.len() as u8][..], fields, body].concat()
            };
            pack(&[vec![0], records.iter().flat_map(record).collect()].concat());
        }

        #[test]
        fn a_store_with_any_bytes_as_its_lists_opens(bytes in vec(any::<u8>(), 0..200)) {
            lists(&bytes);
        }
    }
}

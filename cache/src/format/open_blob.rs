//! Partial reads of a blob in its file, each checked.
//!
//! A digest is the root of a tree of hashes over the bytes. Opening reads the bytes once and checks the root; it keeps
//! the nodes of [`GROUP`] bytes, two thousandths of the blob, so any range can be checked later on its own. The bytes
//! stay in the kernel's page cache, and processes that read the same blob share them.
//!
//! Positioned reads, not a mapping: if a mapped file is cut, its reader dies, while a read returns an error. The file
//! stays open, so it may be deleted or moved meanwhile.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use blake3::hazmat::{ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root};

use crate::files::regular;
use crate::format::blob::{BlobError, BlobLocation};
use crate::value::digest::Digest;

/// Bytes under one kept node: as many as processors hash side by side. A read covers whole groups.
const GROUP: usize = 16 << 10;
/// Bytes read at a time when a blob is opened; a multiple of [`GROUP`].
const CHUNK: usize = 1 << 20;

/// A blob checked when it is opened, and again by each read.
#[derive(Debug)]
pub struct OpenBlob {
    file: File,
    location: BlobLocation,
    digest: Digest,
    /// One for each group, in order.
    nodes: Vec<ChainingValue>,
}

impl BlobLocation {
    /// Opens the blob: checks the digest of its bytes without keeping them.
    pub fn open_verified(&self, digest: &Digest) -> Result<OpenBlob, BlobError> {
        let failed = |source| BlobError::Read { path: self.path.to_path_buf(), source };
        let file = regular::open_to_read(&self.path).map_err(failed)?;
        let mut blob = OpenBlob { file, location: self.clone(), digest: *digest, nodes: Vec::new() };
        let mut buffer = vec![0; usize::try_from(self.size_bytes).map_or(CHUNK, |size| size.min(CHUNK))];
        for start in (0..self.size_bytes).step_by(CHUNK) {
            let chunk = &mut buffer[..CHUNK.min(usize::try_from(self.size_bytes - start).unwrap_or(CHUNK))];
            blob.read_unchecked(chunk, start)?;
            blob.nodes
                .extend((start..).step_by(GROUP).zip(chunk.chunks(GROUP)).map(|(start, group)| node(group, start)));
        }
        let root = match blob.nodes.as_slice() {
            [] | [_] => Digest::of(&buffer),
            nodes => root(nodes, self.size_bytes),
        };
        if root == *digest { Ok(blob) } else { Err(blob.mismatch()) }
    }
}

impl OpenBlob {
    /// The length of the blob.
    pub fn size_bytes(&self) -> u64 {
        self.location.size_bytes
    }

    /// The digest of the whole blob.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Fills `part` with the bytes from `start` on.
    ///
    /// Errors: bytes that changed since they were checked; a range beyond the end.
    pub fn read_exact_at(&self, part: &mut [u8], start: u64) -> Result<(), BlobError> {
        if start.checked_add(part.len() as u64).is_none_or(|end| end > self.size_bytes()) {
            let wanted = format!("{} bytes at {start} are beyond the end at {}", part.len(), self.size_bytes());
            return Err(BlobError::Read { path: self.location.path.to_path_buf(), source: io::Error::other(wanted) });
        }
        // Group by group: a wholly covered group is read into `part`, any other into `beside`.
        let mut beside = [0; GROUP];
        let (mut place, mut part) = (start, part);
        while !part.is_empty() {
            let group = place / GROUP as u64 * GROUP as u64;
            let length = usize::try_from(self.size_bytes() - group).map_or(GROUP, |rest| rest.min(GROUP));
            let skipped = (place - group) as usize;
            let (own, rest) = part.split_at_mut(part.len().min(length - skipped));
            if own.len() == length {
                self.read_group(own, group)?;
            } else {
                self.read_group(&mut beside[..length], group)?;
                own.copy_from_slice(&beside[skipped..skipped + own.len()]);
            }
            (place, part) = (place + own.len() as u64, rest);
        }
        Ok(())
    }

    /// Reads and checks all bytes once more.
    pub fn check(&self) -> Result<(), BlobError> {
        let mut group = [0; GROUP];
        for start in (0..self.size_bytes()).step_by(GROUP) {
            let length = usize::try_from(self.size_bytes() - start).map_or(GROUP, |rest| rest.min(GROUP));
            self.read_group(&mut group[..length], start)?;
        }
        Ok(())
    }

    /// Fills `bytes` with the group at `start`.
    fn read_group(&self, bytes: &mut [u8], start: u64) -> Result<(), BlobError> {
        self.read_unchecked(bytes, start)?;
        let expected = &self.nodes[(start / GROUP as u64) as usize];
        if node(bytes, start) == *expected { Ok(()) } else { Err(self.mismatch()) }
    }

    fn read_unchecked(&self, bytes: &mut [u8], start: u64) -> Result<(), BlobError> {
        self.file.read_exact_at(bytes, self.location.offset + start).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => self.mismatch(),
            _ => BlobError::Read { path: self.location.path.to_path_buf(), source },
        })
    }

    fn mismatch(&self) -> BlobError {
        BlobError::Mismatch { path: self.location.path.to_path_buf(), expected: self.digest }
    }
}

/// Hashes the group at `start`.
fn node(group: &[u8], start: u64) -> ChainingValue {
    blake3::Hasher::new().set_input_offset(start).update(group).finalize_non_root()
}

/// Computes the digest of a blob of `size_bytes` from the nodes of its groups, at least two.
fn root(nodes: &[ChainingValue], size_bytes: u64) -> Digest {
    let (left, right) = children(nodes, size_bytes);
    Digest::from_bytes(*merge_subtrees_root(&left, &right, Mode::Hash).as_bytes())
}

fn children(nodes: &[ChainingValue], size_bytes: u64) -> (ChainingValue, ChainingValue) {
    let left_bytes = left_subtree_len(size_bytes);
    let (left, right) = nodes.split_at((left_bytes / GROUP as u64) as usize);
    (subtree(left, left_bytes), subtree(right, size_bytes - left_bytes))
}

fn subtree(nodes: &[ChainingValue], size_bytes: u64) -> ChainingValue {
    if let [node] = nodes {
        return *node;
    }
    let (left, right) = children(nodes, size_bytes);
    merge_subtrees_non_root(&left, &right, Mode::Hash)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|place| ((place * 7919) >> 5) as u8).collect()
    }

    /// A blob that does not begin where its file does, as in a pack.
    fn stored(folder: &Path, bytes: &[u8]) -> BlobLocation {
        let path = folder.join("file");
        std::fs::write(&path, [b"before", bytes, b"behind"].concat()).unwrap();
        BlobLocation { path: path.into(), offset: 6, size_bytes: bytes.len() as u64 }
    }

    #[test]
    fn parts_of_blobs_of_all_lengths_are_those_of_the_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let lengths = [0, 1, GROUP - 1, GROUP, GROUP + 1, 2 * GROUP, 5 * GROUP + 7, CHUNK, CHUNK + 1, 3 * CHUNK - 5];
        for length in lengths {
            let bytes = bytes(length);
            let blob = stored(folder.path(), &bytes).open_verified(&Digest::of(&bytes)).unwrap();
            assert_eq!((blob.size_bytes(), *blob.digest()), (length as u64, Digest::of(&bytes)));
            for start in [0, 1, GROUP - 1, GROUP, length / 2, length.saturating_sub(1)] {
                for count in [0, 1, GROUP, length] {
                    let mut part = vec![0; count];
                    match bytes.get(start..start + count) {
                        Some(expected) => {
                            blob.read_exact_at(&mut part, start as u64).unwrap();
                            assert!(part == expected, "{count} bytes at {start} of {length}");
                        }
                        None => {
                            let error = blob.read_exact_at(&mut part, start as u64).unwrap_err().to_string();
                            assert!(error.contains("beyond the end"), "{error}");
                        }
                    }
                }
            }
            assert!(blob.read_exact_at(&mut [0], u64::MAX).is_err());
            blob.check().unwrap();
        }
    }

    #[test]
    fn other_bytes_and_a_file_that_is_cut_off_are_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        for length in [GROUP / 2, 3 * GROUP + 1] {
            let bytes = bytes(length);
            let location = stored(folder.path(), &bytes);
            let error = location.open_verified(&Digest::of(b"other")).unwrap_err();
            assert!(matches!(error, BlobError::Mismatch { .. }), "{error}");
            std::fs::write(&location.path, &bytes[..length / 2]).unwrap();
            let error = location.open_verified(&Digest::of(&bytes)).unwrap_err();
            assert!(matches!(error, BlobError::Mismatch { .. }), "{error}");
        }
    }

    #[test]
    fn bytes_that_change_after_opening_are_not_served_and_others_still_are() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = bytes(4 * GROUP);
        let location = stored(folder.path(), &bytes);
        let blob = location.open_verified(&Digest::of(&bytes)).unwrap();
        let file = File::options().write(true).open(&location.path).unwrap();
        file.write_all_at(&[bytes[GROUP + 9] ^ 1], 6 + GROUP as u64 + 9).unwrap();
        let mut part = [0; 4];
        assert!(matches!(blob.check(), Err(BlobError::Mismatch { .. })));
        assert!(matches!(blob.read_exact_at(&mut part, GROUP as u64 + 20), Err(BlobError::Mismatch { .. })));
        blob.read_exact_at(&mut part, GROUP as u64 - 4).unwrap();
        assert_eq!(part, bytes[GROUP - 4..GROUP]);
        file.set_len(6 + 3 * GROUP as u64).unwrap();
        assert!(matches!(blob.read_exact_at(&mut part, 3 * GROUP as u64), Err(BlobError::Mismatch { .. })));
        blob.read_exact_at(&mut part, 2 * GROUP as u64).unwrap();
    }

    #[test]
    fn a_file_that_is_deleted_is_still_read() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = bytes(GROUP);
        let location = stored(folder.path(), &bytes);
        let blob = location.open_verified(&Digest::of(&bytes)).unwrap();
        std::fs::remove_file(&location.path).unwrap();
        let mut part = [0; 10];
        blob.read_exact_at(&mut part, 5).unwrap();
        assert_eq!(part, bytes[5..15]);
    }
}

//! Packs: append-only files of records, written by one process at a time and read by all.
//!
//! A pack is a sequence of **groups**, nothing before, between or after them. A commit appends one or more groups
//! with one write and one `fdatasync`. `ID` is the file's name without `.pack`; a copy under another name is not a pack.
//!
//! | offset | size | group |
//! |---|---|---|
//! | 0 | 4 | `89 4F 47 52` |
//! | 4 | 4 | number of the commit, counted from 1 in each pack |
//! | 8 | 4 | count of records |
//! | 12 | 4 | `H`, length of the heads |
//! | 16 | 8 | `B`, length of the bodies |
//! | 24 | 4 | CRC-32 of the heads |
//! | 28 | 4 | CRC-32 of `ID`, of the group's offset in the file (8) and of bytes 0 to 27 |
//! | 32 | `H` | heads of the records, see `record.rs` |
//! | 32 + `H` | `B` | bodies of the records, in the order of the heads |
//!
//! Integers are little-endian. Heads stand together so that opening a store reads them and skips the bodies.
//!
//! What a reader makes of bytes that are no group:
//! - No group begins there and none further on, or the group there is longer than the file: a **torn tail**, left by a
//!   crash or being written just now. The next process to write to the pack moves it to `quarantine/`.
//! - A group begins further on: the bytes up to it are **damaged**. As the header's checksum covers id and offset, a
//!   pack that is stored as a blob in another pack is never taken for groups.
//! - Header right, heads wrong: the group is damaged; the next one follows.
//! - Bodies are checked when they are read. Those of the *last* commit are checked at opening too, as a crash of the
//!   machine may have left holes in it. Every earlier commit was durable before the next began; see `durable.rs`.
//!
//! Records are in the order of recording: blobs come before the artifact that needs them, and artifacts before the result,
//! so that whatever a crash leaves has no result without its artifact and no artifact without its blobs. A pack with
//! damage or a bad body gets no more groups, as they would hide which commit was the last; `gc` rewrites it.

use std::collections::HashSet;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::StoreError;
use crate::files::disk;
use crate::format::record::{Draft, HEAD_LEN, Head, Kind};

const MAGIC: [u8; 4] = [0x89, b'O', b'G', b'R'];
/// Length of a group's header.
pub(crate) const GROUP_HEADER_LEN: usize = 32;
const HEADER_LEN: usize = GROUP_HEADER_LEN;
/// A header that is hit by a flipped bit costs a group, so groups are small.
const GROUP_RECORDS: usize = 256;
const GROUP_BYTES: usize = 1 << 20;

/// What is known of one pack.
#[derive(Debug)]
pub(crate) struct Pack {
    pub(crate) id: String,
    pub(crate) path: Arc<Path>,
    /// The heads of all groups, one after the other.
    heads: Vec<u8>,
    groups: Vec<Group>,
    counts: Counts,
    /// Where the next group begins.
    pub(crate) end: u64,
    /// Number of the last commit.
    pub(crate) commit: u32,
    /// Up to here its bytes are known to be durable, and so is its name where this is not 0.
    pub(crate) durable: u64,
    /// Where the last body begins of those that are in use and not known to be durable, or were not when they were used.
    used: AtomicU64,
    /// Parts that are no group, though groups follow.
    pub(crate) damage: Vec<Range<u64>>,
    /// Places of bodies of the last commit that are not what their heads say.
    pub(crate) bad_bodies: HashSet<u64>,
}

/// Numbers of records by kind; those of later versions come first.
type Counts = [usize; Kind::Forget as usize + 1];

#[derive(Clone, Debug)]
struct Group {
    commit: u32,
    heads: Range<u32>,
    bodies_at: u64,
}

/// A record, and where it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) head: Head<'a>,
    /// Where its head begins among the heads of the pack.
    pub(crate) head_at: u32,
    /// Where its body begins in the file.
    pub(crate) body_at: u64,
}

impl Record<'_> {
    /// The length of head and body.
    pub(crate) fn len(&self) -> u64 {
        self.head.len() as u64 + u64::from(self.head.body_len)
    }
}

impl Pack {
    /// A pack of which nothing is read yet.
    pub(crate) fn new(id: &str, path: impl Into<Arc<Path>>) -> Self {
        let (id, path, heads) = (id.to_owned(), path.into(), Vec::new());
        let (groups, damage, bad_bodies) = (Vec::new(), Vec::new(), HashSet::new());
        let (counts, used) = Default::default();
        Self { id, path, heads, groups, counts, end: 0, commit: 0, durable: 0, used, damage, bad_bodies }
    }

    /// Reads the groups that were appended since; gives their numbers.
    pub(crate) fn read_new(&mut self) -> Result<Range<usize>, StoreError> {
        let known = self.groups.len();
        let file = disk::open(&self.path)?;
        let len = file.metadata().map_err(StoreError::io("read", &self.path))?.len();
        let mut window = Window::new(&file, &self.path, len);
        while self.end < len {
            match Header::read(&mut window, &self.id, self.end)? {
                Some(header) if header.end > len => break,
                Some(header) => self.take_group(&mut window, &header)?,
                None => match self.next_header(&mut window, self.end + 1)? {
                    Some(next) => {
                        self.damage.push(self.end..next);
                        self.end = next;
                    }
                    None => break,
                },
            }
        }
        self.check_last_commit(known, &mut window)?;
        Ok(known..self.groups.len())
    }

    fn take_group(&mut self, window: &mut Window<'_>, header: &Header) -> Result<(), StoreError> {
        let heads = window.bytes(self.end + HEADER_LEN as u64, header.heads_len as usize)?;
        let start = self.heads.len();
        let fits = u32::try_from(start + heads.len()).is_ok();
        let is_whole = fits && crc32fast::hash(heads) == header.heads_crc;
        if let Some(counts) = Some(heads).filter(|_| is_whole).and_then(|heads| header.counts(heads)) {
            self.counts.iter_mut().zip(counts).for_each(|(all, count)| *all += count);
            self.heads.extend_from_slice(heads);
            let heads = start as u32..self.heads.len() as u32;
            let bodies_at = self.end + HEADER_LEN as u64 + u64::from(header.heads_len);
            self.groups.push(Group { commit: header.commit, heads, bodies_at });
        } else {
            self.damage.push(self.end..header.end);
        }
        if header.commit > self.commit {
            self.commit = header.commit;
            if header.commit > 1 {
                self.durable = self.durable.max(self.end);
            }
        }
        self.end = header.end;
        Ok(())
    }

    /// Takes note that a record is used.
    #[inline]
    pub(crate) fn note_use(&self, body_at: u64) {
        // Bodies of the next commit begin after its header, and an empty one of this commit may begin at its end.
        if body_at > self.durable {
            self.used.fetch_max(body_at, Ordering::Relaxed);
        }
    }

    /// Whether records are used that are not known to be durable.
    pub(crate) fn is_owed(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.durable
    }

    /// Finds the next place where a group begins.
    fn next_header(&self, window: &mut Window<'_>, from: u64) -> Result<Option<u64>, StoreError> {
        let mut at = from;
        loop {
            let Some(data) = window.data_from(at)? else { return Ok(None) };
            at = data;
            let bytes = window.bytes(at, CHUNK)?;
            if bytes.len() < HEADER_LEN {
                return Ok(None);
            }
            // The last three bytes may begin a magic number that the next chunk completes.
            let step = bytes.len() - (MAGIC.len() - 1);
            let places: Vec<usize> =
                bytes.windows(MAGIC.len()).enumerate().filter(|(_, b)| **b == MAGIC).map(|(place, _)| place).collect();
            for place in places {
                let place = at + place as u64;
                if Header::read(window, &self.id, place)?.is_some() {
                    return Ok(Some(place));
                }
            }
            at += step as u64;
        }
    }

    fn check_last_commit(&mut self, known: usize, window: &mut Window<'_>) -> Result<(), StoreError> {
        let first = self.groups[known..].iter().position(|group| group.commit == self.commit);
        let Some(first) = first else { return Ok(()) };
        let mut bad = HashSet::new();
        for record in self.records(known + first..self.groups.len()) {
            if window.crc(record.body_at, record.head.body_len as usize)? != Some(record.head.body_crc) {
                bad.insert(record.body_at);
            }
        }
        self.bad_bodies.extend(bad);
        Ok(())
    }

    /// The number of groups.
    pub(crate) fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// The records of some groups.
    pub(crate) fn records(&self, groups: Range<usize>) -> impl Iterator<Item = Record<'_>> {
        self.groups[groups].iter().flat_map(move |group| {
            let (mut head_at, mut body_at) = (group.heads.start, group.bodies_at);
            std::iter::from_fn(move || {
                if head_at >= group.heads.end {
                    return None;
                }
                let record = Record { head: self.head(head_at)?, head_at, body_at };
                head_at += record.head.len() as u32;
                body_at += u64::from(record.head.body_len);
                Some(record)
            })
        })
    }

    /// How many records of a kind there are.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.counts[kind as usize]
    }

    /// How many records there are in all.
    pub(crate) fn record_count(&self) -> usize {
        self.counts.iter().sum()
    }

    /// The digest or key in the head at a place among the heads.
    pub(crate) fn digest_at(&self, head_at: u32) -> Option<&[u8; 32]> {
        self.heads.get(head_at as usize + HEAD_LEN..)?.first_chunk()
    }

    /// The head at a place among the heads.
    pub(crate) fn head(&self, head_at: u32) -> Option<Head<'_>> {
        Head::parse(self.heads.get(head_at as usize..)?)
    }

    /// Reads a body and checks it; `None` if it is not what the head says.
    pub(crate) fn body(&self, file: &File, head: &Head<'_>, body_at: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let mut body = vec![0; head.body_len as usize];
        match file.read_exact_at(&mut body, body_at) {
            Ok(()) => Ok((crc32fast::hash(&body) == head.body_crc).then_some(body)),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(StoreError::io("read", &self.path)(error)),
        }
    }

    /// Encodes a commit that follows all groups.
    pub(crate) fn encode(&self, drafts: &[Draft]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(drafts.iter().map(Draft::len).sum::<usize>() + HEADER_LEN);
        let mut rest = drafts;
        while !rest.is_empty() {
            let mut size = 0;
            let fits = |draft: &&Draft| {
                size += draft.len();
                size <= GROUP_BYTES
            };
            let count = rest.iter().take(GROUP_RECORDS).take_while(fits).count().max(1);
            let (group, after) = rest.split_at(count);
            self.encode_group(group, self.end + bytes.len() as u64, &mut bytes);
            rest = after;
        }
        bytes
    }

    fn encode_group(&self, drafts: &[Draft], offset: u64, bytes: &mut Vec<u8>) {
        let mut heads = Vec::new();
        drafts.iter().for_each(|draft| draft.encode_head(&mut heads));
        let bodies_len: u64 = drafts.iter().map(|draft| draft.body.len() as u64).sum();
        let start = bytes.len();
        bytes.extend(MAGIC);
        bytes.extend((self.commit + 1).to_le_bytes());
        bytes.extend((drafts.len() as u32).to_le_bytes());
        bytes.extend(u32::try_from(heads.len()).expect("a group is about a mebibyte").to_le_bytes());
        bytes.extend(bodies_len.to_le_bytes());
        bytes.extend(crc32fast::hash(&heads).to_le_bytes());
        bytes.extend(header_crc(&self.id, offset, &bytes[start..]).to_le_bytes());
        bytes.extend(heads);
        drafts.iter().for_each(|draft| bytes.extend(&draft.body));
    }
}

/// The first 32 bytes of a group.
struct Header {
    commit: u32,
    count: u32,
    heads_len: u32,
    bodies_len: u64,
    heads_crc: u32,
    /// Where the group ends in the file.
    end: u64,
}

impl Header {
    fn read(window: &mut Window<'_>, id: &str, at: u64) -> Result<Option<Self>, StoreError> {
        Ok(Self::parse(window.bytes(at, HEADER_LEN)?, id, at))
    }

    fn parse(bytes: &[u8], id: &str, at: u64) -> Option<Self> {
        let bytes: &[u8; HEADER_LEN] = bytes.try_into().ok()?;
        let u32_at =
            |place: usize| u32::from_le_bytes([bytes[place], bytes[place + 1], bytes[place + 2], bytes[place + 3]]);
        if bytes[..4] != MAGIC || u32_at(28) != header_crc(id, at, &bytes[..28]) {
            return None;
        }
        let bodies_len = u64::from(u32_at(16)) | u64::from(u32_at(20)) << 32;
        let (commit, count, heads_len) = (u32_at(4), u32_at(8), u32_at(12));
        let end = (at + HEADER_LEN as u64 + u64::from(heads_len)).checked_add(bodies_len)?;
        Some(Self { commit, count, heads_len, bodies_len, heads_crc: u32_at(24), end })
    }

    /// How many heads of each kind there are; `None` where count and lengths are not those of the heads.
    fn counts(&self, heads: &[u8]) -> Option<Counts> {
        let (mut at, mut count, mut bodies) = (0, 0, 0);
        let mut counts = Counts::default();
        while at < heads.len() {
            let head = Head::parse(&heads[at..])?;
            at += head.len();
            count += 1;
            bodies += u64::from(head.body_len);
            counts[head.kind.map_or(0, |kind| kind as usize)] += 1;
        }
        let described = heads.len() == self.heads_len as usize && count == self.count && bodies == self.bodies_len;
        described.then_some(counts)
    }
}

fn header_crc(id: &str, offset: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(id.as_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

/// Large enough that small groups share a read, small enough that little is read of bodies.
const CHUNK: usize = 64 << 10;

/// A part of a file in memory, which moves on as it is asked for bytes further on.
struct Window<'f> {
    file: &'f File,
    path: PathBuf,
    len: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl<'f> Window<'f> {
    fn new(file: &'f File, path: &Path, len: u64) -> Self {
        Self { file, path: path.to_owned(), len, start: 0, bytes: Vec::new() }
    }

    /// Up to `want` bytes at an offset; fewer only where the file ends.
    fn bytes(&mut self, at: u64, want: usize) -> Result<&[u8], StoreError> {
        let want = want.min(usize::try_from(self.len.saturating_sub(at)).unwrap_or(usize::MAX));
        let held = at >= self.start && at + want as u64 <= self.start + self.bytes.len() as u64;
        if !held {
            self.fill(at, want).map_err(StoreError::io("read", &self.path))?;
        }
        let from = usize::try_from(at - self.start).map_err(std::io::Error::other);
        let from = from.map_err(StoreError::io("read", &self.path))?;
        Ok(&self.bytes[from.min(self.bytes.len())..(from + want).min(self.bytes.len())])
    }

    /// Where something was written, at an offset or behind it; `None` if nothing was. So a hole of terabytes takes no time.
    #[cfg(target_os = "linux")]
    fn data_from(&self, at: u64) -> Result<Option<u64>, StoreError> {
        use nix::errno::Errno;
        use nix::unistd::{Whence, lseek};
        match lseek(self.file, at.cast_signed(), Whence::SeekData) {
            Ok(data) => Ok(Some(data.cast_unsigned())),
            Err(Errno::ENXIO) => Ok(None),
            // Not every filesystem knows its holes.
            Err(Errno::EINVAL | Errno::EOPNOTSUPP) => Ok(Some(at)),
            Err(error) => Err(StoreError::io("read", &self.path)(error.into())),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn data_from(&self, at: u64) -> Result<Option<u64>, StoreError> {
        Ok(Some(at))
    }

    /// The checksum of so many bytes at an offset; `None` where the file ends before. A part of them is in memory at a time.
    fn crc(&mut self, at: u64, len: usize) -> Result<Option<u32>, StoreError> {
        let mut hasher = crc32fast::Hasher::new();
        let mut done = 0;
        while done < len {
            let part = self.bytes(at + done as u64, CHUNK.min(len - done))?;
            if part.is_empty() {
                return Ok(None);
            }
            hasher.update(part);
            done += part.len();
        }
        Ok(Some(hasher.finalize()))
    }

    fn fill(&mut self, at: u64, want: usize) -> std::io::Result<()> {
        let room = usize::try_from(self.len - at.min(self.len)).unwrap_or(usize::MAX);
        self.bytes.resize(want.max(CHUNK).min(room), 0);
        self.start = at;
        let mut filled = 0;
        while filled < self.bytes.len() {
            match self.file.read_at(&mut self.bytes[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.bytes.truncate(filled);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::digest::Digest;

    #[test]
    fn bodies_of_the_last_commit_are_checked_to_their_last_byte_however_long() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.pack");
        for len in [0, 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7] {
            let body = vec![7; len];
            let whole = Pack::new("a", path.clone()).encode(&[Draft::blob(&Digest::of(&body), body)]);
            let mut flipped = whole.clone();
            *flipped.last_mut().unwrap() ^= 1;
            for (bytes, bad) in [(&whole, 0), (&flipped, usize::from(len > 0))] {
                std::fs::write(&path, bytes).unwrap();
                let mut pack = Pack::new("a", path.clone());
                pack.read_new().unwrap();
                assert_eq!(pack.bad_bodies.len(), bad, "{len} bytes");
            }
        }
    }

    #[test]
    fn a_hole_of_terabytes_behind_a_pack_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.pack");
        let group = Pack::new("a", path.clone()).encode(&[Draft::blob(&Digest::of(b"1"), b"1".to_vec())]);
        std::fs::write(&path, &group).unwrap();
        File::options().write(true).open(&path).unwrap().set_len(1 << 42).unwrap();
        let mut pack = Pack::new("a", path);
        pack.read_new().unwrap();
        assert_eq!((pack.group_count(), pack.end), (1, group.len() as u64));
    }
}

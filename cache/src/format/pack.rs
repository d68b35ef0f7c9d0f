//! Packs: append-only files of records, written by one process at a time and read by all.
//!
//! A pack is a sequence of **groups** without gaps. A commit appends one or more groups with one write and one
//! `fdatasync`. `ID` is the name of the file without `.pack`; a copy under another name is not a pack.
//!
//! | offset | size | group |
//! |---|---|---|
//! | 0 | 4 | `89 4F 47 52` |
//! | 4 | 4 | number of the commit, counted from 1 in each pack |
//! | 8 | 4 | count of records |
//! | 12 | 4 | `H`, length of the record headers |
//! | 16 | 8 | `B`, length of the bodies |
//! | 24 | 4 | CRC-32 of the record headers |
//! | 28 | 4 | CRC-32 of `ID`, of the group's offset in the file (8) and of bytes 0 to 27 |
//! | 32 | `H` | headers of the records, see `record.rs` |
//! | 32 + `H` | `B` | bodies of the records, in the order of the headers |
//!
//! Integers are little-endian. Headers stand together, so opening a store skips the bodies.
//!
//! A reader treats other bytes as follows:
//! - No group begins there or later, or the group is longer than the file: a **torn tail**, left by a crash or being
//!   written now. The next process to write to the pack moves it to `quarantine/`.
//! - A group begins later: the bytes before it are **damaged**. The group header's checksum covers id and offset, so a
//!   pack that is stored as a blob in another pack is never mistaken for groups.
//! - The group header is right and the record headers are wrong: the group is damaged; the next one follows.
//! - Bodies are checked when they are read. Bodies of the *last* commit are checked at opening too, as a crash of the
//!   machine may have left holes in it. Every earlier commit was durable before the next began; see `durable.rs`.
//!
//! Records stand in the order of recording: blobs before the artifact that needs them, artifacts before the result. So
//! a crash leaves no result without its artifact and no artifact without its blobs. A pack with damage or a bad body
//! gets no more groups, as they would hide which commit was the last; garbage collection rewrites it. Neither does one
//! with a seal, or one that is long enough.
//!
//! A pack that an index file covers (`index_file.rs`) is not read at opening up to there. Its groups are read one by
//! one when a record of theirs is needed.

use std::collections::HashSet;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::StoreError;
use crate::files::disk;
use crate::files::frame::{Reader, crc};
use crate::files::regular::is_of_one_file;
use crate::format::index_file::CoveredPack;
use crate::format::record::{Draft, FIELDS_AT, Header, Kind};
use crate::format::window::{CHUNK, Window};

const MAGIC: [u8; 4] = [0x89, b'O', b'G', b'R'];
/// Length of a group's header.
pub(crate) const GROUP_HEADER_LEN: usize = 32;
/// A bit flip in a group header costs the group, so groups are small.
const GROUP_RECORDS: usize = 256;
const GROUP_BYTES: usize = 1 << 20;

/// A pack of this length gets no further groups.
pub(crate) const PACK_BYTES: u64 = 64 << 20;

/// One pack, as far as it was read.
#[derive(Debug)]
pub(crate) struct Pack {
    pub(crate) id: String,
    pub(crate) path: Arc<Path>,
    /// The record headers of all groups in memory, one after the other.
    headers: Vec<u8>,
    /// The groups in memory: those behind `covered`, and those before it that were needed.
    groups: Vec<Group>,
    /// Offsets of the groups before `covered` that are in memory.
    fetched: HashSet<u32>,
    /// Length that index files cover, 0 if none does.
    pub(crate) covered: u64,
    /// Offset and checksum of the last covered group.
    last: (u64, u32),
    /// True if the file does not have that group: it is not the pack that was covered.
    pub(crate) is_strange: bool,
    is_sealed: bool,
    /// The number of records behind `covered`.
    pub(crate) young: usize,
    counts: Counts,
    /// Offset of the next group.
    pub(crate) end: u64,
    /// Number of the last commit.
    pub(crate) commit: u32,
    /// Known durable length; if it is not 0, the name is durable too.
    pub(crate) durable: u64,
    /// Offset of the last used body beyond the durable length of its time.
    used: AtomicU64,
    /// Ranges without a group, before later groups.
    pub(crate) damage: Vec<Range<u64>>,
    /// Offsets of bodies in the last commit without their checksum.
    pub(crate) bad_bodies: HashSet<u64>,
    /// Why it cannot be read, or no further: it is another user's, no file, or on a bad disk. It is left alone then.
    pub(crate) unreadable: Option<String>,
}

/// Numbers of records by kind; kinds of later versions count at 0.
type Counts = [usize; Kind::Seal as usize + 1];

#[derive(Clone, Debug)]
struct Group {
    /// Its offset in the file.
    at: u64,
    commit: u32,
    /// The checksum of its header.
    crc: u32,
    headers: Range<u32>,
    bodies_at: u64,
}

/// A group in memory: its number there, and its place in the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupPlace {
    pub(crate) number: usize,
    pub(crate) at: u64,
    pub(crate) commit: u32,
    pub(crate) crc: u32,
}

/// Outcome of reading a group that an index file names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fetched {
    /// It has this number in memory now.
    New(usize),
    /// There is no such group, or it is not whole.
    Damaged,
}

/// A record, and its location in a pack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) header: Header<'a>,
    /// Offset of its header among the headers of the pack.
    pub(crate) header_at: u32,
    /// Offset of its body in the file.
    pub(crate) body_at: u64,
}

impl Record<'_> {
    /// The length of header and body.
    pub(crate) fn len(&self) -> u64 {
        self.header.len() as u64 + u64::from(self.header.body_len)
    }
}

impl Pack {
    /// Makes an unread pack.
    pub(crate) fn new(id: &str, path: impl Into<Arc<Path>>) -> Self {
        let (id, path, headers) = (id.to_owned(), path.into(), Vec::new());
        let (groups, fetched, damage, bad_bodies) = Default::default();
        let (counts, used) = Default::default();
        let (covered, last, is_strange, is_sealed, young, end, commit, durable) = Default::default();
        Self {
            id,
            path,
            headers,
            groups,
            fetched,
            covered,
            last,
            is_strange,
            is_sealed,
            young,
            counts,
            end,
            commit,
            durable,
            used,
            damage,
            bad_bodies,
            unreadable: None,
        }
    }

    /// Makes a pack that is read from there on where its coverage ends.
    pub(crate) fn covered(pack: &CoveredPack, path: impl Into<Arc<Path>>) -> Self {
        let mut new = Self::new(&pack.id, path);
        new.cover(pack);
        new
    }

    /// Takes note of coverage, and drops all groups that are covered.
    pub(crate) fn cover(&mut self, pack: &CoveredPack) {
        (self.covered, self.last) = (pack.end, pack.last);
        self.drop_fetched();
        self.is_sealed |= pack.is_sealed;
        self.end = self.end.max(pack.end);
        self.commit = self.commit.max(pack.commit);
        self.durable = self.durable.max(pack.end);
    }

    /// Drops all groups that are covered; those behind stay.
    pub(crate) fn drop_fetched(&mut self) {
        let headers = std::mem::take(&mut self.headers);
        self.groups.retain(|group| group.at >= self.covered);
        for group in &mut self.groups {
            let start = self.headers.len() as u32;
            self.headers.extend(&headers[group.headers.start as usize..group.headers.end as usize]);
            group.headers = start..self.headers.len() as u32;
        }
        self.fetched.clear();
        self.counts = Counts::default();
        let kinds: Vec<_> = self.records(0..self.groups.len()).map(|record| record.header.kind).collect();
        self.young = kinds.len();
        kinds.into_iter().for_each(|kind| self.counts[kind.map_or(0, |kind| kind as usize)] += 1);
    }

    /// Returns whether it gets no more groups, and is covered whole: so there is nothing left to read.
    pub(crate) fn is_done(&self) -> bool {
        self.is_sealed() && self.covered == self.end
    }

    /// Returns whether it gets no more groups.
    pub(crate) fn is_sealed(&self) -> bool {
        self.is_sealed || self.end >= PACK_BYTES
    }

    /// Returns whether its last bytes are whole groups, all of them right.
    pub(crate) fn is_sound(&self) -> bool {
        self.damage.is_empty() && self.bad_bodies.is_empty()
    }

    /// The number of covered groups in memory.
    pub(crate) fn fetched(&self) -> usize {
        self.fetched.len()
    }

    /// Returns whether a group is in memory.
    pub(crate) fn has_group(&self, group_at: u32) -> bool {
        u64::from(group_at) >= self.covered || self.fetched.contains(&group_at)
    }

    /// Reads a covered group that is not in memory.
    pub(crate) fn fetch(&mut self, file: &File, group_at: u32) -> Result<Fetched, StoreError> {
        let at = u64::from(group_at);
        self.fetched.insert(group_at);
        let mut window = Window::new(file, &self.path, self.covered);
        let header = GroupHeader::read(&mut window, &self.id, at)?;
        let Some(group) = header.filter(|header| header.end <= self.covered) else { return Ok(Fetched::Damaged) };
        let is_whole = self.add_group(&mut window, at, &group)?;
        Ok(if is_whole { Fetched::New(self.groups.len() - 1) } else { Fetched::Damaged })
    }

    /// Reads the groups appended since the last call, as far as they can be read; returns their numbers.
    pub(crate) fn read_new(&mut self) -> Result<Range<usize>, StoreError> {
        let known = self.groups.len();
        self.unreadable = match self.read_groups(known) {
            Err(error) if is_of_one_file(&error) => Some(error.to_string()),
            read => read.map(|()| None)?,
        };
        Ok(known..self.groups.len())
    }

    fn read_groups(&mut self, known: usize) -> Result<(), StoreError> {
        let file = match disk::open(&self.path) {
            // Another host may have written its records anew, in other packs, since the packs were listed.
            Err(error) if error.is_gone() => return Ok(()),
            opened => opened?,
        };
        let len = disk::len_now(&file).map_err(StoreError::io("read", &self.path))?;
        let mut window = Window::new(&file, &self.path, len);
        if self.covered > 0 && self.end == self.covered {
            let last = GroupHeader::read(&mut window, &self.id, self.last.0)?;
            self.is_strange = last.is_none_or(|last| (last.end, last.crc) != (self.covered, self.last.1));
        }
        while self.end < len {
            match GroupHeader::read(&mut window, &self.id, self.end)? {
                Some(header) if header.end > len => break,
                Some(header) => self.take_group(&mut window, &header)?,
                None => match self.next_group(&mut window, self.end + 1)? {
                    Some(next) => {
                        self.damage.push(self.end..next);
                        self.end = next;
                    }
                    None => break,
                },
            }
        }
        self.check_last_commit(known, &mut window)
    }

    /// Adds the records of a group to those in memory; returns false if it is damaged.
    fn add_group(&mut self, window: &mut Window<'_>, at: u64, group: &GroupHeader) -> Result<bool, StoreError> {
        let headers = window.bytes(at + GROUP_HEADER_LEN as u64, group.headers_len as usize)?;
        let start = self.headers.len();
        let fits = u32::try_from(start + headers.len()).is_ok();
        let is_whole = fits && crc32fast::hash(headers) == group.headers_crc;
        let Some(counts) = Some(headers).filter(|_| is_whole).and_then(|headers| group.counts(headers)) else {
            return Ok(false);
        };
        self.counts.iter_mut().zip(counts).for_each(|(all, count)| *all += count);
        self.is_sealed |= counts[Kind::Seal as usize] > 0;
        self.headers.extend_from_slice(headers);
        let headers = start as u32..self.headers.len() as u32;
        let bodies_at = at + GROUP_HEADER_LEN as u64 + u64::from(group.headers_len);
        self.groups.push(Group { at, commit: group.commit, crc: group.crc, headers, bodies_at });
        Ok(true)
    }

    fn take_group(&mut self, window: &mut Window<'_>, group: &GroupHeader) -> Result<(), StoreError> {
        if self.add_group(window, self.end, group)? {
            self.young += group.count as usize;
        } else {
            self.damage.push(self.end..group.end);
        }
        if group.commit > self.commit {
            self.commit = group.commit;
            if group.commit > 1 {
                self.durable = self.durable.max(self.end);
            }
        }
        self.end = group.end;
        Ok(())
    }

    /// Notes that a record is used.
    #[inline]
    pub(crate) fn note_use(&self, body_at: u64) {
        // Bodies of the next commit begin after its header, and an empty one of this commit may begin at its end.
        if body_at > self.durable {
            self.used.fetch_max(body_at, Ordering::Relaxed);
        }
    }

    /// Returns whether records beyond the durable length are used.
    pub(crate) fn needs_sync(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.durable
    }

    /// Finds the start of the next group.
    fn next_group(&self, window: &mut Window<'_>, from: u64) -> Result<Option<u64>, StoreError> {
        let mut at = from;
        loop {
            let Some(data) = window.data_from(at)? else { return Ok(None) };
            at = data;
            let bytes = window.bytes(at, CHUNK)?;
            if bytes.len() < GROUP_HEADER_LEN {
                return Ok(None);
            }
            // The last three bytes may begin a magic number that ends in the next chunk.
            let step = bytes.len() - (MAGIC.len() - 1);
            let is_magic = |(_, bytes): &(usize, &[u8])| *bytes == MAGIC;
            let found: Vec<usize> =
                bytes.windows(MAGIC.len()).enumerate().filter(is_magic).map(|(offset, _)| offset).collect();
            for offset in found {
                let offset = at + offset as u64;
                if GroupHeader::read(window, &self.id, offset)?.is_some() {
                    return Ok(Some(offset));
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
            if window.crc(record.body_at, record.header.body_len as usize)? != Some(record.header.body_crc) {
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
            let (mut header_at, mut body_at) = (group.headers.start, group.bodies_at);
            std::iter::from_fn(move || {
                if header_at >= group.headers.end {
                    return None;
                }
                let record = Record { header: self.header(header_at)?, header_at, body_at };
                header_at += record.header.len() as u32;
                body_at += u64::from(record.header.body_len);
                Some(record)
            })
        })
    }

    /// The groups in memory from an offset to another.
    pub(crate) fn groups_between(&self, from: u64, to: u64) -> impl Iterator<Item = GroupPlace> {
        let groups = self.groups.iter().enumerate();
        let wanted = groups.filter(move |(_, group)| (from..to).contains(&group.at));
        wanted.map(|(number, group)| GroupPlace { number, at: group.at, commit: group.commit, crc: group.crc })
    }

    /// The number of records of a kind.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.counts[kind as usize]
    }

    /// The number of all records.
    pub(crate) fn record_count(&self) -> usize {
        self.counts.iter().sum()
    }

    /// The digest or key in the header at an offset among the headers.
    pub(crate) fn digest_at(&self, header_at: u32) -> Option<&[u8; 32]> {
        self.headers.get(header_at as usize + FIELDS_AT..)?.first_chunk()
    }

    /// The header at an offset among the headers.
    pub(crate) fn header(&self, header_at: u32) -> Option<Header<'_>> {
        Header::parse(self.headers.get(header_at as usize..)?)
    }

    /// Reads a body; `None` if it does not have the length and checksum in its header.
    pub(crate) fn body(&self, file: &File, header: &Header<'_>, body_at: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let mut body = vec![0; header.body_len as usize];
        match file.read_exact_at(&mut body, body_at) {
            Ok(()) => Ok((crc32fast::hash(&body) == header.body_crc).then_some(body)),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(StoreError::io("read", &self.path)(error)),
        }
    }

    /// Encodes a commit that follows all groups.
    pub(crate) fn encode(&self, drafts: &[Draft]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(drafts.iter().map(Draft::len).sum::<usize>() + GROUP_HEADER_LEN);
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
        let mut headers = Vec::new();
        drafts.iter().for_each(|draft| draft.encode_header(&mut headers));
        let bodies_len: u64 = drafts.iter().map(|draft| draft.body.len() as u64).sum();
        let start = bytes.len();
        bytes.extend(MAGIC);
        bytes.extend((self.commit + 1).to_le_bytes());
        bytes.extend((drafts.len() as u32).to_le_bytes());
        bytes.extend(u32::try_from(headers.len()).expect("a group is about a mebibyte").to_le_bytes());
        bytes.extend(bodies_len.to_le_bytes());
        bytes.extend(crc32fast::hash(&headers).to_le_bytes());
        bytes.extend(group_crc(&self.id, offset, &bytes[start..]).to_le_bytes());
        bytes.extend(headers);
        drafts.iter().for_each(|draft| bytes.extend(&draft.body));
    }
}

/// The first 32 bytes of a group.
struct GroupHeader {
    commit: u32,
    count: u32,
    headers_len: u32,
    bodies_len: u64,
    headers_crc: u32,
    /// The checksum of all before.
    crc: u32,
    /// Offset of the group's end in the file.
    end: u64,
}

impl GroupHeader {
    fn read(window: &mut Window<'_>, id: &str, at: u64) -> Result<Option<Self>, StoreError> {
        Ok(Self::parse(window.bytes(at, GROUP_HEADER_LEN)?, id, at))
    }

    fn parse(bytes: &[u8], id: &str, at: u64) -> Option<Self> {
        let mut reader = Reader(bytes.strip_prefix(&MAGIC)?);
        let (commit, count, headers_len) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let (bodies_len, headers_crc) = (reader.u64()?, reader.u32()?);
        let crc = reader.u32()?;
        if crc != group_crc(id, at, &bytes[..28]) {
            return None;
        }
        let end = (at + GROUP_HEADER_LEN as u64 + u64::from(headers_len)).checked_add(bodies_len)?;
        Some(Self { commit, count, headers_len, bodies_len, headers_crc, crc, end })
    }

    /// Counts record headers by kind; `None` if count and lengths are not those of the headers.
    fn counts(&self, headers: &[u8]) -> Option<Counts> {
        let (mut at, mut count, mut bodies) = (0, 0, 0);
        let mut counts = Counts::default();
        while at < headers.len() {
            let header = Header::parse(&headers[at..])?;
            at += header.len();
            count += 1;
            bodies += u64::from(header.body_len);
            counts[header.kind.map_or(0, |kind| kind as usize)] += 1;
        }
        let fits = headers.len() == self.headers_len as usize && count == self.count && bodies == self.bodies_len;
        fits.then_some(counts)
    }
}

fn group_crc(id: &str, offset: u64, bytes: &[u8]) -> u32 {
    crc(&[id.as_bytes(), &offset.to_le_bytes(), bytes])
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

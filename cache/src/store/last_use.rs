//! The file `last-use`: when keys were last needed.
//!
//! It is a sequence of batches, one for each run, appended under a lock:
//!
//! | offset | size | batch |
//! |---|---|---|
//! | 0 | 4 | `4C 55 53 45` |
//! | 4 | 4 | count of keys, 0 if the keys are those of an earlier batch with the same digest |
//! | 8 | 8 | milliseconds since 1970 |
//! | 16 | 32 | digest of the keys |
//! | 48 | 4 | CRC-32 of bytes 0 to 47 and of the keys |
//! | 52 | 8 × count | the first eight bytes of each key, sorted |
//! | 52 + 8 × count | 8 | `4C 45 4E 44` and the length of the batch with these bytes; earlier programs wrote none |
//!
//! A run appends and reads only the last eight bytes: they tell that the batch before is whole. The file is read when
//! results are listed or collected, and whenever its length doubles: then it is written anew if that saves much.
//! Nothing is synced, as losing a batch costs little.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use crate::error::StoreError;
use crate::files::disk;
use crate::files::frame::{Reader, crc};
use crate::format::layout::Layout;
use crate::lock::wait::{self, Hold};
use crate::value::artifact::ActionKey;
use crate::value::digest::Digest;

const MAGIC: &[u8] = b"LUSE";
const END: &[u8] = b"LEND";
const HEADER_LEN: usize = 52;
const END_LEN: usize = 8;
/// A longer file is none: the list is shortened before it grows to this.
const BYTES_MAX: u64 = 1 << 30;
/// A longer file is written anew when its length doubles, if that saves much.
const LONG_BYTES: u64 = 8 << 20;

/// Last use of keys, in milliseconds since 1970.
#[derive(Debug, Default)]
pub(crate) struct LastUse(HashMap<u64, u64>);

impl LastUse {
    pub(crate) fn read(layout: &Layout) -> Result<Self, StoreError> {
        let path = layout.last_use();
        match disk::read(&path, BYTES_MAX) {
            Ok(bytes) => Ok(Self::of(&Batches::parse(&bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(StoreError::io("read", path)(error)),
        }
    }

    /// Returns when a key was last needed.
    pub(crate) fn of_key(&self, key: &ActionKey) -> Option<u64> {
        self.0.get(&key.prefix()).copied()
    }

    fn of(batches: &Batches<'_>) -> Self {
        let mut last = HashMap::new();
        for batch in &batches.batches {
            let keys = if batch.keys.is_empty() { batches.keys.get(&batch.digest).copied() } else { Some(batch.keys) };
            for key in keys.unwrap_or_default().as_chunks().0 {
                let time = last.entry(u64::from_le_bytes(*key)).or_insert(0);
                *time = batch.time_ms.max(*time);
            }
        }
        Self(last)
    }
}

/// Records a use of keys.
pub(crate) fn touch(layout: &Layout, keys: &[ActionKey], time_ms: u64) -> Result<(), StoreError> {
    let path = layout.last_use();
    let mut file = lock(layout)?;
    let len = file.metadata().map_err(StoreError::io("read", &path))?.len();
    let end = if is_whole(&file, len) { len } else { Batches::parse(&read(&mut file, layout)?).len as u64 };
    let (digest, keys) = list(keys.iter().map(ActionKey::prefix).collect());
    let batch = encode(&digest, &keys, time_ms);
    disk::write_at(&file, &batch, end, &path)?;
    let after = end + batch.len() as u64;
    if after < len {
        disk::truncate(&file, after, &path)?;
    }
    if after > LONG_BYTES && end.checked_ilog2() != after.checked_ilog2() {
        shorten(&file, &read(&mut file.try_clone().map_err(StoreError::io("read", &path))?, layout)?, layout)?;
    }
    Ok(())
}

/// Returns whether the file is empty or ends with the end of a batch.
fn is_whole(file: &File, len: u64) -> bool {
    let mut end = [0; END_LEN];
    let is_end = |end: [u8; END_LEN]| {
        let batch = Reader(&end[END.len()..]).u32().map_or(0, u64::from);
        end.starts_with(END) && (HEADER_LEN as u64..=len).contains(&batch)
    };
    len == 0 || len > END_LEN as u64 && file.read_exact_at(&mut end, len - END_LEN as u64).is_ok() && is_end(end)
}

fn read(file: &mut File, layout: &Layout) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(BYTES_MAX).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(StoreError::io("read", layout.last_use()))
}

/// Returns the damage of the file's bytes, whether only its end is damaged, and the bytes that can be kept.
pub(crate) fn damage(bytes: &[u8]) -> Option<(String, bool, Vec<u8>)> {
    let batches = Batches::parse(bytes);
    if batches.gaps == 0 && batches.len == bytes.len() {
        return None;
    }
    let whole: Vec<u8> =
        batches.batches.iter().flat_map(|batch| encode(&batch.digest, batch.keys, batch.time_ms)).collect();
    // The ends of batches may be new in it.
    let lost = bytes.len().saturating_sub(whole.len());
    let message = format!("{lost} of {} bytes are damaged; some times of use are lost", bytes.len());
    Some((message, batches.gaps == 0, whole))
}

/// Writes the file anew with one batch for each time, if that saves at least half.
fn shorten(file: &File, bytes: &[u8], layout: &Layout) -> Result<(), StoreError> {
    let LastUse(last) = LastUse::of(&Batches::parse(bytes));
    if last.len() * 8 > bytes.len() / 2 {
        return Ok(());
    }
    let mut by_time: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    last.into_iter().for_each(|(key, time)| by_time.entry(time).or_default().push(key));
    let mut shorter = Vec::new();
    for (time_ms, prefixes) in by_time {
        let (digest, keys) = list(prefixes);
        shorter.extend(encode(&digest, &keys, time_ms));
    }
    // In place: a crash here loses times of use only, and the next waiter for the lock has this file open.
    let path = layout.last_use();
    disk::truncate(file, 0, &path)?;
    disk::write_at(file, &shorter, 0, &path)
}

fn lock(layout: &Layout) -> Result<File, StoreError> {
    let path = layout.last_use();
    let file = disk::open_or_create(&path)?;
    wait::lock(&file, Hold::Alone, "the list of when results were last used", &path)?;
    Ok(file)
}

/// Encodes prefixes of keys, each once and sorted; returns their digest and bytes.
fn list(mut prefixes: Vec<u64>) -> (Digest, Vec<u8>) {
    prefixes.sort_unstable();
    prefixes.dedup();
    let bytes: Vec<u8> = prefixes.into_iter().flat_map(u64::to_le_bytes).collect();
    (Digest::of(&bytes), bytes)
}

fn encode(digest: &Digest, keys: &[u8], time_ms: u64) -> Vec<u8> {
    let count = (keys.len() / 8) as u32;
    let mut bytes = MAGIC.to_vec();
    bytes.extend(count.to_le_bytes());
    bytes.extend(time_ms.to_le_bytes());
    bytes.extend(digest.as_bytes());
    bytes.extend(crc(&[&bytes, keys]).to_le_bytes());
    bytes.extend(keys);
    let len = u32::try_from(bytes.len() + END_LEN).expect("a run has fewer than half a billion nodes");
    bytes.extend(END);
    bytes.extend(len.to_le_bytes());
    bytes
}

struct Batch<'a> {
    time_ms: u64,
    digest: Digest,
    keys: &'a [u8],
}

/// The intact batches of a file.
struct Batches<'a> {
    batches: Vec<Batch<'a>>,
    /// Keys by their digest.
    keys: HashMap<Digest, &'a [u8]>,
    /// Offset of the end of the last batch.
    len: usize,
    /// Number of damaged ranges before later batches.
    gaps: usize,
}

impl<'a> Batches<'a> {
    fn parse(bytes: &'a [u8]) -> Self {
        let mut all = Self { batches: Vec::new(), keys: HashMap::new(), len: 0, gaps: 0 };
        let mut at = 0;
        while at < bytes.len() {
            let Some(batch) = Batch::parse(&bytes[at..]) else {
                // A damaged batch does not hide later ones.
                let Some(next) = Self::next(bytes, at + 1) else { break };
                all.gaps += 1;
                at = next;
                continue;
            };
            at += HEADER_LEN + batch.keys.len();
            if bytes[at..].starts_with(END) && bytes.len() >= at + END_LEN {
                at += END_LEN;
            }
            all.len = at;
            if !batch.keys.is_empty() {
                all.keys.insert(batch.digest, batch.keys);
            }
            all.batches.push(batch);
        }
        all
    }

    fn next(bytes: &[u8], from: usize) -> Option<usize> {
        let mut offsets = (from..bytes.len()).filter(|offset| bytes[*offset..].starts_with(MAGIC));
        offsets.find(|offset| Batch::parse(&bytes[*offset..]).is_some())
    }
}

impl<'a> Batch<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes.strip_prefix(MAGIC)?);
        let count = reader.u32()? as usize;
        let (time_ms, digest, stored) = (reader.u64()?, reader.digest()?, reader.u32()?);
        let keys = reader.take(count.checked_mul(8)?)?;
        (stored == crc(&[&bytes[..HEADER_LEN - 4], keys])).then_some(Self { time_ms, digest, keys })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::format::layout::Access;
    use crate::store::Store;

    fn key(number: u64) -> ActionKey {
        ActionKey(Digest::of(&number.to_le_bytes()))
    }

    fn layout(dir: &std::path::Path) -> Layout {
        Store::open(dir, Access::ReadWrite).unwrap().layout.clone()
    }

    fn len(layout: &Layout) -> u64 {
        fs::metadata(layout.last_use()).unwrap().len()
    }

    #[test]
    fn the_latest_use_of_each_key_counts() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(dir.path());
        let (forth, back): (Vec<_>, Vec<_>) = ((0..100).map(key).collect(), (0..100).rev().map(key).collect());
        touch(&layout, &forth, 1).unwrap();
        touch(&layout, &back, 3).unwrap();
        touch(&layout, &[key(7)], 2).unwrap();
        assert_eq!(len(&layout), (3 * (HEADER_LEN + END_LEN) + 201 * 8) as u64);
        let last = LastUse::read(&layout).unwrap();
        assert!(forth.iter().all(|key| last.of_key(key) == Some(3)));
        assert_eq!(last.of_key(&key(100)), None);
    }

    #[test]
    fn a_batch_that_is_cut_is_overwritten_and_one_that_is_flipped_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(dir.path());
        touch(&layout, &[key(1)], 1).unwrap();
        touch(&layout, &[key(2)], 2).unwrap();
        let whole = fs::read(layout.last_use()).unwrap();
        let batch = HEADER_LEN + 8 + END_LEN;
        for place in 0..batch {
            let mut flipped = whole.clone();
            flipped[batch + place] ^= 1;
            for (bytes, is_cut) in [(&whole[..batch + place], true), (&flipped, false)] {
                fs::write(layout.last_use(), bytes).unwrap();
                let last = LastUse::read(&layout).unwrap();
                let has_keys = place >= HEADER_LEN + 8;
                assert_eq!((last.of_key(&key(1)), last.of_key(&key(2))), (Some(1), has_keys.then_some(2)));
                touch(&layout, &[key(2)], 2).unwrap();
                assert_eq!(LastUse::read(&layout).unwrap().of_key(&key(2)), Some(2));
                let now = fs::read(layout.last_use()).unwrap();
                if is_cut {
                    assert!(now.starts_with(&whole) || has_keys && damage(&now).is_none(), "cut at {place}");
                } else if !has_keys {
                    assert!(damage(&now).is_some(), "flipped at {place}");
                }
            }
        }
    }

    #[test]
    fn a_file_of_an_earlier_program_is_read_and_continued() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(dir.path());
        let (digest, keys) = list(vec![key(1).prefix(), key(2).prefix()]);
        let old = |keys: &[u8], time_ms| {
            let batch = encode(&digest, keys, time_ms);
            batch[..batch.len() - END_LEN].to_vec()
        };
        fs::write(layout.last_use(), [old(&keys, 1), old(&[], 5)].concat()).unwrap();
        touch(&layout, &[key(3)], 7).unwrap();
        touch(&layout, &[key(2)], 8).unwrap();
        let last = LastUse::read(&layout).unwrap();
        assert_eq!([1, 2, 3].map(|number| last.of_key(&key(number))), [Some(5), Some(8), Some(7)]);
        assert_eq!(damage(&fs::read(layout.last_use()).unwrap()), None);
    }

    #[test]
    fn a_batch_that_is_damaged_does_not_hide_those_that_follow() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(dir.path());
        for time in 1..=3 {
            touch(&layout, &[key(time)], time).unwrap();
        }
        let mut bytes = fs::read(layout.last_use()).unwrap();
        bytes[HEADER_LEN + 8 + END_LEN + 20] ^= 1;
        fs::write(layout.last_use(), &bytes).unwrap();
        touch(&layout, &[key(4)], 4).unwrap();
        let last = LastUse::read(&layout).unwrap();
        let times = [1, 2, 3, 4].map(|number| last.of_key(&key(number)));
        assert_eq!(times, [Some(1), None, Some(3), Some(4)]);
        let (_, only_end, whole) = damage(&fs::read(layout.last_use()).unwrap()).unwrap();
        assert!(!only_end && damage(&whole).is_none());
    }

    #[test]
    fn a_shortened_file_keeps_the_last_use_of_every_key() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(dir.path());
        for time in 0..20 {
            let keys: Vec<_> = (time..100).map(key).collect();
            touch(&layout, &keys, time).unwrap();
        }
        let before = len(&layout);
        let file = super::lock(&layout).unwrap();
        shorten(&file, &fs::read(layout.last_use()).unwrap(), &layout).unwrap();
        assert!(len(&layout) < before / 5);
        let last = LastUse::read(&layout).unwrap();
        assert!((0..100).all(|number| last.of_key(&key(number)) == Some(number.min(19))));
    }
}

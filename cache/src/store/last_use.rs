//! When keys were last needed.
//!
//! The file `last-use` is a sequence of batches, one for each run, appended under a lock:
//!
//! | offset | size | batch |
//! |---|---|---|
//! | 0 | 4 | `4C 55 53 45` |
//! | 4 | 4 | count of keys, 0 if the keys are those of an earlier batch with the same digest |
//! | 8 | 8 | milliseconds since 1970 |
//! | 16 | 32 | digest of the keys |
//! | 48 | 4 | CRC-32 of bytes 0 to 47 and of the keys |
//! | 52 | 8 × count | the first eight bytes of each key, sorted |
//!
//! So a run that needs what an earlier run needed adds 52 bytes. Eight bytes of a key are enough: if two keys share them,
//! one of them counts as used more lately than it was. Nothing is synced, as losing a batch costs little.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};

use crate::error::StoreError;
use crate::files::disk;
use crate::format::layout::Layout;
use crate::lock::wait::{self, Hold};
use crate::value::artifact::ActionKey;
use crate::value::digest::{self, Digest};

const MAGIC: [u8; 4] = *b"LUSE";
const HEADER_LEN: usize = 52;
/// A longer file is none: no list of uses grows to this, as it is shortened.
const BYTES_MAX: u64 = 1 << 30;
/// A longer file is written anew, if that makes it much shorter.
const LONG_BYTES: usize = 8 << 20;

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

    /// When the key was last needed.
    pub(crate) fn of_key(&self, key: &ActionKey) -> Option<u64> {
        self.0.get(&prefix(key)).copied()
    }

    fn of(batches: &Batches<'_>) -> Self {
        let mut last = HashMap::new();
        for batch in &batches.batches {
            let keys = if batch.keys.is_empty() { batches.keys.get(&batch.digest).copied() } else { Some(batch.keys) };
            for key in keys.unwrap_or_default().chunks_exact(8) {
                let time = last.entry(u64::from_le_bytes(key.try_into().expect("chunks of eight"))).or_insert(0);
                *time = batch.time_ms.max(*time);
            }
        }
        Self(last)
    }
}

/// Records that the keys were needed.
pub(crate) fn touch(layout: &Layout, keys: &[ActionKey], time_ms: u64) -> Result<(), StoreError> {
    let path = layout.last_use();
    let mut file = lock(layout)?;
    let mut bytes = Vec::new();
    (&mut file).take(BYTES_MAX).read_to_end(&mut bytes).map_err(StoreError::io("read", &path))?;
    let batches = Batches::parse(&bytes);
    let mut prefixes: Vec<u64> = keys.iter().map(prefix).collect();
    prefixes.sort_unstable();
    prefixes.dedup();
    let keys: Vec<u8> = prefixes.iter().flat_map(|prefix| prefix.to_le_bytes()).collect();
    let digest = Digest::of(&keys);
    let known = batches.keys.contains_key(&digest);
    let batch = encode(&digest, if known { &[] } else { &keys }, time_ms);
    disk::write_at(&file, &batch, batches.len as u64, &path)?;
    let len = batches.len + batch.len();
    if len < bytes.len() {
        disk::truncate(&file, len as u64, &path)?;
    }
    if len > LONG_BYTES {
        bytes.truncate(batches.len);
        bytes.extend(&batch);
        shorten(&file, &bytes, layout)?;
    }
    Ok(())
}

/// What is wrong with the bytes of the file, whether only its end is, and what can be kept.
pub(crate) fn damage(bytes: &[u8]) -> Option<(String, bool, Vec<u8>)> {
    let batches = Batches::parse(bytes);
    if batches.gaps == 0 && batches.len == bytes.len() {
        return None;
    }
    let whole: Vec<u8> =
        batches.batches.iter().flat_map(|batch| encode(&batch.digest, batch.keys, batch.time_ms)).collect();
    let lost = bytes.len() - whole.len();
    let message = format!("{lost} of {} bytes are damaged; some times of use are lost", bytes.len());
    Some((message, batches.gaps == 0, whole))
}

/// Writes the file anew with one batch for each time, where that saves at least half.
fn shorten(file: &File, bytes: &[u8], layout: &Layout) -> Result<(), StoreError> {
    let LastUse(last) = LastUse::of(&Batches::parse(bytes));
    if last.len() * 8 > bytes.len() / 2 {
        return Ok(());
    }
    let mut by_time: std::collections::BTreeMap<u64, Vec<u64>> = Default::default();
    last.into_iter().for_each(|(key, time)| by_time.entry(time).or_default().push(key));
    let mut shorter = Vec::new();
    for (time_ms, mut keys) in by_time {
        keys.sort_unstable();
        let keys: Vec<u8> = keys.iter().flat_map(|key| key.to_le_bytes()).collect();
        shorter.extend(encode(&Digest::of(&keys), &keys, time_ms));
    }
    // In place: a crash here loses times of use, and whoever waits for the lock holds this file, not its name.
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

fn encode(digest: &Digest, keys: &[u8], time_ms: u64) -> Vec<u8> {
    let count = u32::try_from(keys.len() / 8).expect("a run has fewer than 4 billion nodes");
    let mut bytes = MAGIC.to_vec();
    bytes.extend(count.to_le_bytes());
    bytes.extend(time_ms.to_le_bytes());
    bytes.extend(digest.as_bytes());
    bytes.extend(checksum(&bytes, keys).to_le_bytes());
    bytes.extend(keys);
    bytes
}

fn checksum(header: &[u8], keys: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(keys);
    hasher.finalize()
}

/// The part of a key that stands for it in notes of use.
pub(crate) fn prefix(key: &ActionKey) -> u64 {
    digest::prefix(key.0.as_bytes())
}

struct Batch<'a> {
    time_ms: u64,
    digest: Digest,
    keys: &'a [u8],
}

/// The batches that are whole.
struct Batches<'a> {
    batches: Vec<Batch<'a>>,
    /// Keys by their digest.
    keys: HashMap<Digest, &'a [u8]>,
    /// Where the last batch ends.
    len: usize,
    /// Parts between batches that are none.
    gaps: usize,
}

impl<'a> Batches<'a> {
    fn parse(bytes: &'a [u8]) -> Self {
        let mut all = Self { batches: Vec::new(), keys: HashMap::new(), len: 0, gaps: 0 };
        let mut at = 0;
        while at < bytes.len() {
            let Some((batch, len)) = Batch::parse(&bytes[at..]) else {
                // One that is damaged does not hide those that follow.
                let Some(next) = Self::next(bytes, at + 1) else { break };
                all.gaps += 1;
                at = next;
                continue;
            };
            if !batch.keys.is_empty() {
                all.keys.insert(batch.digest, batch.keys);
            }
            all.batches.push(batch);
            at += len;
            all.len = at;
        }
        all
    }

    fn next(bytes: &[u8], from: usize) -> Option<usize> {
        let mut places = (from..bytes.len()).filter(|place| bytes[*place..].starts_with(&MAGIC));
        places.find(|place| Batch::parse(&bytes[*place..]).is_some())
    }
}

impl<'a> Batch<'a> {
    fn parse(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let header: &[u8; HEADER_LEN] = bytes.first_chunk()?;
        let count = u32::from_le_bytes(header[4..8].try_into().ok()?) as usize;
        let keys = bytes[HEADER_LEN..].get(..count.checked_mul(8)?)?;
        let stated = u32::from_le_bytes(header[48..].try_into().ok()?);
        if header[..4] != MAGIC || stated != checksum(&header[..48], keys) {
            return None;
        }
        let time_ms = u64::from_le_bytes(header[8..16].try_into().ok()?);
        let digest = Digest::from_bytes(header[16..48].try_into().ok()?);
        Some((Self { time_ms, digest, keys }, HEADER_LEN + keys.len()))
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
    fn a_run_that_needs_what_an_earlier_one_needed_adds_a_header() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(dir.path());
        let (forth, back): (Vec<_>, Vec<_>) = ((0..100).map(key).collect(), (0..100).rev().map(key).collect());
        touch(&layout, &forth, 1).unwrap();
        assert_eq!(len(&layout), (HEADER_LEN + 100 * 8) as u64);
        touch(&layout, &back, 3).unwrap();
        touch(&layout, &[key(7)], 2).unwrap();
        assert_eq!(len(&layout), (3 * HEADER_LEN + 101 * 8) as u64);
        let last = LastUse::read(&layout).unwrap();
        assert!(forth.iter().all(|key| last.of_key(key) == Some(3)));
        assert_eq!(last.of_key(&key(100)), None);
    }

    #[test]
    fn a_batch_that_is_cut_or_flipped_is_dropped_and_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(dir.path());
        touch(&layout, &[key(1)], 1).unwrap();
        touch(&layout, &[key(2)], 2).unwrap();
        let whole = fs::read(layout.last_use()).unwrap();
        let batch = HEADER_LEN + 8;
        for place in 0..batch {
            let mut flipped = whole.clone();
            flipped[batch + place] ^= 1;
            for bytes in [&whole[..batch + place], &flipped] {
                fs::write(layout.last_use(), bytes).unwrap();
                let last = LastUse::read(&layout).unwrap();
                assert_eq!((last.of_key(&key(1)), last.of_key(&key(2))), (Some(1), None));
                touch(&layout, &[key(2)], 2).unwrap();
                assert_eq!(fs::read(layout.last_use()).unwrap(), whole);
            }
        }
    }

    #[test]
    fn a_batch_that_is_damaged_does_not_hide_those_that_follow() {
        let dir = tempfile::tempdir().unwrap();
        let layout = layout(dir.path());
        for time in 1..=3 {
            touch(&layout, &[key(time)], time).unwrap();
        }
        let mut bytes = fs::read(layout.last_use()).unwrap();
        bytes[HEADER_LEN + 8 + 20] ^= 1;
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
        let file = lock(&layout).unwrap();
        shorten(&file, &fs::read(layout.last_use()).unwrap(), &layout).unwrap();
        assert!(len(&layout) < before / 5);
        let last = LastUse::read(&layout).unwrap();
        assert!((0..100).all(|number| last.of_key(&key(number)) == Some(number.min(19))));
    }
}

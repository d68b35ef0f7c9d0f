//! Listings of a store for people: its results, and its size.

use std::fs::{self, File, FileType, Metadata};

use rayon::prelude::*;

use crate::error::StoreError;
use crate::files::disk;
use crate::format::layout::Layout;
use crate::format::names::is_prefix;
use crate::format::record::Kind;
use crate::records::index::Index;
use crate::records::locations::Location;
use crate::store::last_use::LastUse;
use crate::store::open::Store;
use crate::value::artifact::{ActionKey, ActionResult};
use crate::value::digest::Digest;

/// Digits of a key that are looked up; an error lists keys with the same.
const PART: usize = 4;
/// Keys listed in an error.
const CANDIDATES: usize = 5;

/// Counts and sizes of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Recorded results.
    pub results: u64,
    /// Recorded artifacts.
    pub artifacts: u64,
    /// Blobs in packs.
    pub small_blobs: u64,
    /// Packs.
    pub packs: u64,
    /// Length of all packs.
    pub pack_bytes: u64,
    /// Large blobs.
    pub objects: u64,
    /// Length of all large blobs.
    pub object_bytes: u64,
    /// Files in quarantine.
    pub quarantined: u64,
}

impl Store {
    /// Iterates over all recorded results in the order of recording, with the time of last use in milliseconds since
    /// 1970.
    pub fn results(&self) -> impl Iterator<Item = (ActionKey, ActionResult, u64)> + '_ {
        self.read_whole().unwrap_or_else(|error| tracing::warn!("{error}"));
        let last_use = self.last_use();
        let mut locations: Vec<(Digest, Location)> = self.index().all(Kind::Result).collect();
        locations.sort_unstable_by_key(|(_, location)| (location.pack, location.body_at));
        let mut open: Option<(u32, File)> = None;
        let mut read = move |location: &Location| {
            let index = self.index();
            if open.as_ref().is_none_or(|(pack, _)| *pack != location.pack) {
                open = Some((location.pack, disk::open(&index.packs.get(location.pack as usize)?.path).ok()?));
            }
            index.result(location, &open.as_ref()?.1).ok()?
        };
        locations.into_iter().filter_map(move |(key, location)| {
            let (key, result) = (ActionKey(key), read(&location)?);
            let used_ms = last_use.of_key(&key).map_or(result.recorded_ms, |used| used.max(result.recorded_ms));
            Some((key, result, used_ms))
        })
    }

    /// Reads the times of last use; if they cannot be read, times of recording stand in.
    pub(crate) fn last_use(&self) -> LastUse {
        LastUse::read(&self.layout).unwrap_or_else(|error| {
            tracing::warn!("{error}");
            LastUse::default()
        })
    }

    /// Finds the one key with these first hexadecimal digits.
    pub fn find(&self, prefix: &str) -> Result<ActionKey, StoreError> {
        let prefix = prefix.to_ascii_lowercase();
        let mut keys: Vec<String> = self.keys_from(&prefix)?.iter().map(|key| key.0.to_string()).collect();
        keys.sort_unstable();
        let with = |prefix: &str| -> Vec<&String> {
            let from = keys.partition_point(|key| key.as_str() < prefix);
            keys[from..].iter().take_while(|key| key.starts_with(prefix)).take(CANDIDATES).collect()
        };
        let short = |keys: Vec<&String>| keys.into_iter().map(|key| key[..16].to_owned()).collect();
        match with(&prefix).as_slice() {
            [key] => Ok(ActionKey(key.parse().expect("keys are written as digests"))),
            [] => {
                let part = prefix.chars().take(PART).collect::<String>();
                let known = if part.len() < prefix.len() { short(with(&part)) } else { Vec::new() };
                Err(StoreError::UnknownKey { prefix, known })
            }
            several => Err(StoreError::AmbiguousKey { candidates: short(several.to_vec()), prefix }),
        }
    }

    /// Returns keys of results: all with the first digits of a prefix, or [`KEYS_LOADED`] of them, and maybe others.
    fn keys_from(&self, prefix: &str) -> Result<Vec<ActionKey>, StoreError> {
        let digits: String = prefix.chars().take(PART).collect();
        let mut index = self.index_mut();
        if let (Ok(first), true) = (u64::from_str_radix(&digits, 16), digits.len() == PART) {
            let rest = 64 - 4 * PART as u32;
            let groups = index.groups_in(Kind::Result, first << rest, first << rest | u64::MAX >> (64 - rest))?;
            index.fetch(groups)?;
        } else if index.coverage.is_used() {
            *index = Index::read_whole(&self.layout, &index.durable_lengths(), &self.trust)?;
        }
        Ok(index.all(Kind::Result).map(|(key, _)| ActionKey(key)).collect())
    }

    /// Counts records, packs and objects.
    pub fn stats(&self) -> Result<StoreStats, StoreError> {
        self.read_whole()?;
        let objects = objects(&self.layout)?;
        let quarantined = disk::list(&self.layout.quarantine())?.len() as u64;
        let index = self.index();
        let pack_bytes = index.packs.iter().filter_map(|pack| fs::metadata(&pack.path).ok()).map(|file| file.len());
        Ok(StoreStats {
            results: index.count(Kind::Result) as u64,
            artifacts: index.count(Kind::Artifact) as u64,
            small_blobs: index.count(Kind::Blob) as u64,
            packs: index.packs.len() as u64,
            pack_bytes: pack_bytes.sum(),
            objects: objects.len() as u64,
            object_bytes: objects.iter().map(|object| object.size_bytes).sum(),
            quarantined,
        })
    }
}

/// A large blob on disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ObjectFile {
    pub(crate) digest: Digest,
    pub(crate) size_bytes: u64,
}

/// Lists all objects, sorted by digest. Files with other names are not the store's.
pub(crate) fn objects(layout: &Layout) -> Result<Vec<ObjectFile>, StoreError> {
    let (objects, denied) = readable_objects(layout)?;
    denied.into_iter().next().map_or(Ok(objects), Err)
}

/// Lists the objects in all folders that can be listed, and the errors of the others.
pub(crate) fn readable_objects(layout: &Layout) -> Result<(Vec<ObjectFile>, Vec<StoreError>), StoreError> {
    let folders = disk::list_if(&layout.objects(), FileType::is_dir, is_prefix)?;
    let in_folder = |folder: &String| -> Result<Vec<ObjectFile>, StoreError> {
        let names = disk::list(&layout.objects().join(folder))?;
        Ok(names.iter().filter_map(|name| object(layout, folder, name)).collect())
    };
    let (mut objects, mut denied) = (Vec::new(), Vec::new());
    for found in folders.par_iter().map(in_folder).collect::<Vec<_>>() {
        match found {
            Ok(found) => objects.extend(found),
            Err(error) => denied.push(error),
        }
    }
    Ok((objects, denied))
}

fn object(layout: &Layout, folder: &str, name: &str) -> Option<ObjectFile> {
    let digest: Digest = name.parse().ok()?;
    let metadata = fs::symlink_metadata(layout.object(&digest)).ok().filter(Metadata::is_file)?;
    (name.starts_with(folder)).then_some(ObjectFile { digest, size_bytes: metadata.len() })
}

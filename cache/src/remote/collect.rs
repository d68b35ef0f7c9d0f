//! Collection in a remote: old results go first, the bytes that nothing needs any more a day later.
//!
//! 1. All indexes are read. If one cannot be read, nothing is deleted, as it is unknown what it needs.
//! 2. Packs that were uploaded before the limit go as a whole, unless they have a pinned result. A list of what goes is
//!    put into `trash/`; then indexes without them are put, and then the old ones deleted. Now nobody finds the
//!    results; who has an old catalogue still finds their bytes, until the next whole list.
//! 3. Packs and blobs are deleted that no index names, that no young trash lists, and that were put before the grace
//!    period. Bytes whose upload is in progress are younger.
//!
//! Many small indexes become one meanwhile. All times are the server's. Age counts from the upload: the server does not
//! tell who reads. A process that is killed leaves indexes that name one pack twice, or bytes for the next collection.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use crate::error::StoreError;
use crate::files::host::Host;
use crate::remote::bucket::{BucketError, Listed};
use crate::remote::catalogue::{Catalogue, INDEX_FOLDER, must_be_gone, time_of};
use crate::remote::client::{Mode, Remote};
use crate::remote::fetch::{OBJECT_FOLDER, PACK_FOLDER, object_name, pack_name};
use crate::remote::segment::{Entry, Segment};
use crate::remote::upload::GRACE;
use crate::store::Store;
use crate::value::artifact::ActionKey;

/// The folder of lists of what is about to be deleted.
const TRASH_FOLDER: &str = "v1/trash";
/// Entries of an index that is made of others.
const JOINED_ENTRIES: usize = 200_000;
/// Fewer small indexes are left as they are.
const SMALL_MIN: usize = 32;
/// A longer list of trash is not read; what it lists stays for its time.
const TRASH_BYTES_MAX: u64 = 64 << 20;

/// The limits of a collection.
#[derive(Clone, Copy, Debug)]
pub struct RemotePolicy {
    /// Results uploaded before that go.
    pub max_age: Duration,
    /// The time for which bytes stay that nothing names; a day.
    pub grace: Duration,
    /// Only tell what would go.
    pub dry_run: bool,
}

impl RemotePolicy {
    /// Limits by age, with the usual grace period.
    pub fn new(max_age: Duration, dry_run: bool) -> Self {
        Self { max_age, grace: GRACE, dry_run }
    }
}

/// The result of a collection: deleted, or to be deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemoteCollection {
    /// Results that nobody finds any more.
    pub results: u64,
    /// Results that stay.
    pub kept: u64,
    /// Packs and blobs that were deleted.
    pub objects: u64,
    /// Their bytes.
    pub bytes_freed: u64,
    /// Bytes that nothing names, and that a collection deletes once the grace period is over.
    pub bytes_waiting: u64,
    /// Bytes that results need.
    pub bytes_kept: u64,
    /// Indexes that were joined.
    pub joined: u64,
}

impl Remote {
    /// Deletes old results and, after a grace period, their bytes. Results that this store has pinned stay.
    pub fn collect(&self, store: &Store, policy: &RemotePolicy) -> Result<RemoteCollection, CollectError> {
        if self.mode == Mode::Read {
            return Err(CollectError::ReadOnly);
        }
        let pinned: HashSet<_> = store.pins()?.into_iter().flat_map(|pin| pin.keys).collect();
        let now_ms = self.server_ms(store)?;
        let limit_ms = now_ms.saturating_sub(policy.max_age.as_millis() as u64);
        let grace_ms = now_ms.saturating_sub(policy.grace.as_millis() as u64);
        let indexes = self.read_all(&self.list_all(store, now_ms)?, grace_ms, policy.dry_run)?;
        let (mut keep, mut go): (Vec<Entry>, Vec<Entry>) = (Vec::new(), Vec::new());
        let all: Vec<_> = indexes.iter().flat_map(|(_, segment)| segment.entries()).collect();
        let has_pinned = |entry: &&Entry| pinned.contains(&ActionKey(entry.key));
        let pinned_packs: HashSet<_> = all.iter().filter(has_pinned).map(|entry| entry.pack.digest).collect();
        for entry in all {
            let is_old = entry.pack.uploaded_ms < limit_ms && !pinned_packs.contains(&entry.pack.digest);
            if is_old { &mut go } else { &mut keep }.push(entry);
        }
        let live = names(&keep);
        let dead: BTreeSet<_> = names(&go).difference(&live).cloned().collect();
        let (mut done, keys) = (RemoteCollection::default(), |entries: &[Entry]| {
            entries.iter().map(|entry| entry.key).collect::<HashSet<_>>()
        });
        let kept = keys(&keep);
        (done.kept, done.results) = (kept.len() as u64, keys(&go).difference(&kept).count() as u64);
        if !policy.dry_run {
            if !dead.is_empty() {
                self.put_trash(store, now_ms, &dead)?;
            }
            done.joined = self.rewrite(&indexes, |entry| live.contains(&pack_name(&entry.pack.digest)))?;
        }
        self.sweep(indexes.is_empty(), &live, &dead, grace_ms, policy.dry_run, &mut done)?;
        Ok(done)
    }

    /// Lists all indexes. Errors: the list is not to be believed, as what it lacks would lose its bytes.
    fn list_all(&self, store: &Store, now_ms: u64) -> Result<Vec<Listed>, CollectError> {
        let list = || {
            let mut listed = self.call(|bucket| bucket.list(INDEX_FOLDER, ""))?;
            listed.retain(|object| time_of(&object.name).is_some());
            Ok::<_, BucketError>(listed)
        };
        let (first, second) = (list()?, list()?);
        let names = |listed: &[Listed]| listed.iter().map(|object| object.name.clone()).collect::<HashSet<_>>();
        // Uploads go on meanwhile.
        let old = |listed: &[Listed]| {
            let old = listed.iter().filter(|object| object.modified_ms < now_ms);
            old.map(|object| object.name.clone()).collect::<HashSet<_>>()
        };
        let listed = names(&second);
        if old(&first) != old(&second) {
            let problem = format!("two lists of {INDEX_FOLDER} differ; nothing is deleted; try again later");
            return Err(BucketError::Failed(problem).into());
        }
        let known = Catalogue::open(self.dir(store)?).sources();
        for name in known.difference(&listed) {
            self.call(|bucket| must_be_gone(bucket, name))?;
        }
        Ok(second)
    }

    /// Reads all indexes. Damaged ones help nobody; old ones are deleted.
    fn read_all(
        &self,
        listed: &[Listed],
        grace_ms: u64,
        dry_run: bool,
    ) -> Result<Vec<(Listed, Segment)>, CollectError> {
        let mut all = Vec::new();
        for object in listed {
            let bytes = match self.call(|bucket| bucket.get(&object.name, 0..object.size_bytes)) {
                Err(BucketError::Missing(_)) => continue,
                read => read?,
            };
            match Segment::decode(&bytes) {
                Some(segment) => all.push((object.clone(), segment)),
                None if object.modified_ms < grace_ms && !dry_run => {
                    self.call(|bucket| bucket.delete(&object.name))?;
                }
                None => {}
            }
        }
        Ok(all)
    }

    fn put_trash(&self, store: &Store, now_ms: u64, dead: &BTreeSet<String>) -> Result<(), BucketError> {
        let text: String = dead.iter().map(|name| format!("{name}\n")).collect();
        let name = format!("{TRASH_FOLDER}/{now_ms:012x}-{}", Host::of(store.dir()).id);
        self.call(|bucket| bucket.put(&name, text.into_bytes()))
    }

    /// Puts indexes of what is kept in place of those that name something else, and joins small ones.
    fn rewrite(&self, indexes: &[(Listed, Segment)], is_kept: impl Fn(&Entry) -> bool) -> Result<u64, BucketError> {
        let is_small = |segment: &Segment| segment.count < JOINED_ENTRIES as u64 / 4;
        let joins = indexes.iter().filter(|(_, segment)| is_small(segment)).count() >= SMALL_MIN;
        let mut batch: (Vec<Entry>, Vec<&Listed>) = Default::default();
        let mut joined = 0;
        for (object, segment) in indexes {
            let has_dead = segment.entries().any(|entry| !is_kept(&entry));
            let is_joined = joins && is_small(segment);
            if !has_dead && !is_joined {
                continue;
            }
            batch.0.extend(segment.entries().filter(&is_kept));
            batch.1.push(object);
            joined += 1;
            if batch.0.len() >= JOINED_ENTRIES {
                self.replace(std::mem::take(&mut batch))?;
            }
        }
        self.replace(batch)?;
        Ok(joined)
    }

    fn replace(&self, (mut entries, old): (Vec<Entry>, Vec<&Listed>)) -> Result<(), BucketError> {
        for entry in &mut entries {
            entry.pack.source = 0;
        }
        // Two indexes may name one place.
        entries.sort_by_key(|entry| (entry.key, entry.pack, entry.at));
        entries.dedup();
        let newest = old.iter().filter_map(|object| time_of(&object.name)).max();
        let new = match newest {
            Some(ms) if !entries.is_empty() => Some(self.put_index(ms, entries)?),
            _ => None,
        };
        for object in old.into_iter().filter(|object| new.as_ref() != Some(&object.name)) {
            self.call(|bucket| bucket.delete(&object.name))?;
        }
        Ok(())
    }

    /// Deletes what nothing names any more, for as long as the grace period.
    fn sweep(
        &self,
        has_no_index: bool,
        live: &BTreeSet<String>,
        dead: &BTreeSet<String>,
        grace_ms: u64,
        dry_run: bool,
        done: &mut RemoteCollection,
    ) -> Result<(), BucketError> {
        let (mut waiting, mut old_trash, mut noted) = (dead.clone(), Vec::new(), BTreeSet::new());
        for object in self.call(|bucket| bucket.list(TRASH_FOLDER, ""))? {
            let is_old = object.modified_ms < grace_ms;
            if object.size_bytes <= TRASH_BYTES_MAX && (!is_old || has_no_index) {
                let bytes = self.call(|bucket| bucket.get(&object.name, 0..object.size_bytes))?;
                let names = if is_old { &mut noted } else { &mut waiting };
                names.extend(String::from_utf8_lossy(&bytes).lines().map(str::to_owned));
            }
            if is_old {
                old_trash.push(object.name);
            }
        }
        let mut gone = Vec::new();
        for folder in [PACK_FOLDER, OBJECT_FOLDER] {
            for object in self.call(|bucket| bucket.list(folder, ""))? {
                if live.contains(&object.name) {
                    done.bytes_kept += object.size_bytes;
                } else if waiting.contains(&object.name) || object.modified_ms >= grace_ms {
                    done.bytes_waiting += object.size_bytes;
                } else {
                    done.objects += 1;
                    done.bytes_freed += object.size_bytes;
                    gone.push(object.name);
                }
            }
        }
        // Without any index, only what an earlier collection has noted is known to be needed by nobody.
        if has_no_index && gone.iter().any(|name| !noted.contains(name)) {
            let problem = format!(
                "there are packs or blobs and no index that names any in {INDEX_FOLDER}, so nothing is deleted; if \
                 that is right, delete the prefix by hand"
            );
            return Err(BucketError::Failed(problem));
        }
        if !dry_run {
            for name in gone.iter().chain(&old_trash) {
                self.call(|bucket| bucket.delete(name))?;
            }
        }
        Ok(())
    }
}

/// The names of all objects that some places need.
fn names(entries: &[Entry]) -> BTreeSet<String> {
    let packs: BTreeMap<_, _> = entries.iter().map(|entry| (entry.pack.digest, ())).collect();
    let blobs = entries.iter().flat_map(|entry| &entry.blobs).map(|(digest, _)| object_name(digest));
    packs.keys().map(pack_name).chain(blobs).collect()
}

/// The reason why a collection stopped. Its work so far is whole.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The project may only read the remote.
    #[error("the project may only read its remote; write `mode = \"read-write\"` in `[store.remote]` to collect there")]
    ReadOnly,
    /// The remote does not answer as it must; nothing is deleted that may be needed.
    #[error("the remote cannot be collected: {0}")]
    Bucket(#[from] BucketError),
    /// The pins of the store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

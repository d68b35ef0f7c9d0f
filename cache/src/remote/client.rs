//! A remote as a run sees it: connected at first use, asked as long as it answers.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use crate::error::StoreError;
use crate::files::disk;
use crate::format::layout::Access;
use crate::lock::memory::lock;
use crate::remote::bucket::{Bucket, BucketError, Listed};
use crate::remote::catalogue::{Catalogue, time_of};
use crate::remote::counts::RemoteCounts;
use crate::remote::health::Health;
use crate::remote::queue::Queue;
use crate::remote::segment::Segment;
use crate::store::Store;
use crate::value::digest::Digest;

/// Calls at one time.
const THREADS: usize = 16;
/// The interval at which a waiting caller is told that time passes.
const TICK: Duration = Duration::from_millis(100);

/// The rights that a project takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Lookups alone; nothing is ever put or deleted.
    #[default]
    Read,
    /// Lookups, and uploads of what runs here.
    ReadWrite,
}

/// Connects to a bucket; the error is a sentence.
pub type Connect = Box<dyn Fn() -> Result<Box<dyn Bucket>, String> + Send + Sync>;

/// A bucket or folder behind stores of many machines.
pub struct Remote {
    /// Its address, for people.
    pub(crate) shown: String,
    pub(crate) mode: Mode,
    connect: Connect,
    bucket: OnceLock<Option<Box<dyn Bucket>>>,
    pub(crate) health: Health,
    catalogue: Mutex<Option<Catalogue>>,
    /// Blobs and results that were found damaged or missing there: they are put again.
    pub(crate) distrusted: Mutex<HashSet<Digest>>,
    pub(crate) queue: Queue,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("shown", &self.shown).field("mode", &self.mode).finish_non_exhaustive()
    }
}

impl Remote {
    /// Names a remote; connects when it is first needed.
    pub fn new(shown: &str, mode: Mode, connect: Connect) -> Self {
        let (bucket, health, catalogue, distrusted, queue) = Default::default();
        Self { shown: shown.to_owned(), mode, connect, bucket, health, catalogue, distrusted, queue }
    }

    /// Its address, for people.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Returns what this process got and gave; `None` if it was not asked for anything.
    pub fn counts(&self) -> Option<RemoteCounts> {
        self.bucket.get().map(|_| self.health.counts())
    }

    /// Returns whether it is not asked any more, as it does not answer or a stop was asked for.
    pub fn is_off(&self) -> bool {
        self.health.is_off()
    }

    /// Takes the warnings since the last call, a sentence each.
    pub fn take_warnings(&self) -> Vec<String> {
        self.health.take_warnings()
    }

    /// Calls the bucket, unless it is not asked any more; takes note of the outcome.
    pub(crate) fn call<T>(&self, call: impl FnOnce(&dyn Bucket) -> Result<T, BucketError>) -> Result<T, BucketError> {
        let Some(bucket) = self.bucket() else { return Err(BucketError::Stopped) };
        let outcome = call(bucket);
        self.health.note(&self.shown, &outcome);
        outcome
    }

    fn bucket(&self) -> Option<&dyn Bucket> {
        if self.health.is_off() {
            return None;
        }
        let connect =
            || (self.connect)().map_err(|error| self.health.end(&self.shown, &BucketError::Failed(error))).ok();
        self.bucket.get_or_init(connect).as_deref()
    }

    /// The folder of this remote in a store, which is made.
    pub(crate) fn dir(&self, store: &Store) -> Result<PathBuf, StoreError> {
        let dir = store.layout.remotes().join(Digest::of(self.shown.as_bytes()).short());
        if store.access() == Access::ReadWrite {
            disk::create_folder(&store.layout.remotes())?;
            disk::create_folder(&dir)?;
        }
        Ok(dir)
    }

    /// Returns the catalogue, after a look for new indexes if that is due or `whole` asks for it. Errors, which are
    /// said, end the use of the remote.
    pub(crate) fn catalogue(&self, store: &Store, whole: bool) -> Option<MutexGuard<'_, Option<Catalogue>>> {
        let mut guard = lock(&self.catalogue);
        if guard.is_none() {
            match self.dir(store) {
                Ok(dir) => *guard = Some(Catalogue::open(dir)),
                Err(error) => {
                    self.health.end(&self.shown, &BucketError::Failed(error.to_string()));
                    return None;
                }
            }
        }
        let catalogue = guard.as_mut()?;
        if whole || catalogue.is_due() {
            let refreshed = self.call(|bucket| catalogue.refresh(bucket, whole, |listed| self.indexes(listed)));
            if let Err(error) = refreshed {
                self.health.end(&self.shown, &error);
                return None;
            }
        }
        Some(guard)
    }

    /// Takes note that something in the catalogue is gone.
    pub(crate) fn outdate(&self) {
        if let Some(catalogue) = lock(&self.catalogue).as_mut() {
            catalogue.outdate();
        }
    }

    /// Reads indexes; those that are gone or damaged are left out.
    pub(crate) fn indexes(&self, listed: &[Listed]) -> Vec<(String, Segment)> {
        let (found, mut all) = (Mutex::new(Vec::new()), listed.iter().collect::<Vec<_>>());
        all.sort_by_key(|object| time_of(&object.name));
        self.in_parallel(&all, &mut || {}, |object| {
            match self.call(|bucket| bucket.get(&object.name, 0..object.size_bytes)) {
                Ok(bytes) => match Segment::decode(&bytes) {
                    Some(segment) => lock(&found).push((object.name.clone(), segment)),
                    None => self.health.fail(|| {
                        format!("an index of the remote is not used: {} is damaged ({})", object.name, self.shown)
                    }),
                },
                // It was collected just now, or the run was stopped.
                Err(BucketError::Missing(_) | BucketError::Stopped) => {}
                Err(error) => self
                    .health
                    .fail(|| format!("an index of the remote is not used: {} cannot be read: {error}", object.name)),
            }
        });
        found.into_inner().unwrap_or_default()
    }

    /// Works on all items on some threads, and tells the caller meanwhile that time passes.
    pub(crate) fn in_parallel<T: Sync>(&self, items: &[T], tick: &mut dyn FnMut(), work: impl Fn(&T) + Sync) {
        if let [only] = items {
            return work(only);
        }
        let next = std::sync::atomic::AtomicUsize::new(0);
        let (sender, receiver) = channel::<()>();
        std::thread::scope(|scope| {
            for _ in 0..items.len().min(THREADS) {
                let (next, work, sender) = (&next, &work, sender.clone());
                scope.spawn(move || {
                    // Dropped at the end.
                    let _sender = sender;
                    while let Some(item) = items.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                        work(item);
                    }
                });
            }
            drop(sender);
            while receiver.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                tick();
            }
        });
    }
}

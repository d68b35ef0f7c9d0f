//! A bucket in memory with faults: it breaks off, lies, lists late, loses bytes, and has a clock that tests set.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use crate::lock::memory::lock;
use crate::remote::bucket::{Bucket, BucketError, Listed};
use crate::remote::client::{Mode, Remote};

/// The act of a fake in place of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call fails.
    Error(BucketError),
    /// Half of the bytes come, and nothing says so.
    Cut,
    /// A byte is another one.
    Flip,
    /// A list lacks what was put since this time.
    Late(u64),
    /// The call is done, and then fails: its answer is lost.
    Unanswered,
}

type Decide = Box<dyn FnMut(&str, &str) -> Option<Fault> + Send>;

#[derive(Default)]
pub(crate) struct World {
    pub(crate) objects: BTreeMap<String, (Vec<u8>, u64)>,
    uploads: BTreeMap<String, BTreeMap<usize, Vec<u8>>>,
    pub(crate) now_ms: u64,
    /// Calls so far, as `verb name`.
    pub(crate) calls: Vec<String>,
    decide: Option<Decide>,
}

/// A bucket that clones share.
#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<World>>);

impl Fake {
    pub(crate) fn new() -> Self {
        let fake = Self::default();
        fake.world(|world| world.now_ms = 1_000_000_000_000);
        fake
    }

    pub(crate) fn world<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut lock(&self.0))
    }

    /// A remote of another process.
    pub(crate) fn remote(&self, mode: Mode) -> Remote {
        let fake = self.clone();
        Remote::new("s3://fake", mode, Box::new(move || Ok(Box::new(fake.clone()))))
    }

    /// Decides on faults, by verb and name.
    pub(crate) fn faulty(&self, decide: impl FnMut(&str, &str) -> Option<Fault> + Send + 'static) {
        self.world(|world| world.decide = Some(Box::new(decide)));
    }

    pub(crate) fn sound(&self) {
        self.world(|world| world.decide = None);
    }

    /// The names in a folder.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let is_in = |name: &&String| name.starts_with(folder);
        self.world(|world| world.objects.keys().filter(is_in).cloned().collect())
    }

    /// Takes the calls since the last time.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.world(|world| std::mem::take(&mut world.calls))
    }

    pub(crate) fn pass(&self, ms: u64) {
        self.world(|world| world.now_ms += ms);
    }

    fn call<T>(
        &self,
        verb: &str,
        name: &str,
        call: impl FnOnce(&mut World, Option<&Fault>) -> Result<T, BucketError>,
    ) -> Result<T, BucketError> {
        self.world(|world| {
            world.calls.push(format!("{verb} {name}"));
            let mut decide = world.decide.take();
            let fault = decide.as_mut().and_then(|decide| decide(verb, name));
            world.decide = decide;
            match &fault {
                Some(Fault::Error(error)) => Err(error.clone()),
                Some(Fault::Unanswered) => {
                    call(world, None)?;
                    Err(BucketError::Failed("the answer is lost".to_owned()))
                }
                fault => call(world, fault.as_ref()),
            }
        })
    }
}

fn missing() -> BucketError {
    BucketError::Missing("404".to_owned())
}

impl Bucket for Fake {
    fn get(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, BucketError> {
        self.call("get", name, |world, fault| {
            let (bytes, _) = world.objects.get(name).ok_or_else(missing)?;
            let found = bytes.get(range.start as usize..range.end as usize);
            let mut found = found.ok_or(BucketError::Failed("416".to_owned()))?.to_vec();
            match fault {
                Some(Fault::Cut) => found.truncate(found.len() / 2),
                Some(Fault::Flip) => {
                    let middle = found.len() / 2;
                    found[middle] ^= 1;
                }
                _ => {}
            }
            Ok(found)
        })
    }

    fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), BucketError> {
        self.call("put", name, |world, _| {
            world.objects.insert(name.to_owned(), (bytes, world.now_ms));
            Ok(())
        })
    }

    fn begin(&self, name: &str) -> Result<String, BucketError> {
        self.call("begin", name, |world, _| {
            let upload = format!("upload {}", world.uploads.len());
            world.uploads.insert(upload.clone(), BTreeMap::new());
            Ok(upload)
        })
    }

    fn put_part(&self, name: &str, upload: &str, number: usize, bytes: Vec<u8>) -> Result<String, BucketError> {
        self.call("part", name, |world, _| {
            world.uploads.get_mut(upload).ok_or_else(missing)?.insert(number, bytes);
            Ok(format!("part {number}"))
        })
    }

    fn complete(&self, name: &str, upload: &str, parts: &[String]) -> Result<(), BucketError> {
        self.call("complete", name, |world, _| {
            let found = world.uploads.remove(upload).ok_or_else(missing)?;
            assert_eq!(found.len(), parts.len());
            let bytes = found.into_values().flatten().collect();
            world.objects.insert(name.to_owned(), (bytes, world.now_ms));
            Ok(())
        })
    }

    fn list(&self, folder: &str, after: &str) -> Result<Vec<Listed>, BucketError> {
        self.call("list", folder, |world, fault| {
            let below = format!("{folder}/");
            let found = world.objects.iter().filter(|(name, (_, modified_ms))| {
                let is_late = matches!(fault, Some(Fault::Late(since)) if modified_ms >= since);
                name.starts_with(&below) && name.as_str() > after && !is_late
            });
            let listed = |(name, (bytes, modified_ms)): (&String, &(Vec<u8>, u64))| Listed {
                name: name.clone(),
                size_bytes: bytes.len() as u64,
                modified_ms: *modified_ms,
            };
            Ok(found.map(listed).collect())
        })
    }

    fn modified_ms(&self, name: &str) -> Result<u64, BucketError> {
        self.call("head", name, |world, _| {
            world.objects.get(name).map(|(_, modified_ms)| *modified_ms).ok_or_else(missing)
        })
    }

    fn delete(&self, name: &str) -> Result<(), BucketError> {
        self.call("delete", name, |world, _| {
            world.objects.remove(name);
            Ok(())
        })
    }
}

impl World {
    /// Drops all unfinished uploads, as a server does after some days.
    pub(crate) fn drop_uploads(&mut self) {
        self.uploads.clear();
    }
}

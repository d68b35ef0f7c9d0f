//! A bucket of `object_store`, with calls that block.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};
use orchestrate_cache::remote::{Bucket, BucketError, Listed};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};

use crate::cause;

type Result<T> = std::result::Result<T, BucketError>;

/// The least speed of a call that moves bytes, a second.
const SPEED: u64 = 64 << 10;
/// The length of a part, for the time that a server gets to join some.
const PART: u64 = 8 << 20;
/// The interval at which a call looks whether it is to stop.
const TICK: Duration = Duration::from_millis(50);

/// Uploads in parts.
pub(crate) enum Parts {
    /// Those of a server, which any process can go on with.
    OfServer(Arc<dyn MultipartStore>),
    /// Those of a folder, for this process alone.
    OfProcess(Mutex<HashMap<String, Box<dyn MultipartUpload>>>),
}

impl Default for Parts {
    fn default() -> Self {
        Self::OfProcess(Mutex::default())
    }
}

/// A bucket, and the threads that speak with it.
pub(crate) struct ObjectBucket {
    objects: Arc<dyn ObjectStore>,
    parts: Parts,
    prefix: String,
    timeout: Duration,
    stop: Arc<AtomicBool>,
    /// Added to errors.
    note: &'static str,
    runtime: Runtime,
}

impl ObjectBucket {
    pub(crate) fn new(
        objects: Arc<dyn ObjectStore>,
        parts: Parts,
        prefix: &str,
        timeout: Duration,
        stop: Arc<AtomicBool>,
        note: &'static str,
    ) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("remote").enable_all().build()?;
        Ok(Self { objects, parts, prefix: prefix.to_owned(), timeout, stop, note, runtime })
    }

    fn path(&self, name: &str) -> Path {
        let separator = if self.prefix.is_empty() { "" } else { "/" };
        Path::from(format!("{}{separator}{name}", self.prefix))
    }

    /// Waits for a call that moves so many bytes, as long as it is fast enough.
    fn wait<T>(&self, size_bytes: u64, call: impl Future<Output = object_store::Result<T>>) -> Result<T> {
        let limit = self.timeout + Duration::from_secs(size_bytes / SPEED);
        let outcome = caught(|| {
            self.runtime.block_on(async {
                match timeout(limit, select(pin!(call), pin!(self.stopped()))).await {
                    Ok(Either::Left((outcome, _))) => outcome.map_err(|error| self.noted(cause::tell(&error))),
                    Ok(Either::Right(_)) => Err(BucketError::Stopped),
                    Err(_) => Err(BucketError::Failed(format!("no answer within {} s", limit.as_secs()))),
                }
            })
        });
        outcome.unwrap_or_else(|panic| Err(BucketError::Failed(panic)))
    }

    fn noted(&self, error: BucketError) -> BucketError {
        match error {
            BucketError::Denied(text) => BucketError::Denied(text + self.note),
            BucketError::Failed(text) => BucketError::Failed(text + self.note),
            other => other,
        }
    }

    async fn stopped(&self) {
        while !self.stop.load(Ordering::SeqCst) {
            sleep(TICK).await;
        }
    }
}

impl Bucket for ObjectBucket {
    fn get(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>> {
        let length = range.end.saturating_sub(range.start);
        let bytes = self.wait(length, self.objects.get_range(&self.path(name), range))?;
        if bytes.len() as u64 == length {
            Ok(bytes.into())
        } else {
            Err(BucketError::Failed(format!("the server sent {} of {length} bytes of {name}", bytes.len())))
        }
    }

    fn put(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        self.wait(bytes.len() as u64, self.objects.put(&self.path(name), payload(bytes))).map(drop)
    }

    fn begin(&self, name: &str) -> Result<String> {
        let path = self.path(name);
        match &self.parts {
            Parts::OfServer(server) => self.wait(0, server.create_multipart(&path)),
            Parts::OfProcess(uploads) => {
                let upload = self.wait(0, self.objects.put_multipart(&path))?;
                let mut uploads = uploads.lock().unwrap_or_else(PoisonError::into_inner);
                let id = format!("{}-{}", std::process::id(), uploads.len());
                uploads.insert(id.clone(), upload);
                Ok(id)
            }
        }
    }

    fn put_part(&self, name: &str, upload: &str, number: usize, bytes: Vec<u8>) -> Result<String> {
        let size_bytes = bytes.len() as u64;
        match &self.parts {
            Parts::OfServer(server) => {
                let (path, upload) = (self.path(name), upload.to_owned());
                let put = server.put_part(&path, &upload, number, payload(bytes));
                Ok(self.wait(size_bytes, put)?.content_id)
            }
            Parts::OfProcess(uploads) => {
                let mut uploads = uploads.lock().unwrap_or_else(PoisonError::into_inner);
                let put = uploads.get_mut(upload).ok_or_else(unknown)?.put_part(payload(bytes));
                drop(uploads);
                self.wait(size_bytes, put).map(|()| number.to_string())
            }
        }
    }

    fn complete(&self, name: &str, upload: &str, parts: &[String]) -> Result<()> {
        match &self.parts {
            Parts::OfServer(server) => {
                let path = self.path(name);
                // A server may read all parts before it answers.
                let size_bytes = parts.len() as u64 * PART;
                let (upload, parts) = (upload.to_owned(), parts.iter().map(|part| PartId { content_id: part.clone() }));
                self.wait(size_bytes, server.complete_multipart(&path, &upload, parts.collect())).map(drop)
            }
            Parts::OfProcess(uploads) => {
                let found = uploads.lock().unwrap_or_else(PoisonError::into_inner).remove(upload);
                self.wait(0, found.ok_or_else(unknown)?.complete()).map(drop)
            }
        }
    }

    fn list(&self, folder: &str, after: &str) -> Result<Vec<Listed>> {
        let below = self.path(folder);
        let mut pages = match after {
            "" => self.objects.list(Some(&below)),
            after => self.objects.list_with_offset(Some(&below), &self.path(after)),
        };
        let mut found = Vec::new();
        let skipped = self.path("").as_ref().len() + usize::from(!self.prefix.is_empty());
        loop {
            // Each object in time, as a list may have any number of pages.
            let next = self.wait(0, async { pages.next().await.transpose() });
            match next {
                Ok(Some(object)) if object.location.prefix_matches(&below) => found.push(Listed {
                    name: object.location.as_ref().get(skipped..).unwrap_or_default().to_owned(),
                    size_bytes: object.size,
                    modified_ms: u64::try_from(object.last_modified.timestamp_millis()).unwrap_or_default(),
                }),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(found),
                // A folder without files is none.
                Err(BucketError::Missing(_)) if matches!(self.parts, Parts::OfProcess(_)) => return Ok(found),
                Err(error) => return Err(error),
            }
        }
    }

    fn modified_ms(&self, name: &str) -> Result<u64> {
        let found = self.wait(0, self.objects.head(&self.path(name)))?;
        Ok(u64::try_from(found.last_modified.timestamp_millis()).unwrap_or_default())
    }

    fn delete(&self, name: &str) -> Result<()> {
        match self.wait(0, self.objects.delete(&self.path(name))) {
            Err(BucketError::Missing(_)) => Ok(()),
            outcome => outcome,
        }
    }
}

/// Calls the library. It panics on some values, of the environment for example; that is an error like others.
pub(crate) fn caught<T>(call: impl FnOnce() -> T) -> std::result::Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        let text = text.unwrap_or("no reason is given").lines().next().unwrap_or_default();
        format!("the library of the network ended in a panic, maybe for a variable of the environment: {text}")
    })
}

fn payload(bytes: Vec<u8>) -> PutPayload {
    PutPayload::from_bytes(Bytes::from(bytes))
}

fn unknown() -> BucketError {
    BucketError::Missing("the upload is not one of this process".to_owned())
}

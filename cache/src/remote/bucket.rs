//! The trait of a bucket: objects by name, as S3 and its like have them.

use std::ops::Range;

/// Objects by name. Calls block; many threads call at once.
///
/// An implementation has a deadline for each call, and tries again by itself where that helps. Nothing is asked of it
/// beyond this: its lists may be late, and what it returns may be wrong.
pub trait Bucket: Send + Sync {
    /// Reads a range of an object, all of it.
    fn get(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, BucketError>;

    /// Puts an object, in place of another one. Returns once the server has it.
    fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), BucketError>;

    /// Begins an object that is put in parts; returns a name for what follows, which other processes can use too.
    fn begin(&self, name: &str) -> Result<String, BucketError>;

    /// Puts a part, numbered from 0; all but the last have the same length. Returns its name.
    fn put_part(&self, name: &str, upload: &str, number: usize, bytes: Vec<u8>) -> Result<String, BucketError>;

    /// Makes an object of its parts, in their order.
    fn complete(&self, name: &str, upload: &str, parts: &[String]) -> Result<(), BucketError>;

    /// Lists the objects below a folder whose names are greater than `after`, in any order.
    fn list(&self, folder: &str, after: &str) -> Result<Vec<Listed>, BucketError>;

    /// Returns the time of an object by the server's clock, in milliseconds since 1970.
    fn modified_ms(&self, name: &str) -> Result<u64, BucketError>;

    /// Deletes an object; one that is gone already is fine.
    fn delete(&self, name: &str) -> Result<(), BucketError>;
}

/// An object in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name, from the root of the bucket's prefix.
    pub name: String,
    /// Its length.
    pub size_bytes: u64,
    /// When it was put, by the server's clock, in milliseconds since 1970.
    pub modified_ms: u64,
}

/// The reason why a call failed. The texts name no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BucketError {
    /// There is no such object, or no such bucket.
    #[error("it is not there ({0})")]
    Missing(String),
    /// The server refuses this user.
    #[error("the server refuses it ({0})")]
    Denied(String),
    /// Anything else: no connection, no answer in time, an error of the server, a wrong answer.
    #[error("{0}")]
    Failed(String),
    /// This process is asked to stop.
    #[error("the run was stopped")]
    Stopped,
}

//! Fetches public data sets: an article's listing, resumable downloads, checksums, unpacking.
//!
//! Invariant: with `cache/remote` the only crate with network code. It knows files and archives, but neither their
//! contents nor stages and specs.
//!
//! # Contents of the folder
//!
//! ```text
//! 1.mat … 3064.mat, cvind.mat   the data, moved here once all of it was unpacked and checked
//! checksums.json                the files fetched and unpacked, see `checksums`
//! .lock                         an empty file, locked by a running fetch
//! download/                     until the data are complete: archives, NAME.part, and unpacked/
//! ```
//!
//! A fetch may be killed at any point. The next one checks recorded files by their digests and does not fetch them
//! again; a partial download resumes at its end.

mod article;
mod checksums;
mod client;
mod digest;
mod download;
mod error;
mod fetch;
#[cfg(fuzzing)]
pub mod fuzz;
mod lock;
mod progress;
mod retry;
#[cfg(test)]
mod testing;
mod unpack;

pub use article::{FIGSHARE, Listing, RemoteFile};
pub use client::{Client, Timeouts};
pub use error::FetchError;
pub use fetch::{Done, Fetch, fetch};
pub use progress::Progress;
pub use retry::Retries;

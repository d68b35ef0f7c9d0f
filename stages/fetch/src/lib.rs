//! Fetches published data sets: an article's listing, resumable downloads, checksums, unpacking.
//!
//! Invariant: the only crate with network code; it knows files and archives, and never what is in them, no stages and
//! no specs.
//!
//! # What lies in the folder
//!
//! ```text
//! 1.mat … 3064.mat, cvind.mat   the data, put there only after all of it was unpacked and checked
//! checksums.json                what was fetched and unpacked, see `checksums`
//! .lock                         an empty file, locked by a fetch that runs
//! download/                     while something is missing: archives, NAME.part, and unpacked/
//! ```
//!
//! A fetch may be killed at any point: what `checksums.json` records is checked by its digest and not done again, and
//! a download goes on where its part ends.

mod article;
mod checksums;
mod client;
mod digest;
mod download;
mod error;
mod event;
mod fetch;
#[cfg(fuzzing)]
pub mod fuzz;
mod lock;
#[cfg(test)]
mod testing;
mod unpack;

pub use article::{FIGSHARE, Listing, RemoteFile};
pub use client::{Client, Timeouts};
pub use download::Patience;
pub use error::FetchError;
pub use event::Event;
pub use fetch::{Done, Fetch, fetch};

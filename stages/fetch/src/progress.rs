//! Progress of a fetch, for whoever shows it.

use std::path::Path;
use std::time::Duration;

/// One step of a fetch.
#[derive(Debug)]
pub enum Progress<'a> {
    /// Another fetch holds the folder, and this one waits for it.
    Waiting {
        /// The folder.
        dir: &'a Path,
    },
    /// A recorded file is missing or was changed, so its archive is needed again.
    Damaged {
        /// The file.
        name: &'a str,
    },
    /// The files to fetch are known.
    Needed {
        /// Number of files.
        files: usize,
        /// Their sizes, without those that earlier runs fetched.
        bytes: u64,
    },
    /// A download starts, or resumes.
    Started {
        /// The file.
        name: &'a str,
        /// Bytes from earlier attempts.
        done: u64,
        /// Size of the file.
        total: u64,
    },
    /// More bytes arrived.
    Received {
        /// The file.
        name: &'a str,
        /// Bytes so far.
        done: u64,
        /// Size of the file.
        total: u64,
    },
    /// A request failed and is retried after a pause.
    Retry {
        /// The file, or the address of the listing.
        name: &'a str,
        /// The failure.
        problem: &'a str,
        /// The pause.
        delay: Duration,
    },
    /// A file is complete, and its checksums are right.
    Fetched {
        /// The file.
        name: &'a str,
        /// Its size.
        bytes: u64,
    },
    /// A file was extracted from an archive.
    Unpacking {
        /// The archive.
        name: &'a str,
        /// Files extracted so far.
        done: usize,
        /// Entries of the archive.
        total: usize,
    },
    /// An archive was unpacked.
    Unpacked {
        /// The archive.
        name: &'a str,
        /// Number of files extracted.
        files: usize,
    },
    /// All files are present, and their contents are checked.
    Checking {
        /// Number of files.
        files: usize,
    },
}

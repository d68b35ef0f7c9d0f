//! What happens while data are fetched, for whoever shows it.

use std::path::Path;
use std::time::Duration;

/// What just happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// Another fetch holds the folder, and this one waits for it.
    Waiting {
        /// The folder.
        dir: &'a Path,
    },
    /// A recorded file is gone or has other bytes, so its archive is needed again.
    Damaged {
        /// The file.
        name: &'a str,
    },
    /// What must be fetched is known.
    Needed {
        /// Number of files.
        files: usize,
        /// Their sizes, without what came in earlier runs.
        bytes: u64,
    },
    /// A download begins, or goes on where an earlier one ended.
    Started {
        /// The file.
        name: &'a str,
        /// Bytes that are there already.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// More bytes came.
    Received {
        /// The file.
        name: &'a str,
        /// Bytes that are there.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// A request failed, and is tried again after a while.
    Retry {
        /// The file, or the listing's address.
        name: &'a str,
        /// What went wrong.
        problem: &'a str,
        /// The pause before the next try.
        delay: Duration,
    },
    /// A file came whole and has the right checksums.
    Fetched {
        /// The file.
        name: &'a str,
        /// Its size.
        bytes: u64,
    },
    /// An archive is being unpacked.
    Unpacking {
        /// The archive.
        name: &'a str,
        /// Files that are out.
        done: usize,
        /// Entries in all.
        total: usize,
    },
    /// An archive was unpacked.
    Unpacked {
        /// The archive.
        name: &'a str,
        /// How many files of the data set it held.
        files: usize,
    },
    /// All files are there, and their contents are checked.
    Checking {
        /// How many.
        files: usize,
    },
}

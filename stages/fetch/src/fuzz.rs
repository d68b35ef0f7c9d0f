//! Readers of foreign bytes, which must return for any input: for the targets in `tests/fuzz/`.

use std::path::Path;

use crate::article::Listing;
use crate::unpack::{Limits, unpack};

/// Unpacks an archive of a megabyte at most into a folder, and writes nowhere else.
pub fn archive(archive: &Path, to: &Path) {
    let limits = Limits { entries: 1_000, file_bytes: 1 << 20, all_bytes: 1 << 20 };
    let _ = unpack(archive, to, limits, |_| true, &mut |_| ());
}

/// Reads the listing of an article.
pub fn listing(bytes: &[u8]) {
    let _ = Listing::parse(&String::from_utf8_lossy(bytes), "https://example.org");
}

//! The common part of the targets: bytes in files.

use std::fs;
use std::io::Write;
use std::path::Path;

/// Writes the bytes to a file that exists for one call.
pub fn in_file(bytes: &[u8], read: impl FnOnce(&Path)) {
    let mut file = tempfile::NamedTempFile::new().expect("there is a temporary folder");
    file.write_all(bytes).expect("a temporary folder is writable");
    read(file.path());
}

/// Unpacks the bytes; nothing may appear outside the target folder.
pub fn archive(bytes: &[u8]) {
    let dir = tempfile::tempdir().expect("there is a temporary folder");
    let archive = dir.path().join("archive.zip");
    fs::write(&archive, bytes).expect("a temporary folder is writable");
    orchestrate_fetch::fuzz::archive(&archive, &dir.path().join("to"));
    for entry in fs::read_dir(dir.path()).expect("it can be listed") {
        let name = entry.expect("it can be listed").file_name();
        assert!(["archive.zip", "to", "to.new"].iter().any(|known| name == *known), "{name:?} lies outside");
    }
}

//! Digests of files: BLAKE3, which `checksums.json` records, and MD5, which figshare publishes.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use md5::{Digest, Md5};

use crate::error::FetchError;

/// The digests of one file, in hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Digests {
    pub(crate) blake3: String,
    pub(crate) md5: String,
}

/// Reads a file once for both digests.
pub(crate) fn digests(path: &Path) -> Result<Digests, FetchError> {
    let mut file = File::open(path).map_err(FetchError::io("open", path))?;
    let (mut blake3, mut md5) = (blake3::Hasher::new(), Md5::new());
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer).map_err(FetchError::io("read", path))? {
            0 => break,
            length => {
                blake3.update(&buffer[..length]);
                md5.update(&buffer[..length]);
            }
        }
    }
    Ok(Digests { blake3: blake3.finalize().to_hex().to_string(), md5: hex(md5) })
}

/// The BLAKE3 digest alone; `None` if there is no such file.
pub(crate) fn blake3(path: &Path) -> Result<Option<String>, FetchError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.map_err(FetchError::io("open", path))?,
    };
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file).map_err(FetchError::io("read", path))?;
    Ok(Some(hasher.finalize().to_hex().to_string()))
}

/// An MD5 in hexadecimal digits.
pub(crate) fn hex(md5: Md5) -> String {
    format!("{:032x}", u128::from_be_bytes(md5.finalize().into()))
}

//! Digests of files: blake3, which we record, and MD5, which figshare publishes.

use std::fs::File;
use std::io::Read;
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
    let (mut blake3, mut md5) = (blake3::Hasher::new(), Md5::new());
    pieces(path, |piece| {
        blake3.update(piece);
        md5.update(piece);
    })?;
    let md5 = md5.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Digests { blake3: blake3.finalize().to_hex().to_string(), md5 })
}

/// The blake3 digest alone; `None` if there is no such file.
pub(crate) fn blake3(path: &Path) -> Result<Option<String>, FetchError> {
    if !path.try_exists().map_err(FetchError::io("find", path))? {
        return Ok(None);
    }
    let mut hasher = blake3::Hasher::new();
    pieces(path, |piece| {
        hasher.update(piece);
    })?;
    Ok(Some(hasher.finalize().to_hex().to_string()))
}

fn pieces(path: &Path, mut take: impl FnMut(&[u8])) -> Result<(), FetchError> {
    let mut file = File::open(path).map_err(FetchError::io("open", path))?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer).map_err(FetchError::io("read", path))? {
            0 => return Ok(()),
            length => take(&buffer[..length]),
        }
    }
}

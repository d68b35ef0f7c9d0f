//! `checksums.json`: digests of the files fetched and unpacked.
//!
//! The file is written as a whole after every step, so a killed fetch resumes from it. Later fetches of a file must
//! give the same bytes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::article::is_plain;
use crate::digest;
use crate::error::FetchError;

/// The name of the file.
pub(crate) const NAME: &str = "checksums.json";

/// The record of a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Checksums {
    /// The article of the files.
    pub(crate) article: u64,
    /// Whether all files were checked and moved into place.
    pub(crate) complete: bool,
    /// Downloads by name.
    pub(crate) files: BTreeMap<String, Fetched>,
}

/// A complete download.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fetched {
    pub(crate) size_bytes: u64,
    pub(crate) blake3: String,
    pub(crate) md5: String,
    /// BLAKE3 digests of the files of an unpacked archive, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) contents: Option<BTreeMap<String, String>>,
}

impl Checksums {
    /// Reads the record of a folder; an empty one if there is no file.
    pub(crate) fn read(dir: &Path, article: u64) -> Result<Self, FetchError> {
        let path = dir.join(NAME);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self { article, ..Self::default() });
            }
            Err(error) => return Err(FetchError::io("read", &path)(error)),
        };
        let wrong = |problem: String| FetchError::Checksums { path: path.clone(), problem };
        let read: Self = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if read.article != article {
            return Err(wrong(format!("it is of article {}, not of {article}", read.article)));
        }
        let names = read.files.values().flat_map(|file| file.contents.iter().flatten()).map(|(name, _)| name);
        match names.chain(read.files.keys()).find(|name| !is_plain(name)) {
            Some(name) => Err(wrong(format!("`{name}` is no plain file name"))),
            None => Ok(read),
        }
    }

    /// Replaces the file durably.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), FetchError> {
        let (path, new) = (dir.join(NAME), dir.join(".checksums.json.new"));
        let mut text = serde_json::to_string_pretty(self).expect("names and numbers have a JSON form");
        text.push('\n');
        let write = || {
            let mut file = File::create(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(dir)?.sync_all()
        };
        write().map_err(FetchError::io("write", &path))
    }

    /// The data files with their digests: those from archives, and those fetched as they are.
    pub(crate) fn data(&self) -> BTreeMap<&str, &str> {
        self.files.iter().filter_map(|(name, file)| file.data(name)).flatten().collect()
    }
}

impl Fetched {
    /// The data files of a download with their digests; `None` for an archive that is not unpacked yet.
    pub(crate) fn data<'f>(&'f self, name: &'f str) -> Option<BTreeMap<&'f str, &'f str>> {
        match &self.contents {
            Some(contents) => Some(contents.iter().map(|(name, blake3)| (name.as_str(), blake3.as_str())).collect()),
            None if name.ends_with(".zip") => None,
            None => Some(BTreeMap::from([(name, self.blake3.as_str())])),
        }
    }
}

/// The path of a recorded data file with the right bytes, in the first of the folders that has it.
pub(crate) fn locate(name: &str, blake3: &str, dirs: [&Path; 2]) -> Result<Option<PathBuf>, FetchError> {
    for dir in dirs {
        let path = dir.join(name);
        if digest::blake3(&path)?.as_deref() == Some(blake3) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_damage_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let mut checksums = Checksums::read(dir.path(), 7).unwrap();
        assert_eq!((checksums.article, checksums.files.len()), (7, 0));
        let contents = Some(BTreeMap::from([("1.mat".to_owned(), "ab".to_owned())]));
        let file = Fetched { size_bytes: 3, blake3: "cd".to_owned(), md5: "ef".to_owned(), contents };
        checksums.files.insert("a.zip".to_owned(), file.clone());
        checksums.files.insert("cvind.mat".to_owned(), Fetched { contents: None, ..file });
        checksums.write(dir.path()).unwrap();
        let read = Checksums::read(dir.path(), 7).unwrap();
        assert_eq!(read, checksums);
        assert_eq!(read.data(), BTreeMap::from([("1.mat", "ab"), ("cvind.mat", "cd")]));

        let error = Checksums::read(dir.path(), 8).unwrap_err().to_string();
        assert!(error.contains("it is of article 7, not of 8"), "{error}");
        let path = dir.path().join(NAME);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("1.mat", "../1.mat")).unwrap();
        let error = Checksums::read(dir.path(), 7).unwrap_err().to_string();
        assert!(error.contains("`../1.mat` is no plain file name"), "{error}");
        fs::write(&path, &text[..text.len() / 2]).unwrap();
        let error = Checksums::read(dir.path(), 7).unwrap_err().to_string();
        assert!(error.contains("checksums.json cannot be read") && error.contains("to fetch anew"), "{error}");
    }
}

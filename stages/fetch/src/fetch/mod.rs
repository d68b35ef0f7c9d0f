//! The steps from an article to a folder of checked data: list, download, unpack, check, move into place.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::article::{self, Listing, RemoteFile};
use crate::checksums::{self, Checksums, Fetched};
use crate::client::Client;
use crate::digest;
use crate::download::Download;
use crate::error::FetchError;
use crate::lock::Lock;
use crate::progress::Progress;
use crate::retry::Retries;
use crate::unpack::{self, Limits};

/// A data set to fetch, and its folder.
pub struct Fetch<'a> {
    /// Base of the API: [`crate::FIGSHARE`], or a mirror with the same responses.
    pub base: &'a str,
    /// Number of the article.
    pub article: u64,
    /// The folder of the data.
    pub dir: &'a Path,
    /// Whether a file of the article is needed, by its name; one that ends in `.zip` is unpacked.
    pub needs: fn(&str) -> bool,
    /// Whether a file of an archive is data, by its name without folders.
    pub takes: fn(&str) -> bool,
    /// Whether archives stay in `download/` once they are unpacked.
    pub keep_archives: bool,
    /// Sends the requests.
    pub client: Client,
    /// Retries of failed requests.
    pub retries: Retries,
}

/// The outcome of a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// All files were present with the recorded digests, and no request was sent.
    AlreadyThere {
        /// Number of files.
        files: usize,
    },
    /// Files were fetched or unpacked, checked and moved into place.
    Fetched {
        /// Number of data files in the folder.
        files: usize,
    },
}

/// Fetches the missing files of a data set.
///
/// `check` receives the paths of all data files before they are moved into place, and returns the problem of the whole.
///
/// Errors: see [`FetchError`]; complete files are kept for the next fetch.
pub fn fetch(
    what: &Fetch<'_>,
    check: &mut dyn FnMut(&[PathBuf]) -> Result<(), String>,
    listener: &mut dyn FnMut(Progress<'_>),
) -> Result<Done, FetchError> {
    fs::create_dir_all(what.dir).map_err(FetchError::io("create the folder", what.dir))?;
    let _lock = Lock::take(what.dir, listener)?;
    let mut folder = Folder::open(what)?;
    if folder.known.complete && folder.is_whole(listener)? {
        return Ok(Done::AlreadyThere { files: folder.known.data().len() });
    }
    let listing = article::list(&what.client, what.base, what.article, &what.retries, listener)?;
    let needed = needed(what, listing)?;
    folder.bring(&needed, listener)?;
    let files = folder.settle(check, listener)?;
    Ok(Done::Fetched { files })
}

/// The needed files of an article.
fn needed(what: &Fetch<'_>, listing: Listing) -> Result<Vec<RemoteFile>, FetchError> {
    let names: Vec<_> = listing.files.iter().map(|file| file.name.clone()).collect();
    let needed: Vec<_> = listing.files.into_iter().filter(|file| (what.needs)(&file.name)).collect();
    if needed.is_empty() {
        let problem = format!("it has none of the files that are needed, only: {}", names.join(", "));
        return Err(FetchError::Listing { url: article::address(what.base, what.article), problem });
    }
    Ok(needed)
}

/// The folder with its record.
struct Folder<'a> {
    what: &'a Fetch<'a>,
    known: Checksums,
    download: PathBuf,
    unpacked: PathBuf,
}

impl<'a> Folder<'a> {
    fn open(what: &'a Fetch<'a>) -> Result<Self, FetchError> {
        let known = Checksums::read(what.dir, what.article)?;
        if known.files.is_empty() {
            refuse_foreign(what)?;
        }
        let download = what.dir.join("download");
        Ok(Self { what, known, unpacked: download.join("unpacked"), download })
    }

    /// Whether all data files of all recorded downloads are present with the right bytes.
    fn is_whole(&self, listener: &mut dyn FnMut(Progress<'_>)) -> Result<bool, FetchError> {
        // All are checked, so that each damaged file is reported.
        self.known.files.keys().try_fold(true, |whole, name| Ok(self.is_present(name, listener)? && whole))
    }

    /// Whether all data files of a recorded download are present with the right bytes.
    fn is_present(&self, name: &str, listener: &mut dyn FnMut(Progress<'_>)) -> Result<bool, FetchError> {
        let Some(data) = self.known.files.get(name).and_then(|file| file.data(name)) else { return Ok(false) };
        for (name, blake3) in data {
            if checksums::locate(name, blake3, [self.what.dir, &self.unpacked])?.is_none() {
                listener(Progress::Damaged { name });
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Downloads and unpacks the missing files.
    fn bring(&mut self, needed: &[RemoteFile], listener: &mut dyn FnMut(Progress<'_>)) -> Result<(), FetchError> {
        fs::create_dir_all(&self.unpacked).map_err(FetchError::io("create the folder", &self.unpacked))?;
        let mut wanted = Vec::new();
        for file in needed {
            if !self.is_present(&file.name, listener)? {
                wanted.push((file, self.is_downloaded(&file.name)?));
            }
        }
        let remote = || wanted.iter().filter(|(_, downloaded)| !downloaded).map(|(file, _)| file);
        if remote().next().is_some() {
            listener(Progress::Needed { files: remote().count(), bytes: remote().map(|file| file.size_bytes).sum() });
        }
        for (file, downloaded) in wanted {
            if !downloaded {
                self.download(file, listener)?;
            }
            if file.name.ends_with(".zip") {
                self.unpack(&file.name, listener)?;
            } else {
                let target = self.unpacked.join(&file.name);
                fs::rename(self.download.join(&file.name), &target)
                    .map_err(FetchError::io("move a file to", &target))?;
            }
        }
        Ok(())
    }

    /// Whether a complete download is present with its recorded digest.
    fn is_downloaded(&self, name: &str) -> Result<bool, FetchError> {
        let Some(file) = self.known.files.get(name) else { return Ok(false) };
        Ok(digest::blake3(&self.download.join(name))?.as_ref() == Some(&file.blake3))
    }

    fn download(&mut self, file: &RemoteFile, listener: &mut dyn FnMut(Progress<'_>)) -> Result<(), FetchError> {
        let known = self.known.files.get(&file.name);
        let download = Download {
            client: &self.what.client,
            retries: &self.what.retries,
            file,
            folder: &self.download,
            recorded: known.map(|known| known.blake3.as_str()),
        };
        let (_, digests) = download.run(listener)?;
        let contents = known.and_then(|known| known.contents.clone());
        let fetched = Fetched { size_bytes: file.size_bytes, blake3: digests.blake3, md5: digests.md5, contents };
        self.known.files.insert(file.name.clone(), fetched);
        self.known.write(self.what.dir)?;
        listener(Progress::Fetched { name: &file.name, bytes: file.size_bytes });
        Ok(())
    }

    fn unpack(&mut self, name: &str, listener: &mut dyn FnMut(Progress<'_>)) -> Result<(), FetchError> {
        let archive = self.download.join(name);
        let contents = unpack::unpack(&archive, &self.unpacked, Limits::default(), self.what.takes, listener)?;
        let others = self.known.files.iter().filter(|(other, _)| *other != name);
        for (other, file) in others {
            if let Some(twice) = contents.keys().find(|name| file.contents.iter().any(|held| held.contains_key(*name)))
            {
                let problem = format!("`{twice}` is in {other} too");
                return Err(FetchError::Archive { path: archive, problem });
            }
        }
        listener(Progress::Unpacked { name, files: contents.len() });
        let known = self.known.files.get_mut(name).expect("an archive is recorded before it is unpacked");
        known.contents = Some(contents);
        self.known.write(self.what.dir)
    }

    /// Checks the whole and moves it into place; returns the number of data files.
    fn settle(
        &mut self,
        check: &mut dyn FnMut(&[PathBuf]) -> Result<(), String>,
        listener: &mut dyn FnMut(Progress<'_>),
    ) -> Result<usize, FetchError> {
        let names: Vec<String> = self.known.data().into_keys().map(str::to_owned).collect();
        listener(Progress::Checking { files: names.len() });
        let unpacked = |name: &String| self.unpacked.join(name);
        let paths: Vec<PathBuf> = names
            .iter()
            .map(|name| Some(unpacked(name)).filter(|path| path.exists()).unwrap_or_else(|| self.what.dir.join(name)))
            .collect();
        check(&paths).map_err(|problem| FetchError::Unexpected { problem, dir: self.download.clone() })?;
        for name in &names {
            let (from, to) = (unpacked(name), self.what.dir.join(name));
            if from.exists() {
                fs::rename(from, &to).map_err(FetchError::io("move a file to", &to))?;
            }
        }
        self.known.complete = true;
        self.known.write(self.what.dir)?;
        self.clean()?;
        Ok(names.len())
    }

    fn clean(&self) -> Result<(), FetchError> {
        let folder = if self.what.keep_archives { &self.unpacked } else { &self.download };
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(FetchError::io("remove", folder)(error)),
            _ => Ok(()),
        }
    }
}

/// Refuses a folder that has such files without a record: they are somebody's own.
fn refuse_foreign(what: &Fetch<'_>) -> Result<(), FetchError> {
    let entries = fs::read_dir(what.dir).map_err(FetchError::io("read", what.dir))?;
    for entry in entries {
        let name = entry.map_err(FetchError::io("read", what.dir))?.file_name().to_string_lossy().into_owned();
        if (what.takes)(&name) || (what.needs)(&name) {
            return Err(FetchError::Foreign { dir: what.dir.to_owned(), name });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;

//! One download, over any number of requests and runs.
//!
//! `NAME.part` grows to the length that the listing says. `NAME.part.etag` holds the server's version of it: a request
//! for the rest is conditional on that version (`If-Range`), so a file that changed is downloaded anew. Without a
//! version the rest is requested only if an MD5 would reveal a mixture. A server that ignores the range sends the
//! whole file, and the part starts anew.
//!
//! A complete part with the wrong digest is removed. If it came from several responses, the file is downloaded once
//! more.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::article::RemoteFile;
use crate::client::{self, Client, Problem, Range, text_of};
use crate::digest::{Digests, digests};
use crate::error::FetchError;
use crate::progress::Progress;
use crate::retry::Retries;

/// The responses that a complete part is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    OneResponse,
    /// Several, perhaps of another run.
    SeveralResponses,
}

/// A file to download into a folder.
pub(crate) struct Download<'a> {
    pub(crate) client: &'a Client,
    pub(crate) retries: &'a Retries,
    pub(crate) file: &'a RemoteFile,
    pub(crate) folder: &'a Path,
    /// The BLAKE3 digest that an earlier fetch recorded.
    pub(crate) recorded: Option<&'a str>,
}

impl Download<'_> {
    /// Downloads the file to `folder/NAME`, and returns its path and digests.
    pub(crate) fn run(&self, listener: &mut dyn FnMut(Progress<'_>)) -> Result<(PathBuf, Digests), FetchError> {
        let name = self.file.name.as_str();
        let (mut best, mut failures, mut wrong) = (self.length()?, 0, 0);
        loop {
            let problem = match self.attempt(listener)? {
                Ok(origin) => {
                    let digests = digests(&self.part())?;
                    let Some(problem) = self.mismatch(&digests) else {
                        return Ok((self.finish()?, digests));
                    };
                    self.start_over()?;
                    wrong += 1;
                    if origin == Origin::OneResponse || wrong > 1 {
                        let url = self.file.url.clone();
                        return Err(FetchError::WrongBytes { name: name.to_owned(), url, problem });
                    }
                    Problem::passing(format!("the parts make no whole: {problem}"))
                }
                Err(problem) => problem,
            };
            let length = self.length()?;
            if length > best {
                (best, failures) = (length, 0);
            }
            failures += 1;
            self.retries.pause(name, &self.file.url, &problem, failures, listener)?;
        }
    }

    /// One request for the missing bytes. The outer error is of this machine, the inner one of the server.
    fn attempt(&self, listener: &mut dyn FnMut(Progress<'_>)) -> Result<Result<Origin, Problem>, FetchError> {
        let (name, total) = (self.file.name.as_str(), self.file.size_bytes);
        let mut done = self.length()?;
        if done == total && total > 0 {
            return Ok(Ok(Origin::SeveralResponses));
        }
        let etag = fs::read_to_string(self.etag()).ok();
        let is_checked = etag.is_some() || self.file.md5.is_some();
        if done > total || done > 0 && !is_checked {
            self.start_over()?;
            done = 0;
        }
        let range = (done > 0).then_some(Range { start: done, etag: etag.as_deref() });
        let response = match self.client.get(&self.file.url, range) {
            Ok(response) => response,
            Err(problem) => return Ok(Err(problem)),
        };
        let version = text_of(&response, "etag").filter(|etag| etag.starts_with('"')).map(str::to_owned);
        let changed = etag.is_some() && version.is_some() && etag != version;
        match response.status().as_u16() {
            206 if continues(text_of(&response, "content-range"), done, total) && !changed => {}
            206 | 416 => {
                self.start_over()?;
                return Ok(Err(Problem::passing("the server cannot go on from the part that is here")));
            }
            _ => {
                self.start_over()?;
                done = 0;
            }
        }
        let announced = text_of(&response, "content-length").and_then(|text| text.parse::<u64>().ok());
        if let Some(announced) = announced.filter(|announced| *announced != total - done) {
            let message = format!("the server announces {announced} bytes where {} are missing", total - done);
            return Ok(Err(Problem::passing(message)));
        }
        if done == 0
            && let Some(version) = version
        {
            fs::write(self.etag(), version).map_err(FetchError::io("write", &self.etag()))?;
        }
        listener(Progress::Started { name, done, total });
        let origin = if done > 0 { Origin::SeveralResponses } else { Origin::OneResponse };
        let part = self.part();
        let mut file =
            OpenOptions::new().create(true).append(true).open(&part).map_err(FetchError::io("open", &part))?;
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match client::read(&mut body, &mut buffer) {
                Ok(0) => break,
                Ok(length) => {
                    done += length as u64;
                    if done > total {
                        drop(file);
                        self.start_over()?;
                        return Ok(Err(Problem::passing(format!("the server sends more than {total} bytes"))));
                    }
                    file.write_all(&buffer[..length]).map_err(FetchError::io("write", &part))?;
                    listener(Progress::Received { name, done, total });
                }
                Err(problem) => return Ok(Err(problem)),
            }
        }
        file.sync_all().map_err(FetchError::io("sync", &part))?;
        if done < total {
            return Ok(Err(Problem::passing(format!("the connection ended after {done} of {total} bytes"))));
        }
        Ok(Ok(origin))
    }

    fn mismatch(&self, digests: &Digests) -> Option<String> {
        if let Some(expected) = self.file.md5.as_deref().filter(|expected| *expected != digests.md5) {
            return Some(format!("MD5 {}, and the article says {expected}", digests.md5));
        }
        let expected = self.recorded.filter(|expected| *expected != digests.blake3)?;
        Some(format!("blake3 {}, and the first fetch recorded {expected} in checksums.json", digests.blake3))
    }

    fn finish(&self) -> Result<PathBuf, FetchError> {
        let path = self.folder.join(&self.file.name);
        fs::rename(self.part(), &path).map_err(FetchError::io("move a file to", &path))?;
        remove(&self.etag())?;
        Ok(path)
    }

    fn start_over(&self) -> Result<(), FetchError> {
        remove(&self.part())?;
        remove(&self.etag())
    }

    fn length(&self) -> Result<u64, FetchError> {
        match File::open(self.part()).and_then(|file| file.metadata()) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
            Err(error) => Err(FetchError::io("read", &self.part())(error)),
        }
    }

    fn part(&self) -> PathBuf {
        self.folder.join(format!("{}.part", self.file.name))
    }

    fn etag(&self) -> PathBuf {
        self.folder.join(format!("{}.part.etag", self.file.name))
    }
}

/// Whether `Content-Range: bytes 5-9/10` goes on at byte 5 of 10.
fn continues(content_range: Option<&str>, start: u64, total: u64) -> bool {
    let parse = || {
        let (range, length) = content_range?.trim().strip_prefix("bytes ")?.split_once('/')?;
        let first: u64 = range.split_once('-')?.0.trim().parse().ok()?;
        Some((first, length.trim() == "*" || length.trim().parse() == Ok(total)))
    };
    parse() == Some((start, true))
}

fn remove(path: &Path) -> Result<(), FetchError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(FetchError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;

//! One file, whatever the network does: parts are kept and gone on from, wrong bytes are not.
//!
//! `NAME.part` grows until it is as long as the listing says. `NAME.part.etag` holds the server's version of it; a request
//! for the rest is conditional on that version (`If-Range`), so that a changed file starts anew. Without a version the rest is
//! asked for only if an MD5 will show a wrong mixture. A server that ignores the range sends everything, and the part
//! starts anew. Then the digests decide: a part that was put together from several answers and is wrong is fetched once
//! more from its first byte; one that came in one go is not.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::article::RemoteFile;
use crate::client::{self, Client, Problem, Range, text_of};
use crate::digest::{Digests, digests};
use crate::error::FetchError;
use crate::event::Event;

/// Longest pause that a server can ask for.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// How often, and after which pauses, a failing request is tried again.
#[derive(Clone, Debug)]
pub struct Patience {
    /// One pause before each further try that gets no further than the best before it.
    pub delays: Vec<Duration>,
}

impl Default for Patience {
    fn default() -> Self {
        Self { delays: [1, 2, 4, 8, 16, 32].map(Duration::from_secs).to_vec() }
    }
}

impl Patience {
    /// Tries a short request until it succeeds, fails for good, or the pauses are used up.
    pub(crate) fn try_until_done<T>(
        &self,
        url: &str,
        listener: &mut dyn FnMut(Event<'_>),
        mut attempt: impl FnMut() -> Result<T, Problem>,
    ) -> Result<T, FetchError> {
        let mut failures = 0;
        loop {
            match attempt() {
                Ok(value) => return Ok(value),
                Err(problem) => {
                    failures += 1;
                    self.pause(url, url, &problem, failures, listener)?;
                }
            }
        }
    }

    /// Waits before the next try, or gives up.
    fn pause(
        &self,
        name: &str,
        url: &str,
        problem: &Problem,
        failures: usize,
        listener: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), FetchError> {
        match self.delays.get(failures - 1).filter(|_| problem.passing) {
            Some(delay) => {
                let delay = problem.wait.unwrap_or_default().min(WAIT_MAX).max(*delay);
                listener(Event::Retry { name, problem: &problem.message, delay });
                std::thread::sleep(delay);
                Ok(())
            }
            None => Err(FetchError::Unreachable {
                url: url.to_owned(),
                problem: problem.message.clone(),
                attempts: failures,
            }),
        }
    }
}

/// How a part came to its full length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    /// In one answer.
    InOneGo,
    /// From more than one answer, perhaps in another run.
    InParts,
}

/// One file on its way into a folder.
pub(crate) struct Download<'a> {
    pub(crate) client: &'a Client,
    pub(crate) patience: &'a Patience,
    pub(crate) file: &'a RemoteFile,
    pub(crate) folder: &'a Path,
    /// The blake3 digest that an earlier fetch recorded.
    pub(crate) recorded: Option<&'a str>,
}

impl Download<'_> {
    /// Fetches the file to `folder/NAME`, and gives its path and digests.
    pub(crate) fn run(&self, listener: &mut dyn FnMut(Event<'_>)) -> Result<(PathBuf, Digests), FetchError> {
        let name = self.file.name.as_str();
        let (mut best, mut failures, mut wrong) = (self.length()?, 0, 0);
        loop {
            let problem = match self.attempt(listener)? {
                Ok(came) => {
                    let digests = digests(&self.part())?;
                    let Some(problem) = self.mismatch(&digests) else {
                        return Ok((self.finish()?, digests));
                    };
                    self.start_over()?;
                    wrong += 1;
                    if came == Came::InOneGo || wrong > 1 {
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
            self.patience.pause(name, &self.file.url, &problem, failures, listener)?;
        }
    }

    /// One request for what is missing. The outer error is of this machine, the inner one of the server.
    fn attempt(&self, listener: &mut dyn FnMut(Event<'_>)) -> Result<Result<Came, Problem>, FetchError> {
        let (name, total) = (self.file.name.as_str(), self.file.size_bytes);
        let mut done = self.length()?;
        if done > total {
            self.start_over()?;
            done = 0;
        }
        if done == total && total > 0 {
            return Ok(Ok(Came::InParts));
        }
        let etag = fs::read_to_string(self.etag()).ok();
        if done > 0 && etag.is_none() && self.file.md5.is_none() {
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
        listener(Event::Started { name, done, total });
        let came = if done > 0 { Came::InParts } else { Came::InOneGo };
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
                    listener(Event::Received { name, done, total });
                }
                Err(problem) => return Ok(Err(problem)),
            }
        }
        file.sync_all().map_err(FetchError::io("sync", &part))?;
        if done < total {
            return Ok(Err(Problem::passing(format!("the connection ended after {done} of {total} bytes"))));
        }
        Ok(Ok(came))
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

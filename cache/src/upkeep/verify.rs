//! Reads all that is stored and compares it with what its names promise.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::path::PathBuf;

use rayon::prelude::*;

use crate::error::StoreError;
use crate::files::disk;
use crate::format::blob::{BlobError, BlobLocation};
use crate::format::layout::Access;
use crate::format::names;
use crate::format::object::hash_file;
use crate::format::pack::{Pack, Record};
use crate::format::record::{Draft, Forget, Kind};
use crate::records::ends;
use crate::records::index::pack_ids;
use crate::store::Store;
use crate::store::catalog::{self, ObjectFile};
use crate::upkeep::small;
use crate::value::artifact::{ActionKey, Artifact};
use crate::value::digest::Digest;

/// What was found by reading everything.
#[derive(Debug, Default)]
pub struct VerifyReport {
    /// Records read from packs.
    pub records: u64,
    /// Large blobs read.
    pub objects: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Everything that is corrupt or missing; what is corrupt is quarantined and counts as a miss from now on.
    pub problems: Vec<Problem>,
    /// Ends of files that a crash may have left half written; the next process that writes there cuts them.
    pub torn: Vec<Problem>,
    /// Large blobs that no result needs; not wrong, and removed by the next garbage collection.
    pub orphans: Vec<PathBuf>,
    /// Files and folders that the store did not make; they are somebody's, and nothing touches them.
    pub strange: Vec<PathBuf>,
}

/// Something corrupt or missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.message)
    }
}

impl Store {
    /// Reads everything, in parallel; names and quarantines whatever is corrupt, and names what is missing.
    pub fn verify(&self) -> Result<VerifyReport, StoreError> {
        self.refresh()?;
        let mut report = VerifyReport::default();
        let ids = pack_ids(&self.layout)?;
        let packs: Vec<_> = ids.par_iter().map(|id| self.verify_pack(id)).collect::<Result<_, _>>()?;
        let missing = ends::missing(&ends::read(&self.layout).unwrap_or_default(), &self.layout, &self.index());
        report.problems.extend(missing.into_iter().map(|(path, message)| Problem { path, message }));
        let mut damaged = false;
        for pack in packs {
            report.records += pack.records;
            report.bytes_read += pack.bytes_read;
            report.problems.extend(pack.problems);
            report.torn.extend(pack.torn);
            damaged |= pack.damaged;
            for forget in pack.corrupt {
                self.index_mut().forget(forget.clone());
                self.writer.pending().add(Draft::forget(&forget));
            }
        }
        self.commit()?;
        if damaged {
            // Records may have been lost that were in memory still.
            self.reload()?;
        }
        report.strange = names::strange(&self.layout)?;
        let objects = catalog::objects(&self.layout)?;
        report.objects = objects.len() as u64;
        report.bytes_read += objects.iter().map(|object| object.size_bytes).sum::<u64>();
        report.problems.par_extend(objects.par_iter().filter_map(|object| self.verify_object(object)));
        self.forget_objects();
        self.verify_results(&objects, &mut report)?;
        for finding in small::findings(&self.layout)? {
            let list = if finding.torn { &mut report.torn } else { &mut report.problems };
            list.push(finding.problem);
        }
        Ok(report)
    }

    fn verify_pack(&self, id: &str) -> Result<PackReport, StoreError> {
        let mut pack = Pack::new(id, self.layout.pack(id));
        pack.read_new()?;
        let mut report = PackReport { damaged: !pack.damage.is_empty(), ..PackReport::default() };
        let file = disk::open(&pack.path)?;
        for range in &pack.damage {
            let size_bytes = range.end - range.start;
            let place = BlobLocation { path: pack.path.clone(), offset: range.start, size_bytes };
            let kept = self.keep_bytes(&format!("{id}-{}.damage", range.start), &place);
            let message = format!("bytes {} to {} are damaged, {kept}; their records are lost", range.start, range.end);
            report.problems.push(Problem { path: pack.path.to_path_buf(), message });
        }
        let known_end = {
            let index = self.index();
            index.pack_number(id).map_or(0, |number| index.packs[number].end)
        };
        if known_end > pack.end {
            report.damaged = true;
            let message = format!("only {} of {known_end} bytes are left; records are lost", pack.end);
            report.problems.push(Problem { path: pack.path.to_path_buf(), message });
        } else if let Some(bytes) = torn_tail(&pack, &file)? {
            let message = format!("its last {bytes} bytes are torn");
            report.torn.push(Problem { path: pack.path.to_path_buf(), message });
        }
        for record in pack.records(0..pack.group_count()) {
            report.records += 1;
            report.bytes_read += record.len();
            let (Some(kind), Some(digest)) = (record.head.kind, record.head.digest()) else { continue };
            let forget = Forget { kind, digest, body_at: record.body_at, pack: id.to_owned() };
            if kind == Kind::Forget || self.index().is_forgotten(&forget) || is_sound(&pack, &file, &record, kind)? {
                continue;
            }
            let name = match kind {
                Kind::Blob => "blob",
                Kind::Artifact => "artifact",
                Kind::Result => "the result of key",
                Kind::Forget => continue,
            };
            let size_bytes = record.head.body_len.into();
            let place = BlobLocation { path: pack.path.clone(), offset: record.body_at, size_bytes };
            let kept = self.keep_bytes(&digest.to_string(), &place);
            let message = format!("{name} {digest} at byte {} is corrupt, {kept}", record.body_at);
            report.problems.push(Problem { path: pack.path.to_path_buf(), message });
            report.corrupt.push(forget);
        }
        Ok(report)
    }

    /// Copies corrupt bytes to quarantine; says where they are.
    fn keep_bytes(&self, name: &str, place: &BlobLocation) -> String {
        if self.access() == Access::ReadOnly {
            return "left there, as the store is open for reading only".to_owned();
        }
        let kept = self.layout.quarantine().join(name);
        let bytes = place.read().map_err(StoreError::io("read", &place.path));
        match bytes.and_then(|bytes| disk::replace(&kept, &bytes, false)) {
            Ok(()) => format!("kept as {}", kept.display()),
            Err(error) => error.to_string(),
        }
    }

    fn verify_object(&self, object: &ObjectFile) -> Option<Problem> {
        let path = self.layout.object(&object.digest);
        let error = match hash_file(&path) {
            Ok(digest) if digest == object.digest => return None,
            // Somebody collected it since we listed it.
            Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return None,
            Ok(_) => BlobError::Mismatch { path: path.clone(), expected: object.digest },
            Err(StoreError::Io { path, source, .. }) => BlobError::Read { path, source },
            Err(error) => return Some(Problem { path, message: error.to_string() }),
        };
        let location = BlobLocation { path: path.as_path().into(), offset: 0, size_bytes: object.size_bytes };
        let message = self.discard(&object.digest, &location, error).to_string();
        Some(Problem { path, message })
    }

    /// Names results that lack bytes, and objects that no result needs.
    fn verify_results(&self, objects: &[ObjectFile], report: &mut VerifyReport) -> Result<(), StoreError> {
        let mut needed = HashSet::new();
        for (key, result, _) in self.results() {
            for (output, digest) in &result.outputs {
                let artifact = self.index().artifact(digest);
                let message = match &artifact {
                    None => Some(format!("artifact {}", digest.0)),
                    Some(artifact) => self.first_missing(artifact),
                };
                if let Some(missing) = message {
                    let message = self.incomplete(&key, &result.node, output, &missing);
                    report.problems.push(Problem { path: self.layout.dir.clone(), message });
                }
                needed.extend(artifact.unwrap_or_default().files.into_iter().map(|file| file.digest));
            }
        }
        let orphans = objects.iter().filter(|object| !needed.contains(&object.digest));
        let paths = orphans.map(|object| self.layout.object(&object.digest)).filter(|path| path.exists());
        report.orphans = paths.collect();
        Ok(())
    }

    pub(crate) fn first_missing(&self, artifact: &Artifact) -> Option<String> {
        let index = self.index();
        let file = artifact.files.iter().find(|file| !self.has_blob(&index, &file.digest, file.size_bytes))?;
        Some(format!("blob {} (its file {})", file.digest, file.name))
    }

    fn incomplete(&self, key: &ActionKey, node: &str, output: &str, missing: &str) -> String {
        format!("the result of {node} (key {}) lacks {missing} of output {output}; it will run again", key.0.short())
    }
}

#[derive(Default)]
struct PackReport {
    records: u64,
    bytes_read: u64,
    problems: Vec<Problem>,
    torn: Vec<Problem>,
    corrupt: Vec<Forget>,
    damaged: bool,
}

/// How many bytes follow the last group, where nobody is writing them just now.
fn torn_tail(pack: &Pack, file: &File) -> Result<Option<u64>, StoreError> {
    let len = file.metadata().map_err(StoreError::io("read", &pack.path))?.len();
    Ok((len > pack.end && file.try_lock().is_ok()).then(|| len - pack.end))
}

/// Whether a record holds what its head promises.
fn is_sound(pack: &Pack, file: &File, record: &Record<'_>, kind: Kind) -> Result<bool, StoreError> {
    let Some(body) = pack.body(file, &record.head, record.body_at)? else { return Ok(false) };
    let digest = record.head.digest();
    Ok(match kind {
        Kind::Blob => digest == Some(Digest::of(&body)),
        Kind::Artifact => record.head.files().is_some_and(|files| digest == Some(Artifact { files }.digest().0)),
        Kind::Result => record.head.result(&body).is_some(),
        Kind::Forget => true,
    })
}

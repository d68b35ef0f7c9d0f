//! Verification: reads all stored bytes and checks digests and checksums.

use std::collections::HashSet;
use std::fs::File;
use std::path::PathBuf;

use rayon::prelude::*;

use crate::error::StoreError;
use crate::files::disk;
use crate::format::blob::{BlobError, BlobLocation};
use crate::format::object;
use crate::format::pack::{Pack, Record};
use crate::format::record::{Draft, Kind, Tombstone};
use crate::lock::wait::{Hold, try_lock};
use crate::records::pack_lengths;
use crate::store::Store;
use crate::store::catalog::{self, ObjectFile};
use crate::upkeep::problem::Problem;
use crate::upkeep::{side_files, strays};
use crate::value::artifact::Artifact;
use crate::value::digest::Digest;

/// Outcome of a verification.
#[derive(Debug, Default)]
pub struct VerifyReport {
    /// Records read from packs.
    pub records: u64,
    /// Large blobs read.
    pub objects: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Corrupt and missing bytes; corrupt ones are quarantined and count as a miss from now on.
    pub problems: Vec<Problem>,
    /// Ends of files half written before a crash; the next writer cuts them.
    pub torn: Vec<Problem>,
    /// Large blobs without a result; the next garbage collection removes them.
    pub orphans: Vec<PathBuf>,
    /// Foreign files and folders; they are somebody's, and nothing touches them.
    pub strange: Vec<PathBuf>,
    /// Keys with several results, recorded by different hosts; all readers use the same one.
    pub rivals: Vec<Problem>,
}

impl Store {
    /// Reads everything, in parallel; quarantines corrupt bytes, and reports them and all missing ones.
    pub fn verify(&self) -> Result<VerifyReport, StoreError> {
        self.refresh()?;
        self.read_whole()?;
        let mut report = VerifyReport::default();
        let ids = self.layout.pack_ids()?;
        let packs: Vec<_> = ids.par_iter().map(|id| self.verify_pack(id)).collect::<Result<_, _>>()?;
        let lengths = pack_lengths::read(&self.layout).unwrap_or_default();
        let missing = self.index().missing(&lengths, &self.layout);
        report.problems.extend(missing.into_iter().map(|(path, message)| Problem::new(path, message)));
        let mut damaged = false;
        for pack in packs {
            report.records += pack.records;
            report.bytes_read += pack.bytes_read;
            report.problems.extend(pack.problems);
            report.torn.extend(pack.torn);
            damaged |= pack.damaged;
            for tombstone in pack.corrupt {
                self.writer.pending().add(Draft::tombstone(&tombstone));
                self.index_mut().bury(tombstone);
            }
        }
        self.commit()?;
        if damaged {
            // The index may still have lost records.
            self.reload()?;
        }
        report.strange = strays::strays(&self.layout)?;
        let objects = catalog::objects(&self.layout)?;
        report.objects = objects.len() as u64;
        report.bytes_read += objects.iter().map(|object| object.size_bytes).sum::<u64>();
        report.problems.par_extend(objects.par_iter().filter_map(|object| self.verify_object(object)));
        self.forget_objects();
        self.verify_results(&objects, &mut report);
        report.rivals = self.rivals();
        for finding in side_files::findings(&self.layout)? {
            let list = if finding.torn { &mut report.torn } else { &mut report.problems };
            list.push(finding.problem);
        }
        Ok(report)
    }

    fn verify_pack(&self, id: &str) -> Result<PackReport, StoreError> {
        let mut pack = Pack::new(id, self.layout.pack(id));
        pack.read_new()?;
        let mut report = PackReport { damaged: !pack.damage.is_empty(), ..PackReport::default() };
        let problem = |message: String| Problem::new(&*pack.path, message);
        let range = |offset, size_bytes| BlobLocation { path: pack.path.clone(), offset, size_bytes };
        let file = disk::open(&pack.path)?;
        for damage in &pack.damage {
            let (start, end) = (damage.start, damage.end);
            let kept = self.copy_to_quarantine(&format!("{id}-{start}.damage"), &range(start, end - start));
            let message = format!("bytes {start} to {end} are damaged, {kept}; their records are lost");
            report.problems.push(problem(message));
        }
        let known_end = {
            let index = self.index();
            index.pack_number(id).map_or(0, |number| index.packs[number].end)
        };
        if known_end > pack.end {
            report.damaged = true;
            let message = format!("only {} of {known_end} bytes are left; records are lost", pack.end);
            report.problems.push(problem(message));
        } else if let Some(bytes) = torn_tail(&pack, &file)? {
            report.torn.push(problem(format!("its last {bytes} bytes are torn")));
        }
        for record in pack.records(0..pack.group_count()) {
            report.records += 1;
            report.bytes_read += record.len();
            let (Some(kind), Some(digest)) = (record.header.kind, record.header.digest()) else { continue };
            let name = match kind {
                Kind::Blob => "blob",
                Kind::Artifact => "artifact",
                Kind::Result => "the result of key",
                Kind::Tombstone | Kind::Seal => continue,
            };
            let tombstone = Tombstone { kind, digest, body_at: record.body_at, pack: id.to_owned() };
            if self.index().is_buried(&tombstone) || is_sound(&pack, &file, &record, kind)? {
                continue;
            }
            let body = range(record.body_at, record.header.body_len.into());
            let kept = self.copy_to_quarantine(&digest.to_string(), &body);
            report.problems.push(problem(format!("{name} {digest} at byte {} is corrupt, {kept}", record.body_at)));
            report.corrupt.push(tombstone);
        }
        Ok(report)
    }

    fn verify_object(&self, object: &ObjectFile) -> Option<Problem> {
        let path = self.layout.object(&object.digest);
        let hashed = disk::open(&path).and_then(|file| object::hash(&file, &path, None));
        let error = match hashed {
            Ok((digest, _)) if digest == object.digest => return None,
            // It was collected since the objects were listed.
            Err(error) if error.is(std::io::ErrorKind::NotFound) => return None,
            Ok(_) => BlobError::Mismatch { path: path.clone(), expected: object.digest },
            Err(StoreError::Io { path, source, .. }) => BlobError::Read { path, source },
            Err(error) => return Some(Problem::new(path, error.to_string())),
        };
        let location = BlobLocation { path: path.as_path().into(), offset: 0, size_bytes: object.size_bytes };
        let message = self.discard(&object.digest, &location, error).to_string();
        Some(Problem::new(path, message))
    }

    /// Reports incomplete results, and objects without a result.
    fn verify_results(&self, objects: &[ObjectFile], report: &mut VerifyReport) {
        let mut needed = HashSet::new();
        for (key, result, _) in self.results() {
            for (output, digest) in &result.outputs {
                let artifact = self.index().artifact(digest);
                let missing = match &artifact {
                    None => Some(format!("artifact {}", digest.0)),
                    Some(artifact) => self.missing_file(artifact),
                };
                if let Some(missing) = missing {
                    let (node, key) = (&result.node, key.0.short());
                    let message = format!(
                        "the result of {node} (key {key}) lacks {missing} of output {output}; it will run again"
                    );
                    report.problems.push(Problem::new(&*self.layout.dir, message));
                }
                needed.extend(artifact.unwrap_or_default().files.into_iter().map(|file| file.digest));
            }
        }
        let orphans = objects.iter().filter(|object| !needed.contains(&object.digest));
        let paths = orphans.map(|object| self.layout.object(&object.digest)).filter(|path| path.exists());
        report.orphans = paths.collect();
    }

    fn missing_file(&self, artifact: &Artifact) -> Option<String> {
        let index = self.index();
        let file = artifact.files.iter().find(|file| !self.has_blob(&index, &file.digest, file.size_bytes))?;
        Some(format!("blob {} (its file {})", file.digest, file.name))
    }
}

#[derive(Default)]
struct PackReport {
    records: u64,
    bytes_read: u64,
    problems: Vec<Problem>,
    torn: Vec<Problem>,
    corrupt: Vec<Tombstone>,
    damaged: bool,
}

/// Returns how many bytes follow the last group, unless another process is writing them.
fn torn_tail(pack: &Pack, file: &File) -> Result<Option<u64>, StoreError> {
    let len = file.metadata().map_err(StoreError::io("read", &pack.path))?.len();
    let is_torn = len > pack.end && try_lock(file, Hold::Alone, &pack.path).unwrap_or(false);
    Ok(is_torn.then(|| len - pack.end))
}

/// Returns whether a record has its checksum and digest.
fn is_sound(pack: &Pack, file: &File, record: &Record<'_>, kind: Kind) -> Result<bool, StoreError> {
    let Some(body) = pack.body(file, &record.header, record.body_at)? else { return Ok(false) };
    let digest = record.header.digest();
    Ok(match kind {
        Kind::Blob => digest == Some(Digest::of(&body)),
        Kind::Artifact => record.header.files().is_some_and(|files| digest == Some(Artifact { files }.digest().0)),
        Kind::Result => record.header.result(&body).is_some(),
        Kind::Tombstone | Kind::Seal => true,
    })
}

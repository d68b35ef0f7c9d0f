//! Verification: reads all stored bytes and checks digests and checksums.

use std::collections::HashSet;
use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use rayon::prelude::*;

use crate::error::StoreError;
use crate::files::disk;
use crate::files::regular::is_of_one_file;
use crate::format::blob::{BlobError, BlobLocation};
use crate::format::object::{self, OBJECT_MIN_BYTES};
use crate::format::pack::{Pack, Record};
use crate::format::record::{Draft, Kind, Tombstone};
use crate::lock::wait::{Hold, try_lock};
use crate::records::pack_lengths;
use crate::store::Store;
use crate::store::catalog::{self, ObjectFile};
use crate::upkeep::problem::{LOOK_AGAIN, Problem};
use crate::upkeep::{side_files, strays};
use crate::value::artifact::{ActionResult, OutputDigest};
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
    ///
    /// Others may use the store meanwhile: whatever looks damaged is looked at again, as it may have been half written.
    pub fn verify(&self) -> Result<VerifyReport, StoreError> {
        // Before the index is read: a pack has at least this length from then on.
        let lengths = pack_lengths::read(&self.layout).unwrap_or_default();
        let (objects, denied) = catalog::readable_objects(&self.layout)?;
        self.refresh()?;
        self.read_whole()?;
        let mut report = VerifyReport::default();
        report.problems.extend(denied.iter().map(|error| Problem::of(&self.layout.objects(), error)));
        let ids = self.layout.pack_ids()?;
        let packs: Vec<_> = ids.par_iter().map(|id| self.verify_pack(id)).collect::<Result<_, _>>()?;
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
        report.strange = strays::strays(&self.layout, &mut report.problems)?;
        report.objects = objects.len() as u64;
        report.bytes_read += objects.iter().map(|object| object.size_bytes).sum::<u64>();
        report.problems.par_extend(objects.par_iter().filter_map(|object| self.verify_object(object)));
        self.forget_objects();
        self.verify_results(&objects, &mut report)?;
        report.rivals = self.rivals();
        let indexes = self.check_indexes()?;
        report.bytes_read += indexes.bytes_read;
        report.problems.extend(indexes.problems);
        for finding in side_files::confirmed(&self.layout)? {
            let list = if finding.torn { &mut report.torn } else { &mut report.problems };
            list.push(finding.problem);
        }
        Ok(report)
    }

    /// Checks lengths, lists and index files, and reads whole only the packs that none covers. Digests of stored bytes
    /// are not checked.
    pub fn verify_quickly(&self) -> Result<VerifyReport, StoreError> {
        let lengths = pack_lengths::read(&self.layout).unwrap_or_default();
        let (objects, denied) = catalog::readable_objects(&self.layout)?;
        self.refresh()?;
        let mut report = VerifyReport { objects: objects.len() as u64, ..VerifyReport::default() };
        report.problems.extend(denied.iter().map(|error| Problem::of(&self.layout.objects(), error)));
        let short = objects.iter().filter(|object| object.size_bytes < OBJECT_MIN_BYTES);
        report.problems.extend(short.map(|object| {
            let message = format!("only {} bytes are left of a large blob", object.size_bytes);
            Problem::new(self.layout.object(&object.digest), message)
        }));
        let indexes = self.check_indexes()?;
        report.bytes_read = indexes.bytes_read;
        report.problems.extend(indexes.problems);
        let index = self.index();
        report.records = indexes.entries + index.packs.iter().map(|pack| pack.young as u64).sum::<u64>();
        let missing = index.missing(&lengths, &self.layout).into_iter();
        report.problems.extend(missing.map(|(path, message)| Problem::new(path, message)));
        for pack in &index.packs {
            report.problems.extend(quick_problem(pack).map(|message| Problem::new(&*pack.path, message)));
        }
        drop(index);
        report.strange = strays::strays(&self.layout, &mut report.problems)?;
        for finding in side_files::confirmed(&self.layout)? {
            let list = if finding.torn { &mut report.torn } else { &mut report.problems };
            list.push(finding.problem);
        }
        Ok(report)
    }

    fn verify_pack(&self, id: &str) -> Result<PackReport, StoreError> {
        let Some((path, mut found)) = self.look_at_pack(id)? else { return Ok(PackReport::default()) };
        if !found.is_sound() {
            thread::sleep(LOOK_AGAIN);
            match self.look_at_pack(id)? {
                Some((_, again)) => found.retain(&again),
                None => return Ok(PackReport::default()),
            }
        }
        let Findings { records, bytes_read, unreadable, damage, lost, torn, corrupt } = found;
        let mut report = PackReport { records, bytes_read, ..PackReport::default() };
        report.damaged = lost.is_some() || !damage.is_empty();
        let problem = |message: String| Problem::new(&*path, message);
        let range = |offset, size_bytes| BlobLocation { path: path.clone(), offset, size_bytes };
        report.problems.extend(unreadable.map(problem));
        for Range { start, end } in damage {
            let kept = self.copy_to_quarantine(&format!("{id}-{start}.damage"), &range(start, end - start));
            let message = format!("bytes {start} to {end} are damaged, {kept}; their records are lost");
            report.problems.push(problem(message));
        }
        let lost = lost.map(|(left, known)| format!("only {left} of {known} bytes are left; records are lost"));
        report.problems.extend(lost.map(problem));
        report.torn.extend(torn.map(|bytes| problem(format!("its last {bytes} bytes are torn"))));
        for (tombstone, body_len, fault) in corrupt {
            let Tombstone { kind, digest, body_at, .. } = &tombstone;
            let name = match kind {
                Kind::Artifact => "artifact",
                Kind::Result => "the result of key",
                _ => "blob",
            };
            let kept = self.copy_to_quarantine(&digest.to_string(), &range(*body_at, body_len));
            report.problems.push(problem(format!("{name} {digest} at byte {body_at} {fault}, {kept}")));
            report.corrupt.push(tombstone);
        }
        Ok(report)
    }

    /// Reads a pack once; `None` if it is gone, as another process merged it into others.
    fn look_at_pack(&self, id: &str) -> Result<Option<(Arc<Path>, Findings)>, StoreError> {
        // First, as it grows.
        let known_end = {
            let index = self.index();
            index.pack_number(id).map_or(0, |number| index.packs[number].end)
        };
        let mut pack = Pack::new(id, self.layout.pack(id));
        let read = pack.read_new();
        if read.as_ref().is_err_and(|error| error.is(ErrorKind::NotFound)) {
            return Ok(None);
        }
        read?;
        let path = Arc::clone(&pack.path);
        let mut found = Findings { unreadable: pack.unreadable.take(), ..Findings::default() };
        if found.unreadable.is_some() {
            return Ok(Some((path, found)));
        }
        let file = disk::open(&path)?;
        if known_end > pack.end {
            found.lost = Some((pack.end, known_end));
        } else {
            found.torn = torn_tail(&mut pack, &file)?;
        }
        found.damage.clone_from(&pack.damage);
        for record in pack.records(0..pack.group_count()) {
            found.records += 1;
            found.bytes_read += record.len();
            let (Some(kind), Some(digest)) = (record.header.kind, record.header.digest()) else { continue };
            if matches!(kind, Kind::Tombstone | Kind::Seal) {
                continue;
            }
            let tombstone = Tombstone { kind, digest, body_at: record.body_at, pack: id.to_owned() };
            if self.index().is_buried(&tombstone) {
                continue;
            }
            if let Some(fault) = fault(&pack, &file, &record, kind)? {
                found.corrupt.push((tombstone, record.header.body_len.into(), fault));
            }
        }
        Ok(Some((path, found)))
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
    fn verify_results(&self, objects: &[ObjectFile], report: &mut VerifyReport) -> Result<(), StoreError> {
        let mut needed = HashSet::new();
        let mut lacking = Vec::new();
        for (key, result, _) in self.results() {
            for (output, digest) in &result.outputs {
                if self.lacking(digest).is_some() {
                    let made = format!("{} (key {}, by {})", result.node, key.0.short(), result.produced_by());
                    lacking.push((key, made, output.clone(), *digest));
                }
                let artifact = self.index().artifact(digest);
                needed.extend(artifact.unwrap_or_default().files.into_iter().map(|file| file.digest));
            }
        }
        if !lacking.is_empty() {
            // A collection buries results before it removes what they need.
            self.refresh()?;
            self.forget_objects();
        }
        for (key, made, output, digest) in lacking {
            let is_recorded = self.index().location(Kind::Result, &key.0).is_some();
            if let Some(missing) = self.lacking(&digest).filter(|_| is_recorded) {
                let message = format!("the result of {made} lacks {missing} of output {output}; it will run again");
                report.problems.push(Problem::new(&*self.layout.dir, message));
            }
        }
        if self.index().unreadable().next().is_some() {
            // Its results may need them.
            return Ok(());
        }
        let orphans = objects.iter().filter(|object| !needed.contains(&object.digest));
        let paths = orphans.map(|object| self.layout.object(&object.digest)).filter(|path| path.exists());
        report.orphans = paths.collect();
        Ok(())
    }

    /// Names the part of an output that is not there.
    fn lacking(&self, output: &OutputDigest) -> Option<String> {
        let index = self.index();
        let Some(artifact) = index.artifact(output) else { return Some(format!("artifact {}", output.0)) };
        let file = artifact.files.iter().find(|file| !self.has_blob(&index, &file.digest, file.size_bytes))?;
        Some(format!("blob {} (its file {})", file.digest, file.name))
    }
}

/// Returns the damage of a pack as far as it is known or its length tells.
fn quick_problem(pack: &Pack) -> Option<String> {
    if let Some(reason) = &pack.unreadable {
        return Some(reason.clone());
    }
    let damaged: u64 = pack.damage.iter().map(|range| range.end - range.start).sum();
    if damaged > 0 || !pack.bad_bodies.is_empty() {
        return Some(format!("{damaged} bytes and {} records are damaged", pack.bad_bodies.len()));
    }
    // Another process may have merged it into others since.
    let len = pack.path.symlink_metadata().ok()?.len();
    (len < pack.end).then(|| format!("only {len} of {} bytes are left; records are lost", pack.end))
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

/// Looks of one reading at a pack.
#[derive(Default)]
struct Findings {
    records: u64,
    bytes_read: u64,
    unreadable: Option<String>,
    damage: Vec<Range<u64>>,
    /// Its length, and the greater one that it had.
    lost: Option<(u64, u64)>,
    /// Bytes behind the last group.
    torn: Option<u64>,
    /// Tombstones for records that cannot be used, the lengths of their bodies, and their faults.
    corrupt: Vec<(Tombstone, u64, String)>,
}

impl Findings {
    fn is_sound(&self) -> bool {
        let is_whole = self.lost.is_none() && self.torn.is_none() && self.unreadable.is_none();
        is_whole && self.damage.is_empty() && self.corrupt.is_empty()
    }

    /// Keeps what a later reading found too.
    fn retain(&mut self, later: &Self) {
        self.unreadable = self.unreadable.take().filter(|_| later.unreadable.is_some());
        self.damage.retain(|range| later.damage.contains(range));
        self.lost = self.lost.filter(|_| later.lost.is_some());
        self.torn = self.torn.filter(|bytes| later.torn == Some(*bytes));
        self.corrupt.retain(|record| later.corrupt.contains(record));
    }
}

/// Returns how many bytes follow the last group, unless another process is writing them.
fn torn_tail(pack: &mut Pack, file: &File) -> Result<Option<u64>, StoreError> {
    let len = |pack: &Pack| Ok(file.metadata().map_err(StoreError::io("read", &pack.path))?.len());
    if len(pack)? == pack.end || !try_lock(file, Hold::Alone, &pack.path).unwrap_or(false) {
        return Ok(None);
    }
    // Its writer may have ended since it was read.
    pack.read_new()?;
    Ok(len(pack)?.checked_sub(pack.end).filter(|bytes| *bytes > 0))
}

/// Returns why a record cannot be used; `None` if it has its checksum, and the digest or key of what it holds.
fn fault(pack: &Pack, file: &File, record: &Record<'_>, kind: Kind) -> Result<Option<String>, StoreError> {
    let is_corrupt = || Some("is corrupt".to_owned());
    let body = match pack.body(file, &record.header, record.body_at) {
        Err(error) if is_of_one_file(&error) => None,
        body => body?,
    };
    let Some(body) = body else { return Ok(is_corrupt()) };
    let digest = record.header.digest();
    let is_sound = match kind {
        Kind::Blob => digest == Some(Digest::of(&body)),
        Kind::Artifact => record.header.is_sound_artifact(),
        Kind::Tombstone | Kind::Seal => true,
        Kind::Result => {
            let result = record.header.result(&body);
            return Ok(result.map_or_else(is_corrupt, |result| false_key(&result, digest)));
        }
    };
    Ok(if is_sound { None } else { is_corrupt() })
}

/// Returns the fault of a result whose key does not follow from its preimage: the program never writes one.
fn false_key(result: &ActionResult, key: Option<Digest>) -> Option<String> {
    let is_right = result.key().is_ok_and(|made| Some(made.0) == key);
    let (node, producer) = (&result.node, result.produced_by());
    (!is_right).then(|| format!("({node}, by {producer}) has a key that is not the digest of its manifest"))
}

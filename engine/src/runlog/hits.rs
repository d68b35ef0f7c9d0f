//! Lists of hits. A run of a hundred thousand hits refers to them in one line of its log, and runs that hit the same
//! nodes with the same keys share one list.
//!
//! A list is a file below `runs/hits/`. Its name is a digest of its nodes and keys, so a run that finds its list there
//! writes none. It has 40 bytes per node, sorted: the first eight bytes of the digest of the node's name, and its key.
//! The digest of all entries ends the file; a list that does not match it is ignored. Like the logs, lists are for
//! people and estimates, and no result depends on them.
//!
//! A list is removed when no run refers to it and its modification time is an hour old (`collect.rs`). A run that finds
//! an older list touches it, as the line that refers to it may reach the disk only later.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use orchestrate_cache::{ActionKey, Digest, Encoder, disk};

use super::layout::written_ms;
use crate::event::{Hits, now_ms};
use crate::node::NodeId;
use crate::parallel;

/// Name of the folder of the lists, beside those of the runs.
const LISTS: &str = "hits";

/// The largest size of a list that is read; it would have a hundred million nodes.
const BYTES_MAX: u64 = 1 << 32;
/// The age above which a run touches a list that it refers to.
const TOUCHED_EVERY: Duration = Duration::from_secs(600);

/// The age below which a list is never removed; longer than a run takes to write its reference.
const KEPT_FOR: Duration = Duration::from_secs(3600);

const NAME_LEN: usize = 8;
const ENTRY_LEN: usize = NAME_LEN + 32;
const DIGEST_LEN: usize = 32;

/// Writes the list of some hits unless it is there, and returns its name.
pub(super) fn write(runs_dir: &Path, hits: &Hits<'_>) -> io::Result<Digest> {
    let name = identity(hits);
    let path = path(runs_dir, &name);
    let len = hits.nodes.len() * ENTRY_LEN + DIGEST_LEN;
    // A file of another length stands in for a list that was lost.
    let found = fs::symlink_metadata(&path).ok().filter(|file| file.is_file() && file.len() == len as u64);
    // One that is damaged, or another user's, is replaced when it is due to be touched.
    let is_touched = || HitList::read(runs_dir, &name).is_some() && disk::touch(&path).is_ok();
    if found.is_some_and(|file| !is_older(&file, TOUCHED_EVERY) || is_touched()) {
        return Ok(name);
    }
    let plan = hits.plan;
    let named = |nodes: &[(NodeId, ActionKey)]| {
        let mut text = String::new();
        let name = |(id, key): &(NodeId, ActionKey)| {
            text.clear();
            plan.write_name(*id, &mut text);
            (prefix(&text), *key)
        };
        nodes.iter().map(name).collect::<Vec<_>>()
    };
    let mut entries = parallel::map_slices(hits.nodes, named).concat();
    entries.sort_unstable();
    let mut bytes = Vec::with_capacity(len);
    for (name, key) in entries {
        bytes.extend(name);
        bytes.extend(key.0.as_bytes());
    }
    bytes.extend(*Digest::of(&bytes).as_bytes());
    let dir = runs_dir.join(LISTS);
    disk::create_folder(&dir).and_then(|()| disk::replace(&path, &bytes, false)).map_err(io::Error::other)?;
    Ok(name)
}

pub(super) fn path(runs_dir: &Path, name: &Digest) -> PathBuf {
    runs_dir.join(LISTS).join(name.to_string())
}

/// Returns the bytes by which a list knows a node.
pub(super) fn prefix(node: &str) -> [u8; NAME_LEN] {
    *Digest::of(node.as_bytes()).as_bytes().first_chunk().expect("a digest has 32 bytes")
}

/// Returns a digest of the names and keys. Names consist of those of stages and axis values, so each is encoded once.
fn identity(hits: &Hits<'_>) -> Digest {
    let plan = hits.plan;
    let mut encoder = Encoder::default();
    encoder.list(plan.spec.axes.len());
    for axis in &plan.spec.axes {
        encoder.text(axis.name.get_ref());
        encoder.list(axis.values.len());
        axis.values.iter().for_each(|value| encoder.text(&value.label));
    }
    encoder.list(plan.stages.len());
    for stage in &plan.stages {
        encoder.text(&stage.name);
        encoder.list(stage.points.axes().len());
        stage.points.axes().iter().for_each(|axis| encoder.text(plan.spec.axes[*axis].name.get_ref()));
    }
    encoder.list(hits.nodes.len());
    for (id, key) in hits.nodes {
        let node = plan.node(*id);
        encoder.encoded(&node.stage.to_le_bytes());
        encoder.encoded(&node.code.to_le_bytes());
        encoder.encoded(key.0.as_bytes());
    }
    encoder.finish()
}

fn is_older(file: &fs::Metadata, age: Duration) -> bool {
    u128::from(now_ms().saturating_sub(written_ms(file))) > age.as_millis()
}

/// Returns name and size of each list that may be removed if no run refers to it.
pub(super) fn collectable(runs_dir: &Path) -> HashMap<Digest, u64> {
    lists(runs_dir).filter(|(_, file)| is_older(file, KEPT_FOR)).map(|(name, file)| (name, file.len())).collect()
}

/// Returns all lists.
pub(super) fn lists(runs_dir: &Path) -> impl Iterator<Item = (Digest, fs::Metadata)> {
    let entries = fs::read_dir(runs_dir.join(LISTS)).into_iter().flatten().flatten();
    let list = |entry: fs::DirEntry| {
        let name = entry.file_name().to_str()?.parse().ok()?;
        entry.metadata().ok().filter(fs::Metadata::is_file).map(|file| (name, file))
    };
    entries.filter_map(list)
}

/// Returns the bytes of an empty list, to stand in for one that is lost.
pub(super) fn empty() -> Vec<u8> {
    Digest::of(&[]).as_bytes().to_vec()
}

/// The entries of a list.
pub(super) struct HitList(Vec<u8>);

impl HitList {
    /// Reads a list; `None` if it is missing or damaged.
    pub(super) fn read(runs_dir: &Path, name: &Digest) -> Option<Self> {
        let mut bytes = disk::read(&path(runs_dir, name), BYTES_MAX).ok()?;
        let end = bytes.len().checked_sub(DIGEST_LEN)?;
        let whole = bytes[end..] == *Digest::of(&bytes[..end]).as_bytes() && end % ENTRY_LEN == 0;
        bytes.truncate(end);
        whole.then_some(Self(bytes))
    }

    /// Returns the keys of all nodes.
    pub(super) fn keys(&self) -> impl Iterator<Item = ActionKey> {
        let key = |entry: &[u8]| entry[NAME_LEN..].try_into().ok().map(|key| ActionKey(Digest::from_bytes(key)));
        self.0.chunks_exact(ENTRY_LEN).filter_map(key)
    }

    /// Returns the key of the node with this [`prefix`].
    pub(super) fn key_at(&self, wanted: &[u8; NAME_LEN]) -> Option<ActionKey> {
        let (entries, _) = self.0.as_chunks::<ENTRY_LEN>();
        let found = entries.get(entries.partition_point(|entry| entry[..NAME_LEN] < wanted[..]))?;
        let key = found[NAME_LEN..].try_into().ok()?;
        (found[..NAME_LEN] == wanted[..]).then(|| ActionKey(Digest::from_bytes(key)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use orchestrate_cache::FileDigests;

    use super::*;
    use crate::event::Reporter;
    use crate::fake::{STUDY, plan};
    use crate::known::Known;
    use crate::node::NodeId;
    use crate::observe::{Observed, observe};
    use crate::plan::Plan;
    use crate::runlog::{History, RunLog};

    /// A study of 1,209 nodes, each with a key of its own.
    fn study(overrides: &[&str]) -> (Plan, Observed, Vec<(NodeId, ActionKey)>) {
        let plan = plan(STUDY, &[&[r#"axes.threshold="1..=100""#], overrides].concat()).unwrap();
        let store = tempfile::tempdir().unwrap();
        let observed = observe(&plan, &FileDigests::open(store.path())).unwrap();
        let key = |id: NodeId| ActionKey(Digest::of(&id.0.to_le_bytes()));
        let nodes = plan.ids().map(|id| (id, key(id))).collect();
        (plan, observed, nodes)
    }

    fn log(runs_dir: &Path, (plan, observed, nodes): &(Plan, Observed, Vec<(NodeId, ActionKey)>)) {
        let known = Known::new(plan, observed);
        let mut log = RunLog::create(runs_dir);
        log.hits(&Hits { plan, outputs: known.all_outputs(), nodes, at_ms: 3 });
        assert_eq!(log.take_warning(), None);
    }

    fn lists(runs_dir: &Path) -> Vec<PathBuf> {
        fs::read_dir(runs_dir.join(LISTS)).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn history_finds_the_key_of_every_node_in_a_list_of_hits() {
        let runs = tempfile::tempdir().unwrap();
        let study = study(&[]);
        log(runs.path(), &study);
        let history = History::new(runs.path());
        let names: Vec<_> = study.0.ids().map(|id| study.0.name(id).to_string()).collect();
        let wanted: HashSet<_> = names.iter().map(String::as_str).collect();
        let latest = history.latest_of(&wanted, &history.runs(), 1);
        for ((_, key), name) in study.2.iter().zip(&names) {
            assert_eq!(latest[name].done.first().map(|done| done.key), Some(*key), "{name}");
        }
        assert_eq!(history.latest("table").map(|latest| latest.key), study.2.last().map(|(_, key)| *key));
        assert_eq!(history.latest("score[model=a,fold=1,threshold=101]"), None);
    }

    #[test]
    fn same_hits_share_a_list_and_other_names_or_keys_make_another() {
        let runs = tempfile::tempdir().unwrap();
        let mut first = study(&[]);
        log(runs.path(), &first);
        log(runs.path(), &first);
        assert_eq!(lists(runs.path()).len(), 1);
        log(runs.path(), &study(&[r#"axes.model=["a", "c"]"#]));
        assert_eq!(lists(runs.path()).len(), 2);
        first.2[7].1 = ActionKey(Digest::of(b"other"));
        log(runs.path(), &first);
        assert_eq!(lists(runs.path()).len(), 3);
    }

    #[test]
    fn damaged_list_is_ignored() {
        let runs = tempfile::tempdir().unwrap();
        log(runs.path(), &study(&[]));
        let path = &lists(runs.path())[0];
        let whole = fs::read(path).unwrap();
        let mut flipped = whole.clone();
        flipped[ENTRY_LEN] ^= 1;
        for bytes in [&whole[..whole.len() - ENTRY_LEN], &flipped, b""] {
            fs::write(path, bytes).unwrap();
            assert_eq!(History::new(runs.path()).latest("table"), None);
        }
    }
}

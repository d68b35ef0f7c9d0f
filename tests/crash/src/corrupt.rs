//! Damage: each file of a store in turn has a byte flipped, its second half cut off, all bytes zeroed, or is deleted.
//! No wrong byte is served, a run recomputes lost results, `verify` names the file, and a repaired store is whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::project::{Expected, Project, Said, tree};
use crate::stages::STUDY;

const KINDS: [&str; 4] = ["flip", "cut", "zero", "delete"];

/// Files of which only the name or the lock matters, or whose loss has no effect: deleting them is no damage.
const MAY_GO: [&str; 7] = ["leases.d/", "gc.lock", "last-use", "lineage", "stat-cache", "pack-ends", "runs/"];

/// Notes of dead sessions, a count of collections and a time: other values only cost time, and are not detectable.
const HARMLESS: [&str; 3] = ["tmp/", "use.lock", "last-gc"];

/// The outcome of all damages.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Number of damages.
    pub(crate) cases: u64,
    /// Number of damages after which a wrong byte was served.
    pub(crate) served: u64,
    /// Sentences about all other failures.
    pub(crate) faults: Vec<String>,
}

/// Damages every `stride`th pair of file and kind of damage, from `start` on.
pub(crate) fn corrupt(start: usize, stride: usize, seed: u64, tell: impl Fn(&str)) -> Tally {
    let mut draw = ChaCha8Rng::seed_from_u64(seed);
    let template = template();
    let store = template.store();
    let files: Vec<PathBuf> = tree(&store).iter().map(|path| relative(path, &store)).collect();
    let (undamaged, expected) = changed(&template, None);
    let least = undamaged.lines("result ran").count();
    let mut tally = Tally::default();
    let mut by_kind: BTreeMap<&str, (u64, usize, usize)> = BTreeMap::new();
    let cases: Vec<_> = files.iter().flat_map(|file| KINDS.map(|kind| (file, kind))).collect();
    for (file, kind) in cases.into_iter().skip(start).step_by(stride.max(1)) {
        let bytes = fs::read(store.join(file)).expect("the template is whole");
        let Some(damage) = Damage::new(kind, &bytes, &mut draw) else { continue };
        tally.cases += 1;
        let name = format!("{kind} {}", file.display());
        let mut faults = Vec::new();

        let copy = copy(&template);
        damage.apply(&copy.store().join(file));
        let found = copy.call("verify", &[]);
        // A result that lacks an object names it by its digest.
        let file_name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let named = found.out.contains(&file_name) || found.err.contains(&file_name);
        let (said, got) = changed(&template, Some((file, &damage)));
        let wrong =
            got.results.iter().any(|(key, outputs)| expected.results.get(key).is_some_and(|right| right != outputs));
        let published = got.published.iter().any(|(path, bytes)| expected.published.get(path) != Some(bytes));
        if wrong || (published && said.status.success()) {
            tally.served += 1;
            faults.push("wrong bytes are served".to_owned());
        }
        let refused = file == Path::new("format") && said.err.contains("repair");
        if !refused && (!said.status.success() || got.results != expected.results) {
            faults.push(format!("the run does not finish: {}{}", said.out, said.err));
        }
        let again = said.lines("result ran").count().saturating_sub(least);
        let starts = |parts: &[&str]| parts.iter().any(|part| file.starts_with(part.trim_end_matches('/')));
        // Bytes that no result needs, so nothing was recomputed.
        let spare = again == 0 && starts(&["objects/", "checkpoints/"]);
        let missable = starts(&HARMLESS) || kind == "delete" && (starts(&MAY_GO) || spare);
        // A truncated log looks like one of a killed process, which has no checksum; and logs of nodes may have any
        // contents.
        let is_of_node = file.components().any(|part| part.as_os_str() == "logs");
        let unsealed = file_name == "events.jsonl" && orchestrate_cache::is_sealed(&bytes).is_none();
        let log = file.starts_with("runs") && (kind == "cut" || kind == "flip" && unsealed || is_of_node);
        if !named && !missable && !log {
            faults.push(format!("verify does not name it: {}{}", found.out, found.err));
        }

        let entry = by_kind.entry(place(file)).or_default();
        *entry = (entry.0 + 1, entry.1 + again, entry.2.max(again));

        damage.apply(&copy.store().join(file));
        faults.extend(repaired(&copy, &expected));
        faults.iter().for_each(|fault| tell(&format!("{name}: {fault}")));
        tally.faults.extend(faults);
    }
    for (place, (cases, sum, max)) in by_kind {
        tell(&format!(
            "{place:16} {cases:>5} damages  {:>6.1} nodes ran again, {max} at most",
            sum as f64 / cases as f64
        ));
    }
    tally
}

/// A project after several runs, collections and a killed engine.
fn template() -> Project {
    let project = Project::new();
    // More hits than a log lists in lines.
    write_study(&project, "\"1..=30\"");
    // The stat cache does not remember a file that was just made.
    std::thread::sleep(Duration::from_millis(2100));
    for (command, fault) in [("run", "kill=150"), ("litter", ""), ("run", ""), ("gc", ""), ("run", ""), ("litter", "")]
    {
        let said = project.call(command, &[("FAILPOINT", fault.to_owned())]);
        assert!(said.status.success() || said.was_killed(), "{command} fails: {said:?}");
    }
    project
}

fn write_study(project: &Project, thresholds: &str) {
    assert!(STUDY.contains("[1, 2, 3]"));
    fs::write(project.dir().join("study.toml"), STUDY.replace("[1, 2, 3]", thresholds))
        .expect("the folder is writable");
}

/// Runs the study on a copy, with one more threshold and nothing published: so it reads weights, masks, scores and the
/// table.
fn changed(template: &Project, damage: Option<(&PathBuf, &Damage)>) -> (Said, Expected) {
    let project = copy(template);
    if let Some((file, damage)) = damage {
        damage.apply(&project.store().join(file));
    }
    // First without a change: the table is published again.
    let first = project.call("run", &[]);
    write_study(&project, "\"1..=31\"");
    let said = project.call("run", &[]);
    let results = first.results().into_iter().chain(said.results()).map(|ended| (ended.key, ended.outputs)).collect();
    let joined = Said { status: said.status, out: first.out + &said.out, err: first.err + &said.err };
    (joined, Expected { results, published: project.published(), elapsed: Duration::ZERO })
}

/// Lists problems that remain after a repair.
fn repaired(project: &Project, expected: &Expected) -> Vec<String> {
    let mut faults = Vec::new();
    let said = project.call("repair", &[]);
    if !said.status.success() {
        return vec![format!("it cannot be repaired: {}{}", said.out, said.err)];
    }
    let found = project.call("verify", &[]);
    let left: Vec<_> = found.lines("problem").chain(found.lines("torn")).collect();
    if !found.status.success() || !left.is_empty() {
        faults.push(format!("after the repair: {left:?} {}", found.err));
    }
    write_study(project, "\"1..=31\"");
    let said = project.call("run", &[]);
    let wrong = said.results().iter().any(|ended| expected.results.get(&ended.key) != Some(&ended.outputs));
    if wrong || !said.status.success() || project.published() != expected.published {
        faults.push(format!("the run after the repair does not end as undisturbed: {}{}", said.out, said.err));
    }
    faults
}

/// A copy without published folders.
fn copy(template: &Project) -> Project {
    let project = Project::new();
    for path in tree(template.dir()) {
        let name = relative(&path, template.dir());
        let to = project.dir().join(&name);
        if !name.starts_with("results") {
            fs::create_dir_all(to.parent().expect("a file has a folder")).expect("the folder is writable");
            fs::copy(&path, &to).expect("the folder is writable");
        }
    }
    for dir in ["packs", "objects", "tmp", "quarantine", "runs"] {
        fs::create_dir_all(project.store().join(dir)).expect("the folder is writable");
    }
    project
}

fn relative(path: &Path, dir: &Path) -> PathBuf {
    path.strip_prefix(dir).expect("it lies there").to_owned()
}

/// The section of the store to which a file belongs.
fn place(file: &Path) -> &str {
    file.iter().next().and_then(|part| part.to_str()).unwrap_or_default()
}

/// New contents of a file; `None` deletes it.
struct Damage(Option<Vec<u8>>);

impl Damage {
    /// Returns `None` if the contents would stay the same.
    fn new(kind: &str, bytes: &[u8], draw: &mut ChaCha8Rng) -> Option<Self> {
        if kind != "delete" && bytes.is_empty() {
            return None;
        }
        let mut damaged = bytes.to_vec();
        match kind {
            "flip" => damaged[(draw.next_u64() % bytes.len() as u64) as usize] ^= 1 << (draw.next_u64() % 8),
            "cut" => damaged.truncate(bytes.len() / 2),
            "zero" => damaged.fill(0),
            _ => return Some(Self(None)),
        }
        (damaged != bytes).then_some(Self(Some(damaged)))
    }

    fn apply(&self, path: &Path) {
        // Objects are read-only files, which does not stop a damaged disk.
        let _ = fs::remove_file(path);
        if let Some(bytes) = &self.0 {
            fs::create_dir_all(path.parent().expect("a file has a folder")).expect("the folder is writable");
            fs::write(path, bytes).expect("the folder is writable");
        }
    }
}

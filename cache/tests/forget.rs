//! Forgetting: results with all that they leave go from the disk, and nothing else does.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use common::{contents, key, large, open, record, record_from, tree};
use orchestrate_cache::{
    ActionKey, CHECKPOINT_HEADER_BYTES, Checkpoints, Forgetting, Forgotten, Pin, Store, StoreError,
};

/// Bytes of a patient, small and large; no other contents have them.
fn small() -> Vec<u8> {
    b"the patient's small bytes".repeat(20)
}

fn forgetting(names: &[&str]) -> Forgetting {
    Forgetting { keys: names.iter().map(|name| key(name)).collect(), ..Forgetting::default() }
}

fn forget(store: &Store, names: &[&str]) -> Forgotten {
    store.forget(&forgetting(names), |_| Ok(())).unwrap()
}

/// Lists the files of a store that contain some bytes.
fn with_bytes(dir: &Path, wanted: &[u8]) -> Vec<String> {
    let has = |bytes: &[u8]| bytes.windows(wanted.len()).any(|window| window == wanted);
    let files = tree(dir).into_iter().filter(|(_, bytes)| has(bytes));
    files.map(|(path, _)| path.strip_prefix(dir).unwrap().display().to_string()).collect()
}

fn checkpoint(store: &Store, name: &str) {
    let checkpoints = Checkpoints::new(&store.checkpoint_dir(&key(name)), key(name));
    checkpoints.save(1, [vec![0; CHECKPOINT_HEADER_BYTES], small()].concat()).unwrap();
}

#[test]
fn bytes_of_forgotten_results_are_nowhere_on_the_disk_and_all_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let images = record(&store, "data", &small());
    record_from(&store, "train", &large(7), &[images]);
    record(&store, "other", &large(8));
    record(&store, "other and small", b"stays");
    store.commit().unwrap();
    checkpoint(&store, "unfinished");
    checkpoint(&store, "of another study");
    fs::write(dir.path().join("quarantine").join(key("x").0.to_string()), small()).unwrap();
    fs::write(dir.path().join(".new-lineage"), small()).unwrap();
    let job = dir.path().join("jobs/20260131-174502-318-9f02ac-0");
    fs::create_dir_all(&job).unwrap();
    fs::write(job.join("tasks"), small()).unwrap();
    fs::write(dir.path().join("stat-cache"), "a path that names somebody").unwrap();
    fs::write(dir.path().join("packs/notes.txt"), "mine").unwrap();
    let what = Forgetting { checkpoints: BTreeSet::from([key("unfinished")]), ..forgetting(&["data", "train"]) };

    let planned = store.plan_forgetting(&what).unwrap();
    assert_eq!(store.stats().unwrap().results, 4, "a plan changes nothing");
    let report = store.forget(&what, |_| Ok(())).unwrap().report;
    assert_eq!(report, planned);
    let order: Vec<_> = report.collected.iter().map(|gone| gone.key).collect();
    assert_eq!(order, [key("train"), key("data")], "readers come before what they read");
    assert_eq!((report.objects, report.packs, report.checkpoints, report.recompute_ms), (1, 1, 1, 3000));
    assert!(report.bytes_freed > large(7).len() as u64 + 3 * small().len() as u64, "{report:?}");

    let of_another_study = format!("checkpoints/{}/epoch-000001.checkpoint", key("of another study").0);
    assert_eq!(with_bytes(dir.path(), &small()), [of_another_study]);
    assert_eq!(with_bytes(dir.path(), &large(7)[..64]), [""; 0]);
    assert_eq!(with_bytes(dir.path(), key("data").0.as_bytes()), [""; 0]);
    for name in ["stat-cache", "lineage", "forgetting"] {
        assert!(!dir.path().join(name).exists(), "{name}");
    }
    for store in [&store, &open(dir.path())] {
        assert_eq!(contents(store, "other").unwrap(), large(8));
        assert_eq!(contents(store, "other and small").unwrap(), b"stays");
        assert!(["data", "train"].iter().all(|name| store.hit(&key(name)).is_none()));
        assert!(store.verify().unwrap().problems.is_empty());
    }
    assert_eq!(fs::read_to_string(dir.path().join("packs/notes.txt")).unwrap(), "mine");
    record(&store, "data", b"without the patient");
    store.commit().unwrap();
    assert_eq!(contents(&open(dir.path()), "data").unwrap(), b"without the patient");
}

#[test]
fn bytes_that_a_remaining_result_has_too_stay_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for (name, bytes) in [("a", large(1)), ("b", large(1)), ("c", b"small".to_vec()), ("d", b"small".to_vec())] {
        record(&store, name, &bytes);
    }
    store.commit().unwrap();
    assert_eq!(forget(&store, &["a", "c"]).report.objects, 0);
    assert_eq!(contents(&store, "b").unwrap(), large(1));
    assert_eq!(contents(&store, "d").unwrap(), b"small");
}

#[test]
fn pins_and_lineage_lose_what_is_forgotten_and_keep_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for name in ["a", "b", "collected", "also collected"] {
        record(&store, name, &large(name.len() as u8));
    }
    store.commit().unwrap();
    let pin = |name: &str, names: &[&str]| {
        let keys: Vec<ActionKey> = names.iter().map(|name| key(name)).collect();
        store.pin(Pin { name: name.to_owned(), source: String::new(), pinned_ms: 0, keys }).unwrap();
    };
    pin("both", &["a", "b"]);
    pin("one", &["a"]);
    let policy = orchestrate_cache::GcPolicy { max_size_bytes: Some(1), ..Default::default() };
    assert_eq!(store.gc(&policy).unwrap().collected.len(), 2);
    let lineage = dir.path().join("lineage");
    fs::write(&lineage, fs::read_to_string(&lineage).unwrap() + "{\"node\":\"half a li").unwrap();

    forget(&store, &["a", "collected"]);
    let pins = store.pins().unwrap();
    assert_eq!(
        pins.iter().map(|pin| (pin.name.as_str(), pin.keys.clone())).collect::<Vec<_>>(),
        [("both", vec![key("b")])]
    );
    let left: Vec<_> = store.lineage().unwrap().map(|left| left.key).collect();
    assert_eq!(left, [key("also collected")]);
    assert!(!fs::read_to_string(&lineage).unwrap().contains("half"), "nobody knows whose line it was");
    assert!(store.verify().unwrap().problems.is_empty());
}

#[test]
fn a_store_that_somebody_else_has_open_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    record(&store, "data", &small());
    store.commit().unwrap();
    let other = open(dir.path());
    let before = tree(&dir.path().join("packs"));
    let refused = store.forget(&forgetting(&["data"]), |_| panic!("nothing is removed")).unwrap_err();
    assert!(matches!(refused, StoreError::InUse { .. }), "{refused}");
    assert!(refused.to_string().contains("has it open; try again when that has ended"), "{refused}");
    assert_eq!(tree(&dir.path().join("packs")), before);
    assert_eq!(store.interrupted_forgetting().unwrap(), None);
    drop(other);
    assert_eq!(forget(&store, &["data"]).report.collected.len(), 1);
}

#[test]
fn a_forgetting_whose_logs_could_not_be_removed_is_finished_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    record(&store, "data", &small());
    record(&store, "other", &large(1));
    store.commit().unwrap();
    let what = Forgetting { runs: BTreeSet::from(["a run".to_owned()]), ..forgetting(&["data"]) };
    let full = || StoreError::Io { action: "remove", path: "log".into(), source: std::io::Error::other("stopped") };
    store.forget(&what, |_| Err(full())).unwrap_err();
    assert_eq!(store.interrupted_forgetting().unwrap(), Some(what.clone()));
    let done = store.forget(&forgetting(&["other"]), |all| {
        assert_eq!(all.runs, what.runs);
        Ok(())
    });
    let done = done.unwrap();
    assert_eq!(done.what.keys, BTreeSet::from([key("data"), key("other")]));
    assert_eq!((store.interrupted_forgetting().unwrap(), store.stats().unwrap().results), (None, 0));
}

#[test]
fn a_damaged_list_is_named_and_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    record(&store, "data", &small());
    store.commit().unwrap();
    fs::write(dir.path().join("forgetting"), "{}").unwrap();
    let refused = store.forget(&forgetting(&["data"]), |_| Ok(())).unwrap_err().to_string();
    assert!(refused.contains("its checksum does not fit; `store repair` removes it"), "{refused}");
    assert_eq!(store.verify().unwrap().problems.len(), 1);
    drop(store);
    Store::repair(dir.path()).unwrap();
    assert_eq!(forget(&open(dir.path()), &["data"]).report.collected.len(), 1);
}

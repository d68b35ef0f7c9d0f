//! Tests that stop a store after its nth write, for every n, and open it again.

use std::path::Path;

use crate::error::StoreError;
use crate::files::fault;
use crate::format::layout::Access;
use crate::store::{PutContent, Store};
use crate::upkeep::forget::Forgetting;
use crate::upkeep::gc_report::GcPolicy;
use crate::upkeep::pin::Pin;
use crate::value::artifact::{ActionKey, ActionResult, OutputDigest};
use crate::value::digest::Digest;

/// The key of the result of that name.
pub(crate) fn key(name: &str) -> ActionKey {
    result(name, OutputDigest(Digest::of(b""))).key().expect("a key can hold a text")
}

/// Every third is large enough to be an object.
fn contents(name: &str) -> Vec<u8> {
    let number: usize = name.parse().expect("names are numbers here");
    name.repeat(if number.is_multiple_of(3) { 70_000 } else { 10 }).into_bytes()
}

pub(crate) fn result(name: &str, output: OutputDigest) -> ActionResult {
    ActionResult {
        outputs: vec![("out".to_owned(), output)],
        preimage: serde_json::json!({ "name": name }),
        node: name.to_owned(),
        kind: "test".to_owned(),
        run: "run".to_owned(),
        elapsed_ms: 1,
        recorded_ms: 1,
        device: "cpu".to_owned(),
        producer: None,
    }
}

pub(crate) fn record(store: &Store, name: &str) -> Result<(), StoreError> {
    let path = store.scratch()?.keep().join("file");
    let content = if name == "3" {
        std::fs::write(&path, contents(name)).expect("scratch can be written to");
        PutContent::File(path)
    } else {
        PutContent::Bytes(contents(name))
    };
    let (output, _) = store.put_artifact(vec![("file".to_owned(), content)])?;
    store.put_result(&key(name), result(name, output))?;
    Ok(())
}

fn read(store: &Store, name: &str) -> Option<Vec<u8>> {
    store.hit(&key(name))?;
    let result = store.recorded(&key(name))?;
    let artifact = store.artifact(&result.outputs[0].1).expect("a hit has its artifact");
    Some(store.read(&artifact.files[0].digest).expect("a hit has its bytes"))
}

const NAMES: [&str; 6] = ["1", "2", "3", "4", "5", "6"];

/// Records in three commits; returns the names that were reported durable, and whether all went well.
fn work(dir: &Path) -> (Vec<&'static str>, bool) {
    let mut durable = Vec::new();
    let mut run = || {
        let store = Store::open(dir, Access::ReadWrite)?;
        for names in NAMES.chunks(2) {
            names.iter().try_for_each(|name| record(&store, name))?;
            store.commit()?;
            durable.extend(names);
        }
        // The store is dropped while it cannot write, so it cannot clean up, like a killed process.
        Ok::<_, StoreError>(())
    };
    let done = run().is_ok();
    (durable, done)
}

#[test]
fn a_store_that_stops_after_any_write_keeps_what_it_reported() {
    for steps in 0.. {
        let dir = tempfile::tempdir().unwrap();
        fault::after(steps);
        let (durable, done) = work(dir.path());
        fault::off();
        let store = Store::open(dir.path(), Access::ReadWrite).unwrap();
        for name in NAMES {
            let read = read(&store, name);
            assert!(read.is_some() || !durable.contains(&name), "{name} was lost after {steps} writes");
            assert!(read.is_none_or(|bytes| bytes == contents(name)), "{name} is wrong after {steps} writes");
        }
        let report = store.verify().unwrap();
        assert!(report.problems.is_empty(), "after {steps} writes: {:?}", report.problems);
        assert_eq!(std::fs::read_dir(store.layout.tmp()).unwrap().count(), 1, "dead sessions are swept");
        // The run is repeated, and ends as if nothing had happened.
        drop(store);
        assert_eq!(work(dir.path()), (NAMES.to_vec(), true));
        let store = Store::open(dir.path(), Access::ReadWrite).unwrap();
        assert!(NAMES.iter().all(|name| read(&store, name) == Some(contents(name))));
        if done {
            assert!(steps > 20, "the test stopped nothing");
            return;
        }
    }
}

#[test]
fn records_wait_on_while_the_disk_is_full() {
    for steps in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Access::ReadWrite).unwrap();
        record(&store, "1").unwrap();
        store.commit().unwrap();
        record(&store, "2").unwrap();
        fault::after(steps);
        let full = store.commit();
        fault::off();
        if let Err(error) = &full {
            let text = error.to_string();
            assert!([".pack: stopped", ".lock: stopped"].iter().any(|path| text.contains(path)), "{text}");
            assert_eq!(read(&store, "2"), None);
        }
        record(&store, "4").unwrap();
        store.commit().unwrap();
        for store in [&store, &Store::open(dir.path(), Access::ReadWrite).unwrap()] {
            assert!(["1", "2", "4"].iter().all(|name| read(store, name) == Some(contents(name))), "{steps}");
        }
        if full.is_ok() {
            return;
        }
    }
}

#[test]
fn an_object_that_does_not_fit_leaves_nothing_behind() {
    for steps in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Access::ReadWrite).unwrap();
        fault::after(steps);
        let outcome = record(&store, "6");
        fault::off();
        if outcome.is_ok() {
            return;
        }
        assert_eq!(store.locate(&Digest::of(&contents("6"))).map(|place| place.size_bytes), durable_name(&store));
        let session = store.session_dir().unwrap();
        let left = crate::files::disk::list(session).unwrap();
        assert!(left.iter().all(|name| name.starts_with("scratch-")), "{left:?}");
    }
}

/// The length of object 6 if it got its name before its folder could be synced; the name stands for all bytes.
fn durable_name(store: &Store) -> Option<u64> {
    let path = store.layout.object(&Digest::of(&contents("6")));
    let bytes = std::fs::read(path).ok()?;
    assert_eq!(bytes, contents("6"));
    Some(bytes.len() as u64)
}

#[test]
fn a_garbage_collection_that_stops_after_any_write_loses_nothing_that_stays() {
    for steps in 0.. {
        let dir = tempfile::tempdir().unwrap();
        assert!(work(dir.path()).1);
        let store = Store::open(dir.path(), Access::ReadWrite).unwrap();
        store.touch(&[key("1"), key("3"), key("5")]).unwrap();
        let policy = GcPolicy { max_age: Some(std::time::Duration::from_secs(60)), ..GcPolicy::default() };
        fault::after(steps);
        let outcome = store.gc(&policy);
        drop(store);
        fault::off();
        let store = Store::open(dir.path(), Access::ReadWrite).unwrap();
        for name in NAMES {
            let stays = ["1", "3", "5"].contains(&name);
            let read = read(&store, name);
            assert!(read.is_some() || !stays, "{name} was lost after {steps} writes");
            assert!(read.is_none_or(|bytes| bytes == contents(name)));
        }
        // The others are gone or whole.
        let report = store.verify().unwrap();
        assert!(report.problems.is_empty(), "after {steps} writes: {:?}", report.problems);
        if let Ok(report) = outcome {
            assert_eq!((report.collected.len(), store.stats().unwrap().results), (3, 3));
            return;
        }
    }
}

#[test]
fn a_forgetting_that_stops_after_any_write_is_finished_by_the_next() {
    let forgotten = ["1", "3", "5"];
    let keys = forgotten.iter().map(|name| key(name)).collect();
    let what = Forgetting { keys, ..Forgetting::default() };
    for steps in 0.. {
        let dir = tempfile::tempdir().unwrap();
        assert!(work(dir.path()).1);
        let store = Store::open(dir.path(), Access::ReadWrite).unwrap();
        let pin = ["1", "2"].map(key).to_vec();
        store.pin(Pin { name: "pin".to_owned(), source: String::new(), pinned_ms: 0, keys: pin }).unwrap();
        fault::after(steps);
        let outcome = store.forget(&what, |_| Ok(()));
        drop(store);
        fault::off();
        let store = Store::open(dir.path(), Access::ReadWrite).unwrap();
        let holds = |names: &[&str]| names.iter().all(|name| read(&store, name) == Some(contents(name)));
        assert!(holds(&["2", "4", "6"]), "after {steps} writes");
        let report = store.verify().unwrap();
        assert!(report.problems.is_empty(), "after {steps} writes: {:?}", report.problems);
        match store.interrupted_forgetting().unwrap() {
            Some(interrupted) => assert_eq!(interrupted, what),
            None => assert!(outcome.is_ok() || holds(&forgotten), "nothing had begun after {steps} writes"),
        }
        if outcome.is_err() {
            store.forget(&what, |_| Ok(())).unwrap();
        }
        assert!(store.interrupted_forgetting().unwrap().is_none() && holds(&["2", "4", "6"]));
        assert_eq!((store.pins().unwrap()[0].keys.len(), store.stats().unwrap().objects), (1, 1));
        let packs = std::fs::read_dir(store.layout.packs()).unwrap();
        let packs: Vec<_> = packs.flat_map(|pack| std::fs::read(pack.unwrap().path()).unwrap()).collect();
        let has = |bytes: &[u8]| packs.windows(bytes.len()).any(|window| window == bytes);
        assert!(has(b"2222222222") && !has(b"1111111111") && !has(b"5555555555"), "after {steps} writes");
        if outcome.is_ok() {
            assert!(steps > 20, "the test stopped nothing");
            return;
        }
    }
}

//! Retention: pinned results, results of live runs and their inputs outlive a collection; lineage outlives results.

mod common;

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use common::{contents, key, large, open, record, record_from};
use orchestrate_cache::{GcPolicy, Pin, Store, StoreError};

const HOUR: Duration = Duration::from_secs(3600);

/// Results in `common` are old, unless they were touched.
fn by_age() -> GcPolicy {
    GcPolicy { max_age: Some(HOUR), ..GcPolicy::default() }
}

fn pin(store: &Store, name: &str, keys: &[&str]) {
    let keys = keys.iter().map(|name| key(name)).collect();
    store.pin(Pin { name: name.to_owned(), source: "run 1".to_owned(), pinned_ms: 1, keys }).unwrap();
}

#[test]
fn what_is_pinned_stays_whatever_the_limits_until_it_is_unpinned() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let names = ["a", "b", "c"];
    for (name, seed) in names.iter().zip(0..) {
        record(&store, name, &large(seed));
    }
    store.commit().unwrap();
    store.touch(&[key("c")]).unwrap();
    pin(&store, "paper", &["a"]);
    pin(&store, "thesis", &["a", "b"]);
    assert!(store.unpin("thesis").unwrap() && !store.unpin("thesis").unwrap());
    assert_eq!(store.pins().unwrap().iter().map(|pin| pin.name.as_str()).collect::<Vec<_>>(), ["paper"]);

    // The young one goes before the pinned one, though that is older; both do not fit.
    let report = store.gc(&GcPolicy { max_size_bytes: Some(150_000), ..by_age() }).unwrap();
    assert_eq!(report.collected.iter().map(|gone| gone.key).collect::<Vec<_>>(), [key("b"), key("c")]);
    assert!(report.collected.iter().all(|gone| gone.size_bytes > 100_000 && gone.kind == "score"));
    let report = store.gc(&GcPolicy { max_size_bytes: Some(10), ..by_age() }).unwrap();
    assert_eq!((report.collected.len(), report.bytes_protected), (0, report.bytes_kept));
    assert!(report.bytes_protected > 100_000);
    assert_eq!(contents(&open(dir.path()), "a").unwrap(), large(0));
    store.unpin("paper").unwrap();
    assert_eq!(store.gc(&by_age()).unwrap().collected.len(), 1);
    assert_eq!(contents(&store, "a"), None);
}

#[test]
fn a_pin_that_cannot_be_read_stops_a_collection() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    record(&store, "a", b"1");
    store.commit().unwrap();
    pin(&store, "paper", &["a"]);
    fs::write(dir.path().join("pins/paper.json"), "{").unwrap();
    let error = store.gc(&by_age()).unwrap_err();
    assert!(matches!(error, StoreError::Pin { .. }) && error.to_string().contains("paper.json"), "{error}");
    assert!(contents(&store, "a").is_some());
    store.unpin("paper").unwrap();
    assert_eq!(store.gc(&by_age()).unwrap().collected.len(), 1);
    for name in ["", "../a", ".hidden", "a/b", "a b"] {
        let bad = Pin { name: name.to_owned(), source: String::new(), pinned_ms: 1, keys: Vec::new() };
        assert!(matches!(store.pin(bad), Err(StoreError::PinName { .. })), "{name}");
    }
}

#[test]
fn what_a_kept_result_was_made_from_is_kept_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let images = record(&store, "images", &large(0));
    let train = record_from(&store, "train", &large(1), &[images]);
    record_from(&store, "old score", b"1", &[train]);
    record_from(&store, "score", b"2", &[train]);
    record(&store, "unused", &large(2));
    store.commit().unwrap();
    store.touch(&[key("score")]).unwrap();
    let report = store.gc(&by_age()).unwrap();
    let mut gone: Vec<_> = report.collected.iter().map(|gone| gone.node.as_str()).collect();
    gone.sort_unstable();
    assert_eq!(gone, ["score[name=old score]", "score[name=unused]"]);
    assert!(["images", "train", "score"].iter().all(|name| contents(&store, name).is_some()));
}

#[test]
fn what_a_live_session_found_stays_though_it_was_not_used_for_long() {
    let dir = tempfile::tempdir().unwrap();
    let images = {
        let store = open(dir.path());
        let images = record(&store, "images", &large(0));
        record_from(&store, "found", &large(1), &[images]);
        record(&store, "other", &large(2));
        store.commit().unwrap();
        images
    };
    let engine = open(dir.path());
    {
        let using = engine.using().unwrap();
        assert!(engine.hit(&key("found")).is_some());
        using.note(&[key("found")]).unwrap();
    }
    let collector = open(dir.path());
    let report = collector.gc(&by_age()).unwrap();
    assert_eq!(report.collected.iter().map(|gone| gone.key).collect::<Vec<_>>(), [key("other")]);
    assert!(collector.artifact(&images).is_some());
    assert_eq!(contents(&engine, "found").unwrap(), large(1));
    // The engine reads the index anew when it looks up again.
    drop(engine.using().unwrap());
    assert!(engine.hit(&key("other")).is_none() && engine.hit(&key("images")).is_some());
    drop(engine);
    assert_eq!(collector.gc(&by_age()).unwrap().collected.len(), 2, "its notes vanish with the session");
}

#[test]
fn a_collection_waits_for_a_lookup_that_has_begun() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    record(&store, "a", &large(0));
    store.commit().unwrap();
    let engine = open(dir.path());
    let using = engine.using().unwrap();
    std::thread::scope(|scope| {
        let collection = scope.spawn(|| store.gc(&by_age()).unwrap());
        std::thread::sleep(Duration::from_millis(50));
        assert!(engine.hit(&key("a")).is_some() && !collection.is_finished());
        using.note(&[key("a")]).unwrap();
        drop(using);
        assert_eq!(collection.join().unwrap().collected, []);
    });
    assert_eq!(contents(&engine, "a").unwrap(), large(0));
}

#[test]
fn a_store_keeps_what_it_found_or_recorded_itself_if_it_is_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    record(&store, "old", b"1");
    record(&store, "noted", b"2");
    store.commit().unwrap();
    drop(store);
    let store = open(dir.path());
    store.using().unwrap().note(&[key("noted")]).unwrap();
    record(&store, "recorded", b"3");
    store.commit().unwrap();
    let policy = GcPolicy { max_size_bytes: Some(1), keep_own: true, ..GcPolicy::default() };
    assert_eq!(store.last_gc_ms(), None);
    let report = store.gc(&policy).unwrap();
    assert_eq!(report.collected.iter().map(|gone| gone.key).collect::<Vec<_>>(), [key("old")]);
    assert!(store.last_gc_ms().is_some());
    assert_eq!(store.gc(&GcPolicy { keep_own: false, ..policy }).unwrap().collected.len(), 2);
}

#[test]
fn where_a_collected_result_came_from_can_still_be_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let images = record(&store, "images", &large(0));
    record_from(&store, "score", b"1", &[images]);
    store.commit().unwrap();
    let recorded = store.recorded(&key("score")).unwrap();
    assert_eq!(store.collected(&HashSet::from([key("score")])).unwrap().len(), 0);
    store.gc(&by_age()).unwrap();
    assert_eq!(store.recorded(&key("score")), None);
    let left = store.collected(&HashSet::from([key("score")])).unwrap().remove(&key("score")).unwrap();
    assert_eq!((left.key, &left.result), (key("score"), &recorded));
    assert!(left.collected_ms > recorded.recorded_ms);

    // A crash leaves half a line; later lines are whole.
    let path = dir.path().join("lineage");
    let lines = fs::read(&path).unwrap();
    fs::write(&path, &lines[..lines.len() - 20]).unwrap();
    record(&store, "next", b"2");
    store.commit().unwrap();
    store.gc(&by_age()).unwrap();
    assert_eq!(store.lineage().unwrap().map(|left| left.key).last(), Some(key("next")));
    assert_eq!(store.lineage().unwrap().count(), 2);
}

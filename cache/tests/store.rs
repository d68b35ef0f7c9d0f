//! Promises of a store to its users: recording, lookups, formats.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::{contents, key, large, open, record, result, tree};
use orchestrate_cache::{Access, Digest, PutContent, Store, StoreError};

#[test]
fn what_was_committed_is_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let output = record(&store, "small", b"0.42");
    record(&store, "large", &large(0));
    record(&store, "empty", b"");
    store.commit().unwrap();
    for store in [&store, &open(dir.path()), &Store::open(dir.path(), Access::ReadOnly).unwrap()] {
        assert!(store.hit(&key("small")).is_some());
        assert_eq!(store.recorded(&key("small")), Some(result("small", output)));
        assert_eq!(contents(store, "small").unwrap(), b"0.42");
        assert_eq!(contents(store, "large").unwrap(), large(0));
        assert_eq!(contents(store, "empty").unwrap(), b"");
        assert_eq!(store.hit(&key("other")), None);
    }
}

#[test]
fn a_result_is_a_hit_only_once_it_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    record(&store, "a", b"1");
    assert_eq!(store.hit(&key("a")), None);
    drop(store);
    assert_eq!(open(dir.path()).hit(&key("a")), None);
}

#[test]
fn the_first_result_wins() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let first = record(&store, "a", b"first");
    let second = record(&store, "a", b"second");
    assert_ne!(first, second);
    let mine = result("a", second);
    assert_eq!(store.put_result(&key("a"), mine.clone()).unwrap().outputs[0].1, first);
    store.commit().unwrap();
    assert_eq!(store.put_result(&key("a"), mine).unwrap().outputs[0].1, first);
    store.commit().unwrap();
    assert_eq!(contents(&open(dir.path()), "a").unwrap(), b"first");
}

#[test]
fn a_file_from_scratch_is_taken_over_and_any_other_is_copied() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("store"));
    let outside = dir.path().join("weights");
    fs::write(&outside, large(0)).unwrap();
    let scratch = store.scratch().unwrap();
    let inside = scratch.path().join("weights");
    fs::write(&inside, large(0)).unwrap();
    let digest = |path: &std::path::Path| {
        let files = vec![("weights".to_owned(), PutContent::File(path.to_owned()))];
        store.put_artifact(files).unwrap().1.files[0].digest
    };
    assert_eq!(digest(&inside), Digest::of(&large(0)));
    assert!(!inside.exists(), "it was moved into the store");
    assert_eq!(digest(&outside), Digest::of(&large(0)));
    assert!(outside.exists());
    let location = store.locate(&Digest::of(&large(0))).unwrap();
    assert_eq!(fs::metadata(&location.path).unwrap().permissions().mode() & 0o777, 0o444);
    assert_eq!(location.read_verified(&Digest::of(&large(0))).unwrap(), large(0));
}

#[test]
fn a_small_blob_can_be_read_by_place_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    record(&store, "a", b"0.42");
    store.commit().unwrap();
    let digest = Digest::of(b"0.42");
    let json = serde_json::to_string(&store.locate(&digest).unwrap()).unwrap();
    let location: orchestrate_cache::BlobLocation = serde_json::from_str(&json).unwrap();
    assert_eq!(location.read_verified(&digest).unwrap(), b"0.42");
}

#[test]
fn names_that_lead_out_of_an_artifact_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for name in ["", "/etc/passwd", "../up", "a/../b", "a//b", "a\\b", "./a", "a\0b"] {
        let error = store.put_artifact(vec![(name.to_owned(), PutContent::Bytes(vec![]))]).unwrap_err();
        assert!(matches!(error, StoreError::FileName { .. }), "{name:?}: {error}");
    }
    let twice = || ("a".to_owned(), PutContent::Bytes(vec![]));
    assert!(store.put_artifact(vec![twice(), twice()]).is_err());
}

#[test]
fn a_store_for_reading_serves_hits_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    record(&store, "a", b"1");
    store.commit().unwrap();
    drop(store);
    let before = tree(dir.path());
    let store = Store::open(dir.path(), Access::ReadOnly).unwrap();
    assert_eq!(contents(&store, "a").unwrap(), b"1");
    store.touch(&[key("a")]).unwrap();
    store.refresh().unwrap();
    store.commit().unwrap();
    assert!(matches!(store.put_artifact(vec![]), Err(StoreError::ReadOnly { .. })));
    assert!(matches!(store.put_result(&key("b"), result("b", record_digest())), Err(StoreError::ReadOnly { .. })));
    assert!(matches!(store.try_lease(&key("b")), Err(StoreError::ReadOnly { .. })));
    assert!(matches!(store.scratch(), Err(StoreError::ReadOnly { .. })));
    drop(store);
    assert_eq!(tree(dir.path()), before);
}

fn record_digest() -> orchestrate_cache::OutputDigest {
    orchestrate_cache::OutputDigest(Digest::of(b"any"))
}

#[test]
fn keys_that_are_looked_up_together_get_the_answers_that_each_gets_alone() {
    let dir = tempfile::tempdir().unwrap();
    // So many that several threads read the records.
    let names: Vec<String> = (0..7_000).map(|number| number.to_string()).collect();
    {
        let store = open(dir.path());
        for name in &names {
            record(&store, name, name.as_bytes());
        }
        record(&store, "large", &large(1));
        record(&store, "lost", &large(2));
        store.commit().unwrap();
        store.forget_result(&key("7"));
    }
    let object = Digest::of(&large(2)).to_string();
    fs::remove_file(dir.path().join("objects").join(&object[..2]).join(&object)).unwrap();

    let store = open(dir.path());
    let (out, more) = (["out".to_owned()], ["out".to_owned(), "more".to_owned()]);
    let mut wanted: Vec<_> = names.iter().map(|name| (key(name), &out[..])).collect();
    wanted.extend(["large", "lost", "unknown"].map(|name| (key(name), &out[..])));
    wanted.extend([(key("8"), &more[..]), (key("9"), &[][..])]);
    let (hits, digests) = store.outputs(&wanted);
    assert_eq!((hits.len(), digests.len()), (wanted.len(), wanted.len()));
    for ((asked, names), (hit, digest)) in wanted.iter().zip(hits.iter().zip(&digests)).take(names.len() + 3) {
        let alone = store.hit(asked);
        assert_eq!(*hit, alone.is_some(), "{asked:?}");
        assert!(alone.is_none_or(|alone| alone.outputs == [(names[0].clone(), *digest)]));
    }
    assert_eq!(hits.iter().filter(|hit| !**hit).count(), 4, "one forgotten, one lost, one unknown, one without `more`");
    assert_eq!(hits[wanted.len() - 2..], [false, true], "none wanted of it is no miss");
    assert_eq!(store.stats().unwrap().results, 7_001);
}

#[test]
fn a_store_of_a_later_format_is_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("format"), "orchestrate store 3\n").unwrap();
    let before = tree(dir.path());
    for access in [Access::ReadWrite, Access::ReadOnly] {
        let message = Store::open(dir.path(), access).unwrap_err().to_string();
        assert!(message.contains("has format 3, and this program knows formats up to 2"), "{message}");
    }
    assert_eq!(tree(dir.path()), before);
}

#[test]
fn a_folder_of_something_else_is_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.tex"), "\\begin{document}").unwrap();
    let before = tree(dir.path());
    for access in [Access::ReadWrite, Access::ReadOnly] {
        assert!(matches!(Store::open(dir.path(), access), Err(StoreError::NotAStore { .. })));
    }
    assert_eq!(tree(dir.path()), before);
    fs::write(dir.path().join("format"), "something").unwrap();
    assert!(matches!(Store::open(dir.path(), Access::ReadWrite), Err(StoreError::NotAStore { .. })));
}

#[test]
fn a_new_store_is_tagged_as_a_cache() {
    let dir = tempfile::tempdir().unwrap();
    open(&dir.path().join("a/b"));
    let tag = fs::read_to_string(dir.path().join("a/b/CACHEDIR.TAG")).unwrap();
    assert!(tag.starts_with("Signature: 8a477f597d28d172789f06886806bc55"));
    assert_eq!(fs::read_to_string(dir.path().join("a/b/format")).unwrap(), "orchestrate store 2\n");
}

#[test]
fn a_key_is_found_by_its_first_digits() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for number in 0..40 {
        record(&store, &number.to_string(), b"1");
    }
    store.commit().unwrap();
    let hex = key("7").0.to_string();
    assert_eq!(store.find(&hex[..12]).unwrap(), key("7"));
    assert_eq!(store.find(&hex.to_uppercase()).unwrap(), key("7"));
    assert!(matches!(store.find(""), Err(StoreError::AmbiguousKey { .. })));
    let message = store.find(&format!("{}zz", &hex[..8])).unwrap_err().to_string();
    assert!(message.contains(&hex[..16]), "{message}");
}

#[test]
fn last_use_is_the_time_of_recording_until_a_run_touches_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    record(&store, "a", b"1");
    record(&store, "b", b"1");
    store.commit().unwrap();
    for _ in 0..3 {
        store.touch(&[key("a")]).unwrap();
    }
    let used: Vec<_> = open(dir.path()).results().map(|(key, _, used_ms)| (key, used_ms)).collect();
    assert_eq!(used.len(), 2);
    assert_eq!(used[0].0, key("a"));
    assert!(used[0].1 > 1_700_000_000_000);
    assert_eq!(used[1], (key("b"), 1_700_000_000_000));
}

#[test]
fn stats_count_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    record(&store, "a", b"1");
    record(&store, "b", b"1");
    record(&store, "c", &large(0));
    store.commit().unwrap();
    let stats = store.stats().unwrap();
    assert_eq!((stats.results, stats.artifacts, stats.small_blobs, stats.objects), (3, 2, 1, 1));
    assert_eq!((stats.packs, stats.object_bytes, stats.quarantined), (1, large(0).len() as u64, 0));
}

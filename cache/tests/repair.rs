//! Repair of a damaged store: lost results are misses, all others stay, and `verify` reports nothing afterwards.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{contents, key, large, open, record, result, tree};
use orchestrate_cache::{
    Access, CHECKPOINT_HEADER_BYTES, Checkpoints, Digest, FileDigests, GcPolicy, Pin, PutContent, Store, StoreError,
};
use proptest::prelude::*;

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn bytes_of(name: &str) -> Vec<u8> {
    match name {
        "c" | "e" => large(name.as_bytes()[0]),
        _ => name.repeat(20).into_bytes(),
    }
}

/// Makes a store with a file of every kind.
fn full_store(dir: &Path) {
    let old = open(dir);
    let (output, _) = old.put_artifact(vec![("file".to_owned(), PutContent::Bytes(b"old".to_vec()))]).unwrap();
    let mut of_long_ago = result("old", output);
    of_long_ago.recorded_ms = 1;
    old.put_result(&key("old"), of_long_ago).unwrap();
    old.gc(&GcPolicy { max_age: Some(Duration::from_secs(60)), ..GcPolicy::default() }).unwrap();
    // Two writers at once, so two packs.
    let new = open(dir);
    for (number, name) in NAMES.iter().enumerate() {
        let store = if number % 2 == 0 { &old } else { &new };
        record(store, name, &bytes_of(name));
        store.commit().unwrap();
    }
    new.touch(&NAMES.map(key)).unwrap();
    new.touch(&[key("a")]).unwrap();
    let checkpoints = Checkpoints::new(&new.checkpoint_dir(&key("later")), key("later"));
    checkpoints.save(1, vec![5; CHECKPOINT_HEADER_BYTES + 50]).unwrap();
    let keys = vec![key("a"), key("b")];
    new.pin(Pin { name: "paper".to_owned(), source: "run 1".to_owned(), pinned_ms: 1, keys }).unwrap();
    let digests = FileDigests::open(dir);
    digests.digest(&std::env::current_exe().unwrap()).unwrap();
    digests.save().unwrap();
}

/// Lists the results that a store serves, by name, and checks each against its record.
fn served(store: &Store) -> Vec<&'static str> {
    let is_served = |name: &&&'static str| {
        contents(store, name).is_some_and(|bytes| {
            assert_eq!(bytes, bytes_of(name), "wrong bytes of {name}");
            true
        })
    };
    NAMES.iter().filter(is_served).copied().collect()
}

fn damage(kind: u8, bytes: &[u8], place: usize) -> Option<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    match kind {
        0 if !bytes.is_empty() => {
            let at = place % bytes.len();
            bytes[at] ^= 1 << (place % 8);
        }
        1 => bytes.truncate(bytes.len() / 2),
        2 => bytes.fill(0),
        _ => return None,
    }
    Some(bytes)
}

fn apply(path: &Path, bytes: Option<&[u8]>) {
    fs::remove_file(path).unwrap();
    if let Some(bytes) = bytes {
        fs::write(path, bytes).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 32, max_shrink_iters: 16, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn damage_to_any_file_serves_no_wrong_byte_is_named_and_is_mended(
        file in any::<prop::sample::Index>(), kind in 0..4_u8, place in any::<usize>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        full_store(dir.path());
        let files = tree(dir.path());
        let (path, bytes) = file.get(&files);
        let damaged = damage(kind, bytes, place);
        apply(path, damaged.as_deref());
        let name = path.strip_prefix(dir.path()).unwrap().to_owned();
        let changed = damaged.as_ref().is_none_or(|damaged| damaged != bytes);
        let missable = ["last-use", "lineage", "stat-cache", "pack-ends", "gc.lock", "leases.d", "checkpoints", "pins"];
        // Needs of no live session, another count of collections, a time at which garbage is due.
        let harmless = ["tmp", "use.lock", "last-gc"].iter().any(|part| name.starts_with(part));
        let may_go = harmless || damaged.is_none() && missable.iter().any(|part| name.starts_with(part));

        match Store::open(dir.path(), Access::ReadWrite) {
            Ok(store) => {
                let before = served(&store);
                let report = store.verify().unwrap();
                let named: Vec<PathBuf> =
                    report.problems.iter().chain(&report.torn).map(|problem| problem.path.clone()).collect();
                // A missing object, or a blob that was just found corrupt, is named by the result that lacks it.
                let by_result = report.problems.iter().any(|problem| problem.message.contains("lacks blob"));
                let is_blob = name.starts_with("objects") || name.starts_with("packs");
                // A blob that a reader found corrupt is out of use before `verify` looks.
                let noticed = is_blob && before.len() < NAMES.len();
                prop_assert!(
                    named.contains(path) || (is_blob && by_result) || noticed || !changed || may_go,
                    "{name:?} {kind} is not named: {:?}", report.problems
                );
                let after = served(&store);
                prop_assert!(after.iter().all(|name| before.contains(name)));
            }
            Err(error) => {
                prop_assert!(matches!(error, StoreError::NotAStore { .. } | StoreError::NewerFormat { .. }), "{error}");
                prop_assert!(name.as_os_str() == "format");
            }
        }
        let newer = matches!(Store::open(dir.path(), Access::ReadOnly), Err(StoreError::NewerFormat { .. }));
        if newer {
            // A flip can make another number of it, which looks like a later format.
            return Ok(());
        }
        Store::repair(dir.path()).unwrap();
        let store = open(dir.path());
        let report = store.verify().unwrap();
        prop_assert!(report.problems.is_empty() && report.torn.is_empty(), "{name:?} {kind}: {report:?}");
        let kept = served(&store);
        for name in NAMES {
            prop_assert_eq!(store.hit(&key(name)).is_some(), kept.contains(&name), "{} is half there", name);
            record(&store, name, &bytes_of(name));
        }
        store.commit().unwrap();
        prop_assert_eq!(served(&open(dir.path())), NAMES.to_vec());
        prop_assert!(Store::open(dir.path(), Access::ReadWrite).unwrap().verify().unwrap().problems.is_empty());
    }
}

#[test]
fn repair_drops_results_that_lack_bytes_and_only_those() {
    let dir = tempfile::tempdir().unwrap();
    full_store(dir.path());
    let lost = open(dir.path()).locate(&Digest::of(&bytes_of("c"))).unwrap().path;
    fs::remove_file(&lost).unwrap();
    let report = Store::repair(dir.path()).unwrap();
    assert_eq!(report.dropped, ["score[name=c]"]);
    let store = open(dir.path());
    assert_eq!(served(&store), ["a", "b", "d", "e", "f"]);
    assert_eq!(store.recorded(&key("c")), None);
    let again = Store::repair(dir.path());
    assert!(matches!(again, Err(StoreError::InUse { .. })), "{again:?}");
    drop(store);
    let again = Store::repair(dir.path()).unwrap();
    assert!(again.problems.is_empty() && again.done.is_empty() && again.dropped.is_empty(), "{again:?}");
}

#[test]
fn a_pack_that_is_gone_or_cut_where_a_group_ends_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    let len = {
        let store = open(dir.path());
        record(&store, "a", b"1");
        store.commit().unwrap();
        let len = fs::metadata(common::only_pack(dir.path())).unwrap().len();
        record(&store, "b", b"2");
        store.commit().unwrap();
        len
    };
    let path = common::only_pack(dir.path());
    fs::File::options().write(true).open(&path).unwrap().set_len(len).unwrap();
    let problems = open(dir.path()).verify().unwrap().problems;
    assert!(
        problems.iter().any(|problem| problem.path == path && problem.message.contains("are left")),
        "{problems:?}"
    );
    fs::remove_file(&path).unwrap();
    let problems = open(dir.path()).verify().unwrap().problems;
    assert!(problems.iter().any(|problem| problem.path == path && problem.message.contains("is gone")), "{problems:?}");
    Store::repair(dir.path()).unwrap();
    assert!(open(dir.path()).verify().unwrap().problems.is_empty());
}

#[test]
fn a_store_of_a_newer_format_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    full_store(dir.path());
    fs::write(dir.path().join("format"), "orchestrate store 3\n").unwrap();
    let before = tree(dir.path());
    let refusals = [
        Store::open(dir.path(), Access::ReadWrite).map(drop),
        Store::open(dir.path(), Access::ReadOnly).map(drop),
        Store::repair(dir.path()).map(drop),
    ];
    for refusal in refusals {
        let error = refusal.unwrap_err();
        assert!(matches!(error, StoreError::NewerFormat { found: 3, .. }), "{error}");
        assert!(error.to_string().contains("use a newer orchestrate"), "{error}");
    }
    assert_eq!(tree(dir.path()), before);
}

#[test]
fn a_folder_that_is_no_store_is_not_repaired() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("format"), "of something else").unwrap();
    let before = tree(dir.path());
    assert!(matches!(Store::repair(dir.path()), Err(StoreError::NotAStore { .. })));
    assert_eq!(tree(dir.path()), before);
}

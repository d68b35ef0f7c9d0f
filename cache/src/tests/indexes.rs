//! Index files: stores that use them answer like stores that read everything.

use std::fs;
use std::path::{Path, PathBuf};

use crate::format::index_file::IndexFile;
use crate::format::index_writer::IndexWriter;
use crate::format::layout::Access;
use crate::lock::memory::lock;
use crate::store::{PutContent, Store};
use crate::tests::crash::{key, result};
use crate::upkeep::gc_report::GcPolicy;
use crate::value::artifact::OutputDigest;

fn open(dir: &Path) -> Store {
    Store::open(dir, Access::ReadWrite).unwrap()
}

/// Records results, each with a file of its own and one that all share.
fn record(store: &Store, names: std::ops::Range<usize>) {
    for name in names {
        let (name, contents) = (name.to_string(), PutContent::Bytes(format!("bytes of {name}").into_bytes()));
        let files = vec![("file".to_owned(), contents), ("same".to_owned(), PutContent::Bytes(b"same".to_vec()))];
        let (output, _) = store.put_artifact(files).unwrap();
        store.put_result(&key(&name), result(&name, output)).unwrap();
        if name.ends_with('7') {
            store.commit().unwrap();
        }
    }
    store.commit().unwrap();
}

fn output(store: &Store, name: usize) -> Option<OutputDigest> {
    let hit = store.hit(&key(&name.to_string()))?;
    let file = store.artifact(&hit.outputs[0].1).unwrap().files[0].digest;
    assert_eq!(store.read(&file).unwrap(), format!("bytes of {name}").into_bytes());
    assert_eq!(store.recorded(&key(&name.to_string())).unwrap().node, name.to_string());
    Some(hit.outputs[0].1)
}

/// Returns the names that are hits, and asserts that lookups of many and of one agree.
fn hits(store: &Store, names: std::ops::Range<usize>) -> Vec<usize> {
    let wanted: Vec<_> = names.clone().map(|name| (key(&name.to_string()), [String::from("out")])).collect();
    let wanted: Vec<_> = wanted.iter().map(|(key, names)| (*key, names.as_slice())).collect();
    let (found, digests) = store.outputs(&wanted);
    let check = |name: &usize| {
        let one = output(store, *name);
        let many = found[name - names.start].then(|| digests[name - names.start]);
        assert_eq!(one, many, "{name}");
        one.is_some()
    };
    names.clone().filter(check).collect()
}

fn index_files(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir.join("packs")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "index")).collect()
}

/// The number of records in memory.
fn in_memory(store: &Store) -> usize {
    store.index().packs.iter().map(|pack| pack.record_count()).sum()
}

#[test]
fn records_are_found_through_index_files_and_only_their_groups_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    record(&store, 0..500);
    store.extend_index(1).unwrap();
    assert_eq!((index_files(dir.path()).len(), in_memory(&store)), (1, 0));
    assert_eq!(hits(&store, 0..600), (0..500).collect::<Vec<_>>(), "as before");
    record(&store, 500..700);
    drop(store);
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let store = Store::open(dir.path(), access).unwrap();
        assert_eq!(in_memory(&store), 600, "the uncovered records");
        assert_eq!(hits(&store, 3..4), [3]);
        assert!(in_memory(&store) < 700, "one group more: {}", in_memory(&store));
        assert_eq!(hits(&store, 0..800), (0..700).collect::<Vec<_>>());
        assert_eq!(store.stats().unwrap().results, 700);
        let found = store.find(&key("7").0.to_string()[..9]).unwrap();
        assert_eq!(found, key("7"));
        assert_eq!(store.results().count(), 700);
    }
}

#[test]
fn a_known_result_is_not_recorded_twice() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    record(&store, 0..300);
    store.extend_index(1).unwrap();
    drop(store);
    let before = fs::read_dir(dir.path().join("packs")).unwrap().count();
    let store = open(dir.path());
    record(&store, 0..300);
    assert_eq!(store.index().packs.iter().map(|pack| pack.young).sum::<usize>(), 0);
    drop(store);
    assert_eq!(fs::read_dir(dir.path().join("packs")).unwrap().count(), before);
}

#[test]
fn small_index_files_are_merged_so_that_few_are_left() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for round in 0..40 {
        record(&store, round * 20..(round + 1) * 20);
        store.extend_index(1).unwrap();
        let files = index_files(dir.path()).len();
        assert!(files <= 4, "{files} files after {} rounds", round + 1);
    }
    assert_eq!(hits(&store, 0..900), (0..800).collect::<Vec<_>>());
    let others = open(dir.path());
    assert_eq!(hits(&others, 0..900), (0..800).collect::<Vec<_>>());
    assert_eq!(others.verify().unwrap().problems, []);
}

#[test]
fn a_lost_or_damaged_index_file_loses_nothing_and_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    record(&store, 0..400);
    store.extend_index(1).unwrap();
    drop(store);
    let [path] = &index_files(dir.path())[..] else { panic!("one file") };
    let whole = fs::read(path).unwrap();
    let all: Vec<_> = (0..400).collect();
    let places = (0..whole.len()).step_by(whole.len() / 60).map(Some).chain([None]);
    for place in places {
        fs::remove_file(path).unwrap();
        if let Some(place) = place {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x40;
            fs::write(path, bytes).unwrap();
        }
        assert_eq!(hits(&Store::open(dir.path(), Access::ReadOnly).unwrap(), 0..401), all, "{place:?}");
        assert_eq!(hits(&open(dir.path()), 0..401), all, "{place:?}");
    }
    for len in [0, 1, 100, 4096, whole.len() - 1] {
        let _ = fs::remove_file(path);
        fs::write(path, &whole[..len]).unwrap();
        assert_eq!(hits(&open(dir.path()), 0..401), all, "cut at {len}");
        let store = open(dir.path());
        let quick = store.verify_quickly().unwrap();
        let [problem] = &quick.problems[..] else { panic!("{:?}", quick.problems) };
        assert!(problem.path == *path && problem.message.contains("made again"), "{problem}");
        assert_eq!(store.verify().unwrap().problems, [], "it is removed");
    }
    fs::write(path, &whole[..100]).unwrap();
    let store = open(dir.path());
    store.extend_index(1).unwrap();
    assert!(!path.exists(), "one that cannot be opened makes room");
    assert_eq!((index_files(dir.path()).len(), in_memory(&store)), (1, 0));
    assert_eq!(hits(&store, 0..401), all);
}

#[test]
fn an_index_file_that_is_whole_and_hides_records_is_found_by_verify() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    record(&store, 0..100);
    store.extend_index(1).unwrap();
    let [path] = &index_files(dir.path())[..] else { panic!("one file") };
    let id = path.file_stem().unwrap().to_str().unwrap();
    let file = IndexFile::open(id, path.clone()).unwrap();
    let mut liar = IndexWriter::begin(&dir.path().join("tmp"), id, file.header.packs.clone(), 1000).unwrap();
    for entry in file.scan().map(Result::unwrap).skip(10) {
        liar.push(entry).unwrap();
    }
    liar.finish(&dir.path().join("packs")).unwrap();
    drop(store);
    let is_hidden =
        |name: &usize| hits(&Store::open(dir.path(), Access::ReadOnly).unwrap(), *name..name + 1).is_empty();
    assert!((0..100).any(|name| is_hidden(&name)));
    let store = open(dir.path());
    assert_eq!(store.verify_quickly().unwrap().problems, [], "no page is damaged");
    let [problem] = &store.verify().unwrap().problems[..] else { panic!("one problem") };
    assert!(problem.message.contains("does not have the records of 1 of its packs"), "{problem}");
    let store = open(dir.path());
    assert_eq!(hits(&store, 0..100), (0..100).collect::<Vec<_>>());
    assert_eq!(store.verify().unwrap().problems, []);
}

#[test]
fn collected_results_stay_collected_whether_their_tombstones_are_covered_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    record(&store, 0..300);
    store.extend_index(1).unwrap();
    for name in (0..300).step_by(3) {
        store.forget_result(&key(&name.to_string()));
    }
    let left: Vec<_> = (0..300).filter(|name| name % 3 != 0).collect();
    assert_eq!(hits(&store, 0..300), left);
    assert_eq!(hits(&open(dir.path()), 0..300), left, "tombstones without an index file");
    store.extend_index(1).unwrap();
    assert_eq!(hits(&store, 0..300), left);
    let other = open(dir.path());
    assert_eq!(hits(&other, 0..300), left, "tombstones in an index file");
    assert_eq!(other.results().count(), left.len());
    record(&store, 0..300);
    assert_eq!(hits(&store, 0..300), (0..300).collect::<Vec<_>>(), "recorded again");
    assert_eq!(hits(&open(dir.path()), 0..300), (0..300).collect::<Vec<_>>());
}

#[test]
fn a_collection_rewrites_packs_and_their_index_files() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    record(&store, 0..400);
    store.extend_index(1).unwrap();
    for name in 0..300 {
        store.forget_result(&key(&name.to_string()));
    }
    store.extend_index(1).unwrap();
    let policy = GcPolicy { max_size_bytes: Some(1 << 30), ..GcPolicy::default() };
    assert_eq!(store.gc(&policy).unwrap().packs, 1);
    let left: Vec<_> = (300..400).collect();
    assert_eq!(hits(&store, 0..400), left);
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.index().missing(&Default::default(), &store.layout), []);
    assert_eq!(hits(&store, 0..400), left);
    store.extend_index(1).unwrap();
    assert_eq!(hits(&store, 0..400), left);
    assert_eq!(store.verify().unwrap().problems, []);
}

#[test]
fn a_covered_pack_that_is_gone_cut_or_damaged_is_missed_and_named() {
    for damage in ["gone", "cut", "changed"] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        record(&store, 0..100);
        store.extend_index(1).unwrap();
        let pack = store.index().packs[0].path.clone();
        drop(store);
        let bytes = fs::read(&pack).unwrap();
        match damage {
            "gone" => fs::remove_file(&pack).unwrap(),
            "cut" => fs::write(&pack, &bytes[..bytes.len() / 2]).unwrap(),
            // All headers of the groups in the middle.
            _ => {
                fs::write(&pack, [&bytes[..2000], &vec![7; bytes.len() - 4000], &bytes[bytes.len() - 2000..]].concat())
                    .unwrap()
            }
        }
        let store = open(dir.path());
        let left = hits(&store, 0..100);
        assert!(left.len() < 70, "{damage}: {left:?}");
        assert!(!store.verify().unwrap().problems.is_empty(), "{damage}");
        record(&store, 0..100);
        drop(store);
        Store::repair(dir.path()).unwrap();
        let store = open(dir.path());
        store.extend_index(1).unwrap();
        assert_eq!(hits(&store, 0..100), (0..100).collect::<Vec<_>>(), "{damage}");
        assert_eq!(store.verify().unwrap().problems, [], "{damage}");
    }
}

#[test]
fn processes_that_write_beside_each_other_find_everything_of_each_other() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let dir = dir.path();
            scope.spawn(move || {
                for round in 0..6 {
                    let store = open(dir);
                    let from = writer * 600 + round * 100;
                    record(&store, from..from + 100);
                    store.extend_index(1).unwrap();
                    assert_eq!(hits(&store, writer * 600..from + 100).len(), round * 100 + 100);
                }
            });
        }
    });
    let store = open(dir.path());
    assert_eq!(hits(&store, 0..2500), (0..2400).collect::<Vec<_>>());
    store.extend_index(1).unwrap();
    assert_eq!(hits(&store, 0..2500), (0..2400).collect::<Vec<_>>());
    assert_eq!(store.verify().unwrap().problems, []);
}

#[test]
fn many_short_packs_are_sealed_and_nobody_opens_them_again() {
    let dir = tempfile::tempdir().unwrap();
    let stores: Vec<_> = (0..12).map(|_| open(dir.path())).collect();
    stores.iter().zip(0..).for_each(|(store, number)| record(store, number * 10..number * 10 + 10));
    assert_eq!(stores[0].layout.pack_ids().unwrap().len(), 12);
    stores[0].refresh().unwrap();
    stores[0].extend_index(1).unwrap();
    assert_eq!(stores[0].index().packs.iter().filter(|pack| pack.is_sealed()).count(), 0, "each has its writer");
    drop(stores);
    let store = open(dir.path());
    store.extend_index(1 << 20).unwrap();
    assert_eq!(store.index().packs.iter().filter(|pack| pack.is_done()).count(), 4);
    assert_eq!(hits(&store, 0..120), (0..120).collect::<Vec<_>>());
    record(&store, 120..200);
    drop(store);
    let store = open(dir.path());
    let done: Vec<_> = store.index().packs.iter().filter(|pack| pack.is_done()).map(|pack| pack.end).collect();
    let lens = store
        .index()
        .packs
        .iter()
        .filter(|pack| pack.is_done())
        .map(|pack| pack.path.metadata().unwrap().len())
        .collect::<Vec<_>>();
    assert_eq!(done, lens, "nothing was appended");
    assert_eq!(hits(&store, 0..300), (0..200).collect::<Vec<_>>());
    assert_eq!(store.verify().unwrap().problems, []);
    assert_eq!(store.gc(&GcPolicy::default()).unwrap().packs, 0, "a seal is no dead record");
}

#[test]
fn a_large_store_within_its_limits_is_not_read_for_a_collection() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    record(&store, 0..300);
    store.extend_index(1).unwrap();
    let policy = |max_size_bytes, max_age_ms| GcPolicy {
        max_size_bytes,
        max_age: Some(std::time::Duration::from_millis(max_age_ms)),
        ..GcPolicy::default()
    };
    // All were recorded at 1.
    let is_within = |policy: &GcPolicy, least| store.bytes_within(policy, &[], 1000, least).unwrap().is_some();
    assert!(is_within(&policy(Some(1 << 30), 5000), 900) && is_within(&policy(None, 5000), 900));
    assert!(!is_within(&policy(Some(1 << 30), 5000), 902), "a small store is read all the same");
    assert!(!is_within(&policy(Some(1000), 5000), 900) && !is_within(&policy(Some(1 << 30), 998), 900));
    assert!(!is_within(&GcPolicy::default(), 900), "bytes without a result are all that goes without limits");
    let policy = policy(Some(1 << 30), 5000);
    let bytes = store.bytes_within(&policy, &[], 1000, 900).unwrap().unwrap();
    let plan = store.plan_within(&policy, &[], 1000, false, bytes).unwrap();
    assert!(plan.objects.is_empty() && plan.packs.is_empty() && plan.report.bytes_kept > 10_000);
    assert_eq!(in_memory(&store), 0);
}

#[test]
fn many_short_packs_are_written_anew_as_one() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..9 {
        let stores: Vec<_> = (0..9).map(|_| open(dir.path())).collect();
        let first = |number: usize| round * 90 + number * 10;
        stores.iter().enumerate().for_each(|(number, store)| record(store, first(number)..first(number) + 10));
        drop(stores);
        let store = open(dir.path());
        store.refresh().unwrap();
        let ids: Vec<_> = store.index().packs.iter().map(|pack| pack.id.clone()).collect();
        crate::records::seal::seal(&store.layout, store.index_lock(), &ids).unwrap();
    }
    let store = open(dir.path());
    store.extend_index(1).unwrap();
    assert_eq!(store.layout.pack_ids().unwrap().len(), 81);
    assert_eq!(store.gc(&GcPolicy::default()).unwrap().packs, 81);
    assert_eq!(store.layout.pack_ids().unwrap().len(), 1);
    assert_eq!(hits(&store, 0..900), (0..810).collect::<Vec<_>>());
    assert_eq!(hits(&open(dir.path()), 0..900), (0..810).collect::<Vec<_>>());
    assert_eq!(store.verify().unwrap().problems, []);
}

#[test]
fn groups_that_were_read_for_lookups_leave_the_memory_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    record(&store, 0..3500);
    store.extend_index(1).unwrap();
    let mut most = 0;
    for name in (0..3500).chain(0..500) {
        assert!(output(&store, name).is_some(), "{name}");
        most = most.max(store.index().packs.iter().map(|pack| pack.fetched()).sum());
    }
    assert!((200..270).contains(&most), "{most} groups of 351");
    let digests: Vec<_> = (0..3500).map(|name| output(&store, name).unwrap()).collect();
    assert!(store.have_file(&digests, "same").into_iter().all(|has| has));
    assert!(!store.have_file(&digests, "other").into_iter().any(|has| has));
    assert_eq!(hits(&store, 0..3600), (0..3500).collect::<Vec<_>>());
}

/// Records the names with other bytes than [`record`].
fn record_others(store: &Store, names: std::ops::Range<usize>) {
    for name in names {
        let (name, contents) = (name.to_string(), PutContent::Bytes(format!("others of {name}").into_bytes()));
        let (output, _) = store.put_artifact(vec![("file".to_owned(), contents)]).unwrap();
        store.put_result(&key(&name), result(&name, output)).unwrap();
    }
    store.commit().unwrap();
}

#[test]
fn rivals_are_chosen_alike_whether_index_files_cover_one_both_or_none() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (dir, record) in [(&one, record as fn(&Store, std::ops::Range<usize>)), (&other, record_others)] {
        let store = open(dir.path());
        record(&store, 0..400);
        store.extend_index(1).unwrap();
    }
    let used = |names: &[(&tempfile::TempDir, &str)], extend: bool| {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path()));
        for (from, kind) in names {
            for entry in fs::read_dir(from.path().join("packs")).unwrap().map(Result::unwrap) {
                let name = entry.file_name();
                if name.to_str().unwrap().ends_with(kind) {
                    fs::copy(entry.path(), dir.path().join("packs").join(name)).unwrap();
                }
            }
        }
        let mut store = open(dir.path());
        if extend {
            store.extend_index(1).unwrap();
            drop(store);
            store = open(dir.path());
        }
        let outputs = |name: usize| store.hit(&key(&name.to_string())).unwrap().outputs[0].1;
        let outputs: Vec<_> = (0..400).map(outputs).collect();
        assert_eq!(lock(&store.index().rivals).len(), 400);
        outputs
    };
    let none = used(&[(&one, ".pack"), (&other, ".pack")], false);
    assert_eq!(used(&[(&one, ".pack"), (&other, ".pack")], true), none, "one file covers both");
    assert_eq!(used(&[(&one, "x"), (&one, ".pack"), (&other, "x"), (&other, ".pack")], false), none, "a file each");
    assert_eq!(used(&[(&one, "x"), (&one, ".pack"), (&other, ".pack")], false), none, "one is covered");
    assert_eq!(used(&[(&other, "x"), (&one, ".pack"), (&other, ".pack")], false), none, "the other is");
}

#[test]
fn an_index_file_of_a_copy_that_went_another_way_is_not_believed() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    record(&open(dir.path()), 0..50);
    drop(open(copy.path()));
    let pack = open(dir.path()).layout.pack_ids().unwrap().remove(0);
    let path = |dir: &tempfile::TempDir| dir.path().join("packs").join(format!("{pack}.pack"));
    fs::copy(path(&dir), path(&copy)).unwrap();
    record(&open(dir.path()), 50..100);
    let store = open(copy.path());
    record(&store, 200..280);
    store.extend_index(1).unwrap();
    drop(store);
    for file in index_files(copy.path()) {
        fs::copy(&file, dir.path().join("packs").join(file.file_name().unwrap())).unwrap();
    }
    let store = open(dir.path());
    assert_eq!(hits(&store, 0..300), (0..100).collect::<Vec<_>>());
    record(&store, 100..150);
    assert_eq!(hits(&open(dir.path()), 0..300), (0..150).collect::<Vec<_>>());
    assert_eq!(store.verify().unwrap().torn, []);
}

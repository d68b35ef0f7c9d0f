//! Several stores on one folder, in one process and in several.

mod common;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{contents, key, large, open, record};
use orchestrate_cache::{Access, Digest, Store};

#[test]
fn a_neighbours_results_are_seen_after_a_refresh() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (open(dir.path()), open(dir.path()));
    let reader = Store::open(dir.path(), Access::ReadOnly).unwrap();
    for round in 0..5 {
        let names = [format!("one-{round}"), format!("two-{round}")];
        for (store, name) in [&one, &two].into_iter().zip(&names) {
            record(store, name, name.as_bytes());
            record(store, &format!("large-{name}"), &large(round));
            store.commit().unwrap();
        }
        assert_eq!(reader.hit(&key(&names[0])), None);
        for store in [&one, &two, &reader] {
            store.refresh().unwrap();
            for name in &names {
                assert_eq!(contents(store, name).unwrap(), name.as_bytes());
                assert_eq!(contents(store, &format!("large-{name}")).unwrap(), large(round));
            }
        }
    }
    assert_eq!(open(dir.path()).stats().unwrap().packs, 2, "one for each writer");
}

#[test]
fn a_result_that_a_neighbour_recorded_first_wins() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (open(dir.path()), open(dir.path()));
    record(&one, "a", b"one");
    one.commit().unwrap();
    two.refresh().unwrap();
    record(&two, "a", b"two");
    two.commit().unwrap();
    assert_eq!(contents(&two, "a").unwrap(), b"one");
    assert_eq!(contents(&open(dir.path()), "a").unwrap(), b"one");
}

#[test]
fn of_two_results_for_one_key_all_readers_choose_the_same_and_verify_names_them() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (open(dir.path()), open(dir.path()));
    let outputs = [("one", &one), ("two", &two)].map(|(bytes, store)| record(store, "a", bytes.as_bytes()));
    let outputs = outputs.map(|output| vec![("out".to_owned(), output)]);
    one.commit().unwrap();
    two.commit().unwrap();
    for store in [&one, &two] {
        assert_eq!(store.warn_of_rivals(), None);
        store.refresh().unwrap();
    }
    let chosen = outputs.iter().min().unwrap();
    let reader = Store::open(dir.path(), Access::ReadOnly).unwrap();
    for store in [&one, &two, &open(dir.path()), &reader] {
        assert_eq!(store.hit(&key("a")).unwrap().outputs, *chosen);
        let warning = store.warn_of_rivals().unwrap();
        assert!(warning.contains("different outputs for a key"), "{warning}");
        assert_eq!(
            outputs.each_ref().map(|own| store.served(&key("a"), own, false).unwrap()),
            outputs.each_ref().map(|own| own == chosen)
        );
    }
    let rivals = open(dir.path()).verify().unwrap();
    assert_eq!((rivals.rivals.len(), rivals.problems.len()), (1, 0));
    assert!(rivals.rivals[0].message.contains("the result of score[name=a]"), "{:?}", rivals.rivals);
}

#[test]
fn a_result_of_a_holder_that_was_taken_for_dead_goes_if_there_is_another() {
    let dir = tempfile::tempdir().unwrap();
    let (slow, quick) = (open(dir.path()), open(dir.path()));
    let lost = vec![("out".to_owned(), record(&slow, "a", b"slow"))];
    let alone = vec![("out".to_owned(), record(&slow, "b", b"slow"))];
    slow.commit().unwrap();
    let kept = vec![("out".to_owned(), record(&quick, "a", b"quick"))];
    quick.commit().unwrap();
    slow.refresh().unwrap();
    assert!(!slow.served(&key("a"), &lost, true).unwrap());
    assert!(slow.served(&key("b"), &alone, true).unwrap(), "nobody else has recorded one");
    for store in [&slow, &open(dir.path())] {
        assert_eq!(store.hit(&key("a")).unwrap().outputs, kept);
        assert_eq!(store.hit(&key("b")).unwrap().outputs, alone);
        assert_eq!(store.warn_of_rivals(), None);
    }
}

#[test]
fn a_lease_excludes_stores_and_threads_until_it_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (open(dir.path()), open(dir.path()));
    let lease = one.try_lease(&key("a")).unwrap().unwrap();
    assert_eq!(lease.key(), key("a"));
    assert!(one.try_lease(&key("a")).unwrap().is_none());
    assert!(two.try_lease(&key("a")).unwrap().is_none());
    assert!(two.try_lease(&key("b")).unwrap().is_some());
    drop(lease);
    let lease = two.try_lease(&key("a")).unwrap().unwrap();
    assert!(one.try_lease(&key("a")).unwrap().is_none());
    drop(two);
    assert!(one.try_lease(&key("a")).unwrap().is_none(), "a lease outlives its store");
    drop(lease);
    assert!(one.try_lease(&key("a")).unwrap().is_some());
}

#[test]
fn who_computes_a_key_is_told_to_those_who_wait_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (open(dir.path()), open(dir.path()));
    let _lease = one.try_lease(&key("a")).unwrap().unwrap();
    assert_eq!(one.who_computes(&key("a")), "another node of this run, with the same key");
    if cfg!(target_os = "linux") {
        assert_eq!(two.who_computes(&key("a")), "this process itself");
        assert!(two.who_computes(&key("b")).contains("cannot be seen from here"));
    }
}

#[test]
fn threads_that_commit_together_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for number in 0..50 {
                    let name = format!("{thread}-{number}");
                    record(store, &name, name.as_bytes());
                    store.commit().unwrap();
                    assert_eq!(contents(store, &name).unwrap(), name.as_bytes(), "durable means visible");
                }
            });
        }
    });
    let store = open(dir.path());
    assert_eq!(store.stats().unwrap().results, 400);
    assert!(store.verify().unwrap().problems.is_empty());
}

/// Runs one of the tests below in a process of its own.
fn child(test: &str, dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env("STORE_OF_CHILD", dir)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn store_of_child() -> Option<Store> {
    Some(open(Path::new(&std::env::var_os("STORE_OF_CHILD")?)))
}

#[test]
fn four_processes_of_four_threads_produce_each_key_exactly_once() {
    let dir = tempfile::tempdir().unwrap();
    let children: Vec<_> = (0..4).map(|_| child("child_produces_all_keys", dir.path())).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let produced = fs::read_to_string(dir.path().join("runs/produced")).unwrap();
    let mut produced: Vec<_> = produced.lines().collect();
    produced.sort_unstable();
    let mut expected: Vec<_> = (0..100).map(|number| number.to_string()).collect();
    expected.sort_unstable();
    assert_eq!(produced, expected);
    let store = open(dir.path());
    assert!(expected.iter().all(|name| contents(&store, name).unwrap() == name.as_bytes()));
}

#[test]
#[ignore = "a part of four_processes_of_four_threads_produce_each_key_exactly_once"]
fn child_produces_all_keys() {
    let Some(store) = store_of_child() else { return };
    let log = store.runs_dir().join("produced");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (store, log) = (&store, &log);
            scope.spawn(move || {
                for number in 0..100 {
                    produce(store, &((number * 7 + thread * 25) % 100).to_string(), log);
                }
            });
        }
    });
}

/// Produces a key like the engine: look up, take the lease, look up again, work, record, commit, release.
fn produce(store: &Store, name: &str, log: &Path) {
    while store.hit(&key(name)).is_none() {
        let Some(_lease) = store.try_lease(&key(name)).unwrap() else {
            std::thread::yield_now();
            store.refresh().unwrap();
            continue;
        };
        store.refresh().unwrap();
        if store.hit(&key(name)).is_none() {
            let mut log = OpenOptions::new().append(true).create(true).open(log).unwrap();
            log.write_all(format!("{name}\n").as_bytes()).unwrap();
            record(store, name, name.as_bytes());
            store.commit().unwrap();
        }
    }
}

#[test]
fn what_a_killed_process_held_is_free_and_what_it_left_is_swept() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut child = child("child_holds_a_lease_until_it_is_killed", dir.path());
    let started = dir.path().join("runs/started");
    while !started.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(store.try_lease(&key("a")).unwrap().is_none());
    let folders = || {
        let names = fs::read_dir(dir.path().join("tmp")).unwrap().map(|entry| entry.unwrap().path());
        names.filter(|path| path.is_dir()).count()
    };
    assert_eq!(folders(), 1, "that of the child");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(store.try_lease(&key("a")).unwrap().is_some());
    let again = open(dir.path());
    assert_eq!(folders(), 0, "that of the dead is gone");
    // The pack of the dead process is taken over.
    record(&again, "b", b"2");
    again.commit().unwrap();
    assert_eq!(again.stats().unwrap().packs, 1);
    assert_eq!(contents(&again, "committed").unwrap(), b"1");
    assert!(again.locate(&Digest::of(b"not committed")).is_none());
}

#[test]
#[ignore = "a part of what_a_killed_process_held_is_free_and_what_it_left_is_swept"]
fn child_holds_a_lease_until_it_is_killed() {
    let Some(store) = store_of_child() else { return };
    record(&store, "committed", b"1");
    store.commit().unwrap();
    record(&store, "not", b"not committed");
    let _lease = store.try_lease(&key("a")).unwrap().unwrap();
    let _scratch = store.scratch().unwrap();
    fs::write(store.runs_dir().join("started"), "").unwrap();
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

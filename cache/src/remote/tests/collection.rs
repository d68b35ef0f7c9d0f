//! Collections in a remote.

use std::time::Duration;

use super::{LARGE, Machine, key};
use crate::remote::client::{Mode, Remote};
use crate::remote::collect::{CollectError, RemoteCollection, RemotePolicy};
use crate::remote::fake::{Fake, Fault};
use crate::upkeep::pin::Pin;

const DAY: u64 = 86_400_000;

fn collect(remote: &Remote, machine: &Machine, days: u64) -> RemoteCollection {
    let policy = RemotePolicy::new(Duration::from_millis(days * DAY), false);
    remote.collect(&machine.store, &policy).unwrap()
}

/// Results of day 0, 20 and 40; it is day 50.
fn aged() -> (Fake, Machine) {
    let (bucket, one) = (Fake::new(), Machine::new());
    for name in ["0", "20", "40"] {
        let keys = [one.record(name, LARGE)];
        one.upload(&bucket.remote(Mode::ReadWrite), &keys);
        bucket.pass(20 * DAY);
    }
    bucket.world(|world| world.now_ms -= 10 * DAY);
    (bucket, one)
}

#[test]
fn old_results_go_first_and_their_bytes_a_day_later() {
    let (bucket, one) = aged();
    let remote = bucket.remote(Mode::ReadWrite);
    let late = Machine::new();
    let slow = bucket.remote(Mode::Read);
    assert_eq!(late.fetch(&slow, &[key("x")]), 0, "it has a catalogue of before");
    let dry = RemotePolicy::new(Duration::from_millis(20 * DAY), true);
    let names = bucket.names("v1/");
    let planned = remote.collect(&one.store, &dry).unwrap();
    assert_eq!((planned.results, planned.kept, bucket.names("v1/")), (2, 1, names));
    let done = collect(&remote, &one, 20);
    assert_eq!((done.results, done.kept, done.objects), (2, 1, 0));
    assert_eq!((bucket.names("v1/index").len(), bucket.names("v1/packs").len()), (1, 3));
    assert_eq!(late.fetch(&slow, &[key("0")]), 1, "who has just found it can still read it");
    let new = Machine::new();
    assert_eq!(new.fetch(&bucket.remote(Mode::Read), &["0", "20", "40"].map(key)), 1);
    bucket.pass(DAY / 2);
    assert_eq!(collect(&remote, &one, 20).objects, 0);
    bucket.pass(DAY);
    let done = collect(&remote, &one, 20);
    assert_eq!((done.results, done.objects, done.bytes_waiting), (0, 4, 0));
    assert_eq!((bucket.names("v1/packs").len(), bucket.names("v1/objects").len()), (1, 1));
    assert!(bucket.names("v1/trash").is_empty());
    // A catalogue of before leads to nothing: misses, told of, and then a whole list.
    let stale = bucket.remote(Mode::Read);
    assert_eq!(new.fetch(&stale, &[key("40")]), 1);
    assert!(new.has("40", LARGE));
}

#[test]
fn bytes_that_are_gone_for_an_old_catalogue_are_misses_and_are_listed_anew() {
    let (bucket, one) = aged();
    let two = Machine::new();
    two.fetch(&bucket.remote(Mode::Read), &[key("x")]);
    let remote = bucket.remote(Mode::ReadWrite);
    collect(&remote, &one, 20);
    bucket.pass(2 * DAY);
    collect(&remote, &one, 20);
    let reader = bucket.remote(Mode::Read);
    assert_eq!(two.fetch(&reader, &[key("0")]), 0);
    assert_eq!(reader.counts().unwrap().failed, 1);
    assert_eq!(two.fetch(&reader, &[key("0")]), 0);
    assert_eq!(reader.counts().unwrap().failed, 1, "the catalogue forgot it");
}

#[test]
fn a_list_that_lacks_indexes_deletes_nothing() {
    let (bucket, one) = aged();
    assert_eq!(one.fetch(&bucket.remote(Mode::Read), &[key("x")]), 0, "now it knows the indexes");
    let names = || ["v1/packs", "v1/objects", "v1/index"].map(|folder| bucket.names(folder));
    let (before, first) = (names(), bucket.names("v1/index")[0].clone());
    let second_day = bucket.world(|world| world.objects[&first].1) + DAY;
    let policy = RemotePolicy::new(Duration::from_millis(100 * DAY), false);
    let stranger = Machine::new();
    // A list without any, or without some; once, or always. Nobody can tell a stranger that some are always left out.
    let cases = [(&one, 0, 1), (&one, 0, 9), (&one, second_day, 1), (&one, second_day, 9)];
    for (machine, since, times) in cases.into_iter().chain([(&stranger, 0, 1), (&stranger, 0, 9)]) {
        let mut lists = 0;
        bucket.faulty(move |verb, name| {
            let is_list = verb == "list" && name == "v1/index";
            lists += u32::from(is_list);
            (is_list && lists <= times).then_some(Fault::Late(since))
        });
        let outcome = bucket.remote(Mode::ReadWrite).collect(&machine.store, &policy);
        assert!(outcome.is_err() && names() == before, "{since} {times}: {outcome:?}");
    }
}

#[test]
fn pinned_results_stay_and_so_does_what_is_being_uploaded() {
    let (bucket, one) = aged();
    let pin = Pin { name: "paper".to_owned(), source: "x".to_owned(), pinned_ms: 1, keys: vec![key("0")] };
    one.store.pin(pin).unwrap();
    bucket.world(|world| {
        let now_ms = world.now_ms;
        world.objects.insert("v1/packs/young".to_owned(), (vec![1], now_ms - DAY / 2));
        world.objects.insert("v1/packs/old".to_owned(), (vec![1], now_ms - 2 * DAY));
    });
    let done = collect(&bucket.remote(Mode::ReadWrite), &one, 20);
    assert_eq!((done.results, done.kept, done.objects), (1, 2, 1), "an upload that was killed left the old one");
    assert!(bucket.names("v1/packs/young").len() == 1 && bucket.names("v1/packs/old").is_empty());
    assert_eq!(Machine::new().fetch(&bucket.remote(Mode::Read), &["0", "20", "40"].map(key)), 2);
}

#[test]
fn small_indexes_become_one_and_readers_follow() {
    let (bucket, one, two) = (Fake::new(), Machine::new(), Machine::new());
    let names: Vec<_> = (0..40).map(|number| number.to_string()).collect();
    for name in &names {
        let keys = [one.record(name, 10)];
        one.upload(&bucket.remote(Mode::ReadWrite), &keys);
        bucket.pass(1000);
    }
    assert_eq!(two.fetch(&bucket.remote(Mode::Read), &[key("1")]), 1);
    assert_eq!(collect(&bucket.remote(Mode::ReadWrite), &one, 20).joined, 40);
    assert_eq!(bucket.names("v1/index").len(), 1);
    let keys: Vec<_> = names.iter().map(|name| key(name)).collect();
    assert_eq!(two.fetch(&bucket.remote(Mode::Read), &keys), 40);
    assert_eq!(Machine::new().fetch(&bucket.remote(Mode::Read), &keys), 40);
    assert_eq!(collect(&bucket.remote(Mode::ReadWrite), &one, 20).joined, 0);
}

#[test]
fn a_collection_that_ends_anywhere_deletes_nothing_that_is_named() {
    for last in 0..60 {
        let (bucket, one) = aged();
        let mut calls = 0;
        bucket.faulty(move |_, _| {
            calls += 1;
            (calls > last).then_some(Fault::Error(crate::remote::BucketError::Stopped))
        });
        let policy = RemotePolicy::new(Duration::from_millis(20 * DAY), false);
        let ended = bucket.remote(Mode::ReadWrite).collect(&one.store, &policy);
        bucket.sound();
        bucket.pass(2 * DAY);
        let remote = bucket.remote(Mode::Read);
        let found = Machine::new().fetch(&remote, &["0", "20", "40"].map(key));
        assert!(found >= 1 && remote.counts().unwrap().failed == 0, "after {last} calls");
        collect(&bucket.remote(Mode::ReadWrite), &one, 20);
        bucket.pass(2 * DAY);
        collect(&bucket.remote(Mode::ReadWrite), &one, 20);
        assert_eq!((bucket.names("v1/index").len(), bucket.names("v1/packs").len()), (1, 1), "after {last} calls");
        if ended.is_ok() {
            return;
        }
    }
    panic!("it never ends");
}

#[test]
fn nothing_is_deleted_if_an_index_cannot_be_read_or_the_project_only_reads() {
    let (bucket, one) = aged();
    let names = bucket.names("v1/");
    let policy = RemotePolicy::new(Duration::ZERO, false);
    let refused = bucket.remote(Mode::Read).collect(&one.store, &policy);
    assert!(matches!(refused, Err(CollectError::ReadOnly)));
    let last = bucket.names("v1/index").pop().unwrap();
    let failed = crate::remote::BucketError::Failed("no answer".to_owned());
    bucket.faulty(move |verb, name| (verb == "get" && name == last).then(|| Fault::Error(failed.clone())));
    assert!(bucket.remote(Mode::ReadWrite).collect(&one.store, &policy).is_err());
    assert_eq!(bucket.names("v1/"), names);
}

//! Faults of a server: whatever it does, no wrong byte is served, and nothing is named that is not there.

use super::{LARGE, Machine, contents, key};
use crate::remote::bucket::BucketError;
use crate::remote::client::Mode;
use crate::remote::fake::{Fake, Fault};

fn failed() -> Fault {
    Fault::Error(BucketError::Failed("no answer".to_owned()))
}

/// A bucket with the results `a` and `b`, and a machine without them.
fn filled() -> (Fake, Machine, Machine) {
    let (bucket, one, two) = (Fake::new(), Machine::new(), Machine::new());
    let keys = [one.record("a", LARGE), one.record("b", 10)];
    one.upload(&bucket.remote(Mode::ReadWrite), &keys);
    (bucket, one, two)
}

#[test]
fn a_server_that_does_not_answer_is_told_of_once_and_asked_no_more() {
    let (bucket, _, two) = filled();
    bucket.faulty(|_, _| Some(failed()));
    let remote = bucket.remote(Mode::ReadWrite);
    for _ in 0..3 {
        assert_eq!(two.fetch(&remote, &[key("a")]), 0);
    }
    let keys = [two.record("c", 10)];
    bucket.calls();
    two.upload(&remote, &keys);
    assert!(bucket.calls().is_empty());
    let warnings = remote.take_warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("only this store is: no answer"), "{warnings:?}");
    assert_eq!(remote.counts().unwrap().left, 1);
}

#[test]
fn bytes_that_are_wrong_or_cut_off_are_misses_that_are_told_of_and_counted() {
    for fault in [Fault::Cut, Fault::Flip] {
        for part in ["v1/index", "v1/packs", "v1/objects"] {
            let (bucket, _, two) = filled();
            let wrong = fault.clone();
            bucket.faulty(move |verb, name| (verb == "get" && name.starts_with(part)).then(|| wrong.clone()));
            let remote = bucket.remote(Mode::Read);
            two.fetch(&remote, &[key("a"), key("b")]);
            assert!(!two.has("a", LARGE), "{part}");
            assert_eq!(two.has("b", 10), part == "v1/objects");
            let warnings = remote.take_warnings();
            assert!(remote.counts().unwrap().failed > 0 && warnings[0].contains("not used"), "{warnings:?}");
            // Another process gets them once the server is well.
            bucket.sound();
            assert!(two.fetch(&bucket.remote(Mode::Read), &[key("a"), key("b")]) > 0);
            assert!(two.has("a", LARGE) && two.has("b", 10));
            assert!(two.store.verify().unwrap().problems.is_empty());
        }
    }
}

#[test]
fn a_result_whose_bytes_are_gone_is_a_miss_and_is_put_again_by_whoever_computes_it() {
    for part in ["v1/packs", "v1/objects"] {
        let (bucket, _, two) = filled();
        bucket.names(part).iter().for_each(|name| drop(bucket.world(|world| world.objects.remove(name))));
        let remote = bucket.remote(Mode::ReadWrite);
        assert_eq!(two.fetch(&remote, &[key("a")]), 0);
        assert_eq!(remote.counts().unwrap().failed, 1);
        let keys = [two.record("a", LARGE)];
        bucket.pass(1000);
        two.upload(&remote, &keys);
        assert_eq!(remote.counts().unwrap().uploads, 1);
        let three = Machine::new();
        let remote = bucket.remote(Mode::Read);
        assert_eq!(three.fetch(&remote, &keys), 1);
        assert!(three.has("a", LARGE), "the newest place is asked first");
        assert_eq!(remote.counts().unwrap().failed, 0);
    }
}

#[test]
fn what_a_list_shows_late_is_found_later() {
    let (bucket, one, two) = filled();
    bucket.pass(60_000);
    let keys = [one.record("c", 10)];
    one.upload(&bucket.remote(Mode::ReadWrite), &keys);
    let late = bucket.world(|world| world.now_ms);
    bucket.faulty(move |verb, _| (verb == "list").then_some(Fault::Late(late)));
    assert_eq!(two.fetch(&bucket.remote(Mode::Read), &[key("a"), key("c")]), 1);
    bucket.pass(60_000);
    bucket.sound();
    let more = [one.record("d", 10)];
    one.upload(&bucket.remote(Mode::ReadWrite), &more);
    assert_eq!(two.fetch(&bucket.remote(Mode::Read), &[keys[0], more[0]]), 2);
}

#[test]
fn an_upload_that_ends_anywhere_names_nothing_that_is_not_there() {
    let (one, mut is_whole) = (Machine::new(), false);
    let all = [("a", 9 << 20), ("b", LARGE), ("c", 10)];
    let keys = all.map(|(name, bytes)| one.record(name, bytes));
    for last in 0..100 {
        let bucket = Fake::new();
        let mut calls = 0;
        bucket.faulty(move |_, _| {
            calls += 1;
            (calls > last).then_some(Fault::Error(BucketError::Stopped))
        });
        one.upload(&bucket.remote(Mode::ReadWrite), &keys);
        bucket.sound();
        let (two, remote) = (Machine::new(), bucket.remote(Mode::Read));
        let found = two.fetch(&remote, &keys);
        assert_eq!(remote.counts().unwrap_or_default().failed, 0, "after {last} calls");
        assert_eq!(all.iter().filter(|(name, bytes)| two.has(name, *bytes)).count(), found);
        is_whole = found == 3;
        // The next process uploads the rest.
        one.upload(&bucket.remote(Mode::ReadWrite), &[]);
        let (two, remote) = (Machine::new(), bucket.remote(Mode::Read));
        assert_eq!((two.fetch(&remote, &keys), remote.counts().unwrap().failed), (3, 0), "after {last} calls");
        if is_whole {
            break;
        }
    }
    assert!(is_whole);
}

#[test]
fn answers_that_are_lost_and_conditions_that_are_ignored_change_nothing() {
    for at in 0..8 {
        let (bucket, one, two) = (Fake::new(), Machine::new(), Machine::new());
        let mut calls = 0;
        bucket.faulty(move |_, _| {
            calls += 1;
            (calls == at).then_some(Fault::Unanswered)
        });
        let keys = [one.record("a", LARGE)];
        one.upload(&bucket.remote(Mode::ReadWrite), &keys);
        bucket.sound();
        one.upload(&bucket.remote(Mode::ReadWrite), &[]);
        let remote = bucket.remote(Mode::Read);
        assert_eq!((two.fetch(&remote, &keys), remote.counts().unwrap().failed), (1, 0));
    }
}

#[test]
fn a_large_blob_goes_on_where_it_was_stopped_and_anew_if_the_server_forgot_it() {
    const BYTES: usize = 5 << 22;
    for forgets in [false, true] {
        let (bucket, one) = (Fake::new(), Machine::new());
        let keys = [one.record("a", BYTES)];
        let mut parts = 0;
        bucket.faulty(move |verb, _| {
            parts += usize::from(verb == "part");
            (parts > 1).then_some(Fault::Error(BucketError::Stopped))
        });
        one.upload(&bucket.remote(Mode::ReadWrite), &keys);
        bucket.sound();
        if forgets {
            bucket.world(super::super::fake::World::drop_uploads);
        }
        bucket.calls();
        one.upload(&bucket.remote(Mode::ReadWrite), &[]);
        let calls = bucket.calls();
        let count = |verb: &str| calls.iter().filter(|call| call.starts_with(verb)).count();
        let expected = if forgets { (1, 4) } else { (0, 2) };
        assert_eq!((count("begin"), count("part")), expected, "of three parts, one was there");
        let two = Machine::new();
        assert_eq!(two.fetch(&bucket.remote(Mode::Read), &keys), 1);
        assert_eq!(two.store.read(&crate::value::digest::Digest::of(&contents("a", BYTES))).unwrap().len(), BYTES);
    }
}

#[test]
fn credentials_that_may_only_read_are_told_of_once_and_read_on() {
    let (bucket, _, two) = filled();
    bucket.calls();
    bucket.faulty(|verb, _| {
        let denied = BucketError::Denied("403".to_owned());
        (!matches!(verb, "get" | "list" | "head")).then_some(Fault::Error(denied))
    });
    let remote = bucket.remote(Mode::ReadWrite);
    let keys = [two.record("c", 10), two.record("d", 10)];
    two.upload(&remote, &keys);
    assert_eq!(two.fetch(&remote, &[key("a")]), 1);
    let warnings = remote.take_warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("may only read"), "{warnings:?}");
    let counts = remote.counts().unwrap();
    assert_eq!((counts.failed, counts.left, counts.uploads), (0, 0, 0));
    two.upload(&bucket.remote(Mode::ReadWrite), &[]);
    assert!(!bucket.calls().iter().any(|call| call.starts_with("put v1/packs")), "nothing piles up");
}

#[test]
fn a_server_that_refuses_reads_is_told_of_once() {
    let (bucket, _, two) = filled();
    for refused in ["list", "get"] {
        bucket.faulty(move |verb, _| (verb == refused).then_some(Fault::Error(BucketError::Denied("403".to_owned()))));
        let remote = bucket.remote(Mode::Read);
        assert_eq!(two.fetch(&remote, &[key("a"), key("b")]), 0);
        let warnings = remote.take_warnings();
        assert!(warnings.iter().any(|warning| warning.contains("refuses")), "{warnings:?}");
        assert!(remote.is_off() || refused == "get");
    }
}

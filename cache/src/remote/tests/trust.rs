//! A bucket that others write to: what they plant is never served to those who limit their trust.

use super::{LARGE, Machine, contents, key, result};
use crate::format::layout::Access;
use crate::remote::client::Mode;
use crate::remote::fake::Fake;
use crate::store::{PutContent, Store};
use crate::trust::Trust;
use crate::trust::private_key::PrivateKey;
use crate::trust::public_key::Signer;
use crate::value::digest::Digest;

/// A machine of somebody with a key, who believes these.
fn machine(own: &PrivateKey, believes: Option<&PrivateKey>) -> Machine {
    let dir = tempfile::tempdir().unwrap();
    let signers = believes.map(|key| vec![Signer { key: key.public(), name: String::new() }]);
    let trust = Trust::new(signers, Some(own.clone()));
    let store = Store::open_trusting(dir.path(), Access::ReadWrite, trust).unwrap();
    Machine { _dir: dir, store }
}

fn record(machine: &Machine, name: &str, bytes: &[u8]) {
    let (output, _) = machine.store.put_artifact(vec![("x".to_owned(), PutContent::Bytes(bytes.to_vec()))]).unwrap();
    machine.store.put_result(&key(name), result(name, output)).unwrap();
    machine.store.commit().unwrap();
}

fn served(machine: &Machine, name: &str) -> Option<Vec<u8>> {
    let hit = machine.store.hit(&key(name))?;
    Some(machine.store.read(&machine.store.artifact(&hit.outputs[0].1)?.files[0].digest).unwrap())
}

#[test]
fn only_results_of_trusted_signers_are_served_and_others_do_not_hide_them() {
    let keys = || PrivateKey::generate().unwrap();
    let (alice, bob, mallory) = (keys(), keys(), keys());
    let bucket = Fake::new();
    let honest = machine(&alice, Some(&bob));
    record(&honest, "a", b"right");
    honest.upload(&bucket.remote(Mode::ReadWrite), &[key("a")]);
    let evil = machine(&mallory, None);
    let unsigned = Machine::new();
    for name in ["a", "b"] {
        record(&evil, name, b"wrong");
        record(&unsigned, name, b"wrong too");
        for one in [&evil, &unsigned] {
            bucket.pass(1000);
            one.upload(&bucket.remote(Mode::ReadWrite), &[key(name)]);
        }
    }
    let reader = machine(&bob, Some(&alice));
    let remote = bucket.remote(Mode::Read);
    assert_eq!(reader.fetch(&remote, &[key("a"), key("b")]), 1);
    assert_eq!(served(&reader, "a").unwrap(), b"right");
    assert_eq!(served(&reader, "b"), None);
    assert_eq!(reader.store.passed_over().keys, 2);
    // To push, what is there by others counts for nothing.
    record(&reader, "b", b"right");
    let remote = bucket.remote(Mode::ReadWrite);
    assert_eq!(remote.lacked(&reader.store, &[key("a"), key("b")]).unwrap().0, [key("b")]);
    // Who believes everybody is served the newest of them.
    let trusting = Machine::new();
    assert_eq!(trusting.fetch(&bucket.remote(Mode::Read), &[key("a")]), 1);
    assert_eq!(served(&trusting, "a").unwrap(), b"wrong too");
}

#[test]
fn junk_in_every_place_is_never_served() {
    let alice = PrivateKey::generate().unwrap();
    let bucket = Fake::new();
    let honest = machine(&alice, None);
    for name in ["a", "b", "c"] {
        record(&honest, name, &contents(name, LARGE));
    }
    honest.upload(&bucket.remote(Mode::ReadWrite), &["a", "b", "c"].map(key));
    let names = bucket.names("v1/");
    for (number, name) in names.iter().enumerate() {
        for junk in [
            Vec::new(),
            vec![0; 1000],
            bucket.world(|world| world.objects[&names[(number + 1) % names.len()]].0.clone()),
        ] {
            let before = bucket
                .world(|world| world.objects.get_mut(name).map(|object| std::mem::replace(&mut object.0, junk.clone())))
                .unwrap();
            let reader = machine(&PrivateKey::generate().unwrap(), Some(&alice));
            reader.fetch(&bucket.remote(Mode::Read), &["a", "b", "c"].map(key));
            for name in ["a", "b", "c"] {
                assert!(served(&reader, name).is_none_or(|bytes| bytes == contents(name, LARGE)));
            }
            assert!(reader.store.verify().unwrap().problems.is_empty());
            bucket.world(|world| world.objects.get_mut(name).unwrap().0 = before);
        }
    }
    // Names that are none of ours.
    bucket.world(|world| {
        for name in ["v1/index/junk", "v1/index/", "v1/index/ffffffffffff-x", "v1/packs/../../x"] {
            world.objects.insert(name.to_owned(), (vec![1; 10], 0));
        }
        let name = format!("v1/index/ffffffffffff-{}", Digest::of(b"junk"));
        world.objects.insert(name, (vec![1; 10], 0));
    });
    let reader = machine(&PrivateKey::generate().unwrap(), Some(&alice));
    assert_eq!(reader.fetch(&bucket.remote(Mode::Read), &["a", "b", "c"].map(key)), 3);
}

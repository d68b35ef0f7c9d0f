//! Planted records: what a writer of bad faith puts into a store is never served to those who limit their trust.

use std::path::Path;

use crate::format::layout::Access;
use crate::format::record::{Draft, Kind};
use crate::store::passed_over::Signed;
use crate::store::{PutContent, Store};
use crate::tests::crash::{key, result};
use crate::trust::Trust;
use crate::trust::private_key::PrivateKey;
use crate::trust::public_key::Signer;
use crate::value::artifact::{Artifact, FileEntry, OutputDigest};
use crate::value::digest::Digest;
use crate::value::producer::Producer;

/// A lab of two who trust each other, and a third who may write to the store.
struct Lab {
    dir: tempfile::TempDir,
    alice: PrivateKey,
    bob: PrivateKey,
    mallory: PrivateKey,
}

impl Lab {
    fn new() -> Self {
        let key = || PrivateKey::generate().unwrap();
        Self { dir: tempfile::tempdir().unwrap(), alice: key(), bob: key(), mallory: key() }
    }

    fn signers(&self) -> Vec<Signer> {
        let signer = |key: &PrivateKey, name: &str| Signer { key: key.public(), name: name.to_owned() };
        vec![signer(&self.alice, "alice"), signer(&self.bob, "bob")]
    }

    /// The store as one of the two sees it.
    fn open(&self, own: Option<&PrivateKey>) -> Store {
        let trust = Trust::new(Some(self.signers()), own.cloned());
        Store::open_trusting(self.dir.path(), Access::ReadWrite, trust).unwrap()
    }

    /// The store as somebody sees it who believes everybody.
    fn open_believing(&self, own: Option<&PrivateKey>) -> Store {
        let trust = Trust::new(None, own.cloned());
        Store::open_trusting(self.dir.path(), Access::ReadWrite, trust).unwrap()
    }
}

fn put(store: &Store, contents: &[u8]) -> OutputDigest {
    store.put_artifact(vec![("file".to_owned(), PutContent::Bytes(contents.to_vec()))]).unwrap().0
}

/// Records a result with these contents; returns its output and the one that is recorded now.
fn record(store: &Store, name: &str, contents: &[u8]) -> (OutputDigest, OutputDigest) {
    let output = put(store, contents);
    let hit = store.put_result(&key(name), result(name, output)).unwrap();
    store.commit().unwrap();
    (output, hit.outputs[0].1)
}

fn served(store: &Store, name: &str) -> Option<Vec<u8>> {
    let output = store.hit(&key(name))?.outputs[0].1;
    let lookup = store.outputs(&[(key(name), &["out".to_owned()])]);
    assert_eq!(lookup, (vec![true], vec![output]));
    assert_eq!(store.recorded(&key(name))?.outputs[0].1, output);
    Some(store.read(&store.artifact(&output)?.files[0].digest).unwrap())
}

fn plant(store: &Store, drafts: impl IntoIterator<Item = Draft>) {
    drafts.into_iter().for_each(|draft| store.writer.pending().add(draft));
    store.commit().unwrap();
}

#[test]
fn trusted_keys_share_hits_and_others_see_misses() {
    let lab = Lab::new();
    record(&lab.open(Some(&lab.alice)), "1", b"by alice");
    record(&lab.open(Some(&lab.mallory)), "2", b"by mallory");
    record(&lab.open_believing(None), "3", b"by nobody");
    for own in [None, Some(&lab.alice), Some(&lab.bob)] {
        let store = lab.open(own);
        assert_eq!(served(&store, "1").as_deref(), Some(&b"by alice"[..]));
        assert_eq!((served(&store, "2"), served(&store, "3")), (None, None));
        assert_eq!(store.passed_over().keys, 2);
        assert_eq!(store.results().count(), 1);
        assert!(store.find(&key("2").0.to_string()).is_err());
    }
    let store = lab.open_believing(None);
    assert_eq!(served(&store, "2").as_deref(), Some(&b"by mallory"[..]), "without a list everybody is believed");
    let signed = ["1", "2", "3"].map(|name| store.signed(&key(name)));
    assert_eq!(signed, [Signed::By(lab.alice.public()), Signed::By(lab.mallory.public()), Signed::Unsigned]);
    assert_eq!(store.passed_over().keys, 0);
    assert_eq!(served(&lab.open(Some(&lab.mallory)), "2").as_deref(), Some(&b"by mallory"[..]), "one trusts oneself");
}

#[test]
fn a_planted_result_never_stands_in_the_way_of_a_trusted_one() {
    for planted_first in [true, false] {
        let lab = Lab::new();
        let plant = || {
            let store = lab.open_believing(Some(&lab.mallory));
            let planted = put(&store, b"planted");
            plant(&store, [Draft::result(&key("1"), &result("1", planted), Some(&lab.mallory))]);
        };
        if planted_first {
            plant();
        }
        let (made, recorded) = record(&lab.open(Some(&lab.alice)), "1", b"made");
        assert_eq!(made, recorded, "the first trusted result wins");
        if !planted_first {
            plant();
        }
        let store = lab.open(Some(&lab.bob));
        assert_eq!(served(&store, "1").as_deref(), Some(&b"made"[..]), "planted first: {planted_first}");
        assert_eq!(record(&store, "1", b"another").1, made);
        assert_eq!(store.passed_over().keys, 0);
        store.forget_result(&key("1"));
        assert_eq!(served(&store, "1"), None);
        assert_eq!(record(&store, "1", b"by bob").0, store.hit(&key("1")).unwrap().outputs[0].1);
    }
}

#[test]
fn no_changed_copied_or_forged_signature_is_believed() {
    let lab = Lab::new();
    let store = lab.open_believing(Some(&lab.mallory));
    let (good, bad) = (put(&store, b"good"), put(&store, b"bad"));
    let by_alice = |name: &str, output| Draft::result(&key(name), &result(name, output), Some(&lab.alice));
    let at_signature = Draft::result(&key("1"), &result("1", good), None).fields.len();
    let mut planted = Vec::new();
    // Each byte of a record that alice signed: key, times, outputs, signer, digest of the body, signature.
    for place in 0..by_alice("1", good).fields.len() {
        let mut draft = by_alice("1", good);
        draft.fields[place] ^= 1;
        planted.push(draft);
    }
    // Other outputs, and a signature of another key of hers, which replays it.
    let mut draft = by_alice("2", bad);
    draft.fields.truncate(at_signature);
    draft.fields.extend(&by_alice("1", good).fields[at_signature..]);
    planted.push(draft);
    let mut draft = by_alice("1", good);
    draft.fields[..32].copy_from_slice(key("2").0.as_bytes());
    planted.push(draft);
    // Her name on a signature of mallory's, none, and half of one.
    let mut draft = Draft::result(&key("3"), &result("3", bad), Some(&lab.mallory));
    draft.fields[at_signature + 1..at_signature + 33].copy_from_slice(lab.alice.public().as_bytes());
    planted.push(draft);
    planted.push(Draft::result(&key("4"), &result("4", bad), None));
    for end in at_signature..by_alice("5", bad).fields.len() {
        let mut draft = by_alice("5", bad);
        draft.fields.truncate(end);
        planted.push(draft);
    }
    plant(&store, planted);
    drop(store);
    let store = lab.open(Some(&lab.bob));
    for name in ["1", "2", "3", "4", "5"] {
        assert_eq!((store.hit(&key(name)), store.recorded(&key(name))), (None, None), "{name}");
    }
    assert_eq!(store.results().count(), 0);
}

#[test]
fn the_body_of_a_signed_result_cannot_be_changed() {
    let lab = Lab::new();
    let store = lab.open_believing(Some(&lab.mallory));
    let good = put(&store, b"good");
    let mut draft = Draft::result(&key("1"), &result("1", good), Some(&lab.alice));
    let body = String::from_utf8(draft.body).unwrap();
    draft.body = body.replace("\"node\":\"1\"", "\"node\":\"2\"").into_bytes();
    plant(&store, [draft]);
    drop(store);
    let store = lab.open(Some(&lab.bob));
    assert!(store.hit(&key("1")).is_some(), "key and outputs are those that alice signed");
    assert_eq!(store.recorded(&key("1")), None);
    assert_eq!(record(&store, "1", b"good").0, good);
    assert!(store.recorded(&key("1")).is_some());
}

#[test]
fn a_planted_list_of_files_neither_serves_nor_hides_the_files_of_an_output() {
    let lab = Lab::new();
    let store = lab.open_believing(None);
    let bad = store.artifact(&put(&store, b"bad")).unwrap();
    let good = Artifact::new(vec![FileEntry { digest: Digest::of(b"good"), size_bytes: 4, ..bad.files[0].clone() }]);
    plant(&store, [Draft::artifact(&good.digest(), &bad)]);
    drop(store);
    record(&lab.open(Some(&lab.alice)), "1", b"good");
    assert_eq!(served(&lab.open(Some(&lab.bob)), "1").as_deref(), Some(&b"good"[..]));
}

#[test]
fn what_was_passed_over_is_counted_by_its_claimed_producer() {
    let lab = Lab::new();
    let store = lab.open_believing(None);
    for name in ["1", "2", "3"] {
        let producer = |user: &str| {
            let (user, host, version) = (user.to_owned(), "x".to_owned(), "1".to_owned());
            Some(Producer { user, host, version })
        };
        let mut result = result(name, put(&store, b"planted"));
        result.producer = if name == "3" { None } else { producer("mallory") };
        store.put_result(&key(name), result).unwrap();
    }
    store.commit().unwrap();
    drop(store);
    let store = lab.open(None);
    ["1", "2", "3", "1"].iter().for_each(|name| assert_eq!(store.hit(&key(name)), None));
    let passed_over = store.passed_over();
    let producers: Vec<_> = passed_over.producers.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!((passed_over.keys, producers), (3, vec![("an unknown producer", 1), ("mallory on x, version 1", 2)]));
}

#[test]
fn a_result_under_a_false_key_is_named_with_its_producer_and_put_out_of_use() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Access::ReadWrite).unwrap();
    record(&store, "1", b"made");
    let mut planted = result("2", put(&store, b"planted"));
    planted.producer = Some(Producer::this("9"));
    store.put_result(&key("3"), planted).unwrap();
    store.commit().unwrap();
    let report = store.verify().unwrap();
    let problems: Vec<_> = report.problems.iter().map(|problem| problem.message.as_str()).collect();
    let producer = Producer::this("9").to_string();
    let named = |part: &str| problems.len() == 1 && problems[0].contains(part);
    assert!(named("not the digest of its manifest") && named(&producer) && named("kept as"), "{problems:?}");
    let again = Store::open(Path::new(dir.path()), Access::ReadOnly).unwrap();
    for store in [&store, &again] {
        assert_eq!((served(store, "1").as_deref(), store.hit(&key("3"))), (Some(&b"made"[..]), None));
    }
    assert_eq!(store.verify().unwrap().problems.len(), 0);
}

#[test]
fn verification_of_a_signature_takes_microseconds_and_is_done_once() {
    let lab = Lab::new();
    let store = lab.open(Some(&lab.alice));
    record(&store, "1", b"made");
    drop(store);
    let store = lab.open(Some(&lab.bob));
    assert!(store.index().location(Kind::Result, &key("1").0).is_some());
    let begun = std::time::Instant::now();
    (0..1000).for_each(|_| drop(store.hit(&key("1")).unwrap()));
    assert!(begun.elapsed().as_millis() < 1000, "{:?}", begun.elapsed());
}

//! Remotes as two machines see them.

mod collection;
mod faults;
mod trust;

use crate::format::layout::Access;
use crate::remote::client::{Mode, Remote};
use crate::remote::fake::Fake;
use crate::store::{PutContent, Store};
use crate::tests::crash::{key, result};
use crate::value::artifact::ActionKey;

/// A machine with a store of its own.
struct Machine {
    _dir: tempfile::TempDir,
    store: Store,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Access::ReadWrite).unwrap();
        Self { _dir: dir, store }
    }

    /// Records a result with a small file and one of so many bytes.
    fn record(&self, name: &str, bytes: usize) -> ActionKey {
        let files = vec![
            ("small".to_owned(), PutContent::Bytes(name.as_bytes().to_vec())),
            ("large".to_owned(), PutContent::Bytes(contents(name, bytes))),
        ];
        let (output, _) = self.store.put_artifact(files).unwrap();
        self.store.put_result(&key(name), result(name, output)).unwrap();
        self.store.commit().unwrap();
        key(name)
    }

    /// Checks that a result is here with all its bytes.
    fn has(&self, name: &str, bytes: usize) -> bool {
        let Some(hit) = self.store.hit(&key(name)) else { return false };
        let files = self.store.artifact(&hit.outputs[0].1).unwrap().files;
        assert_eq!(self.store.read(&files[0].digest).unwrap(), contents(name, bytes));
        assert_eq!(self.store.read(&files[1].digest).unwrap(), name.as_bytes());
        assert!(self.store.recorded(&key(name)).is_some());
        true
    }

    fn fetch(&self, remote: &Remote, keys: &[ActionKey]) -> usize {
        remote.fetch(&self.store, keys, &mut || {}).len()
    }

    /// Uploads as a run does.
    fn upload(&self, remote: &Remote, keys: &[ActionKey]) {
        assert!(remote.begin(&self.store).unwrap());
        remote.add(keys);
        remote.close();
        remote.serve(&self.store);
    }
}

/// Bytes that differ by name, and do not repeat within a part.
fn contents(name: &str, bytes: usize) -> Vec<u8> {
    let seed = name.bytes().map(usize::from).sum::<usize>();
    (0..bytes).map(|at| (((at + seed) * 7919) >> 7) as u8).collect()
}

const LARGE: usize = 100_000;

#[test]
fn what_one_machine_has_computed_is_a_hit_on_the_next() {
    let (bucket, one, two) = (Fake::new(), Machine::new(), Machine::new());
    let keys = [one.record("a", 10), one.record("b", LARGE)];
    let remote = bucket.remote(Mode::ReadWrite);
    one.upload(&remote, &keys);
    let counts = remote.counts().unwrap();
    assert_eq!((counts.uploads, counts.failed, counts.left), (2, 0, 0));
    assert!(counts.upload_bytes > LARGE as u64);
    let remote = bucket.remote(Mode::Read);
    assert_eq!(two.fetch(&remote, &[keys[0], keys[1], key("c")]), 2);
    assert!(two.has("a", 10) && two.has("b", LARGE));
    let counts = remote.counts().unwrap();
    assert_eq!((counts.hits, counts.failed), (2, 0));
    assert!(counts.hit_bytes > LARGE as u64 && remote.take_warnings().is_empty());
    let recorded = |machine: &Machine| machine.store.recorded(&keys[1]).unwrap();
    assert_eq!(recorded(&one), recorded(&two), "the record is the same");
    // It is durable, and a result like any other.
    assert!(two.store.verify().unwrap().problems.is_empty());
}

#[test]
fn a_first_run_asks_a_few_times_for_thousands_of_results() {
    let (bucket, one, two) = (Fake::new(), Machine::new(), Machine::new());
    let keys: Vec<_> = (0..2000).map(|number| one.record(&number.to_string(), 10)).collect();
    one.upload(&bucket.remote(Mode::ReadWrite), &keys);
    bucket.calls();
    let remote = bucket.remote(Mode::Read);
    assert_eq!(two.fetch(&remote, &keys), 2000);
    let calls = bucket.calls();
    assert!(calls.len() <= 10, "{calls:?}");
    assert_eq!(two.fetch(&remote, &[key("x")]), 0);
    assert!(bucket.calls().is_empty(), "the catalogue is new");
    // Another process asks for what is new alone.
    assert_eq!(two.fetch(&bucket.remote(Mode::Read), &[key("x")]), 0);
    assert_eq!(bucket.calls(), ["list v1/index"]);
}

#[test]
fn a_read_only_remote_is_never_written_to() {
    let (bucket, one, two) = (Fake::new(), Machine::new(), Machine::new());
    let keys = [one.record("a", LARGE)];
    one.upload(&bucket.remote(Mode::ReadWrite), &keys);
    bucket.calls();
    let remote = bucket.remote(Mode::Read);
    assert!(!two.store.is_shared_with_hosts() && !remote.begin(&two.store).unwrap());
    remote.add(&[two.record("b", 10)]);
    assert_eq!(two.fetch(&remote, &keys), 1);
    assert!(bucket.calls().iter().all(|call| call.starts_with("get") || call.starts_with("list")));
}

#[test]
fn blobs_that_the_store_has_are_not_read_and_those_of_several_results_once() {
    let (bucket, one, two) = (Fake::new(), Machine::new(), Machine::new());
    let same = |machine: &Machine, name: &str| {
        let files = vec![("large".to_owned(), PutContent::Bytes(contents("same", LARGE)))];
        let (output, _) = machine.store.put_artifact(files).unwrap();
        machine.store.put_result(&key(name), result(name, output)).unwrap();
        machine.store.commit().unwrap();
        key(name)
    };
    let keys = [same(&one, "a"), same(&one, "b"), one.record("c", LARGE)];
    one.upload(&bucket.remote(Mode::ReadWrite), &keys);
    assert_eq!(bucket.names("v1/objects").len(), 2);
    same(&two, "d");
    bucket.calls();
    assert_eq!(two.fetch(&bucket.remote(Mode::Read), &keys), 3);
    assert_eq!(bucket.calls().iter().filter(|call| call.starts_with("get v1/objects")).count(), 1);
}

#[test]
fn what_a_stopped_run_left_is_uploaded_by_the_next() {
    let (bucket, one) = (Fake::new(), Machine::new());
    let keys = [one.record("a", 10), one.record("b", LARGE)];
    bucket.faulty(|_, _| Some(super::fake::Fault::Error(crate::remote::BucketError::Stopped)));
    let remote = bucket.remote(Mode::ReadWrite);
    one.upload(&remote, &keys);
    assert_eq!(remote.counts().unwrap().left, 2);
    assert!(remote.take_warnings().is_empty(), "people know that they stopped it");
    bucket.sound();
    let remote = bucket.remote(Mode::ReadWrite);
    one.upload(&remote, &[]);
    assert_eq!((remote.counts().unwrap().uploads, remote.counts().unwrap().left), (2, 0));
    let remote = bucket.remote(Mode::ReadWrite);
    one.upload(&remote, &[]);
    assert_eq!(remote.counts(), None, "nothing is left, and nobody is asked");
}

#[test]
fn a_push_uploads_what_the_remote_lacks_and_a_pull_reads_what_the_store_lacks() {
    let (bucket, one, two) = (Fake::new(), Machine::new(), Machine::new());
    let keys: Vec<_> = (0..5).map(|number| one.record(&number.to_string(), LARGE)).collect();
    one.upload(&bucket.remote(Mode::ReadWrite), &keys[..2]);
    let remote = bucket.remote(Mode::ReadWrite);
    let (lacked, bytes) = remote.lacked(&one.store, &keys).unwrap();
    assert_eq!((lacked.len(), bytes), (3, 3 * (LARGE as u64 + 1)));
    remote.push(&one.store, &lacked, &mut || {});
    assert_eq!(remote.counts().unwrap().uploads, 3);
    assert!(remote.lacked(&one.store, &keys).unwrap().0.is_empty());
    let remote = bucket.remote(Mode::Read);
    two.record("0", LARGE);
    let (lacking, bytes) = remote.lacking(&two.store, None).unwrap();
    assert_eq!(lacking.len(), 4);
    assert!(bytes > 4 * LARGE as u64);
    assert_eq!(two.fetch(&remote, &lacking), 4);
    assert!((0..5).all(|number| two.has(&number.to_string(), LARGE)));
}

//! Golden bytes of every file with a checksum: a store written by an earlier program must stay readable.

use std::fs;
use std::path::Path;

use crate::external::stat_cache::{Entry, FileStat, StatCache};
use crate::format::checkpoint::{CHECKPOINT_HEADER_BYTES, Checkpoints};
use crate::format::layout::{Access, Layout};
use crate::format::pack::Pack;
use crate::format::record::{Draft, Kind, Tombstone};
use crate::records::pack_lengths;
use crate::store::{Store, last_use};
use crate::tests::crash::result;
use crate::upkeep::gc_report::Collected;
use crate::upkeep::pin::Pin;
use crate::value::artifact::{ActionKey, Artifact, FileEntry, OutputDigest};
use crate::value::digest::Digest;

const HINT: &str = "stores of earlier programs would become unreadable";

fn key(name: &str) -> ActionKey {
    ActionKey(Digest::of(name.as_bytes()))
}

fn assert_digest(bytes: &[u8], expected: &str) {
    assert_eq!(Digest::of(bytes).short(), expected, "{HINT}");
}

fn store(dir: &Path) -> (Store, Layout) {
    let store = Store::open(dir, Access::ReadWrite).unwrap();
    let layout = store.layout.clone();
    (store, layout)
}

#[test]
fn a_pack_has_the_bytes_that_earlier_programs_wrote() {
    let artifact = Artifact::new(vec![FileEntry { name: "a/b".into(), digest: Digest::of(b"blob"), size_bytes: 4 }]);
    let tombstone =
        Tombstone { kind: Kind::Blob, digest: Digest::of(b"x"), body_at: 77, pack: "000000000001-1-0".into() };
    let drafts = [
        Draft::blob(&Digest::of(b"blob"), b"blob".to_vec()),
        Draft::artifact(&artifact.digest(), &artifact),
        Draft::result(&key("1"), &result("1", artifact.digest()), None),
        Draft::tombstone(&tombstone),
    ];
    let bytes = Pack::new("000000000002-1-0", Path::new("unread")).encode(&drafts);
    assert_digest(&bytes, "424646df90be");
}

#[test]
fn the_list_of_last_uses_has_the_bytes_that_earlier_programs_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, layout) = store(dir.path());
    last_use::touch(&layout, &[key("1"), key("2")], 5).unwrap();
    last_use::touch(&layout, &[key("2"), key("1")], 6).unwrap();
    assert_digest(&fs::read(layout.last_use()).unwrap(), "93862252fe1d");
}

#[test]
fn the_stat_cache_has_the_bytes_that_earlier_programs_wrote() {
    let stat = FileStat { size_bytes: 1, mtime_ns: -2, ctime_ns: 3, inode: 4, device: 5 };
    let entry = Entry { digest: Digest::of(b"file"), stat, seen_ms: 6 };
    let newer = [("/b", 1), ("/a", 2)]
        .map(|(path, size_bytes)| (path.into(), Entry { stat: FileStat { size_bytes, ..entry.stat }, ..entry }));
    assert_digest(&StatCache::default().encode(&newer.into(), 7), "e7a5887f35b0");
}

#[test]
fn a_checkpoint_has_the_bytes_that_earlier_programs_wrote() {
    let dir = tempfile::tempdir().unwrap();
    Checkpoints::new(dir.path(), key("1")).save(3, [&[0; CHECKPOINT_HEADER_BYTES][..], b"weights"].concat()).unwrap();
    assert_digest(&fs::read(dir.path().join("epoch-000003.checkpoint")).unwrap(), "d5df9fd073e3");
}

#[test]
fn lengths_of_packs_have_the_bytes_that_earlier_programs_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, layout) = store(dir.path());
    pack_lengths::write(&layout, &[("b".to_owned(), 7), ("a".to_owned(), 123)].into()).unwrap();
    assert_eq!(fs::read_to_string(layout.pack_ends()).unwrap(), "a 123\nb 7\ncrc 382b3fe3\n", "{HINT}");
}

#[test]
fn pins_and_lineage_have_the_bytes_that_earlier_programs_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let (store, layout) = store(dir.path());
    let pin = Pin { name: "paper".into(), source: "run 1".into(), pinned_ms: 1, keys: vec![key("2"), key("1")] };
    store.pin(pin).unwrap();
    assert_digest(&fs::read(layout.pins().join("paper.json")).unwrap(), "db90885be25d");
    store.put_result(&key("1"), result("1", OutputDigest(Digest::of(b"lost")))).unwrap();
    store.commit().unwrap();
    let (node, kind) = (String::new(), String::new());
    let collected = Collected { key: key("1"), node, kind, last_used_ms: 3, size_bytes: 0, elapsed_ms: 0 };
    store.write_lineage(&[collected], 9).unwrap();
    assert_digest(&fs::read(layout.lineage()).unwrap(), "9883ea37a538");
}

#[test]
fn a_session_file_has_the_bytes_that_earlier_programs_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let (store, layout) = store(dir.path());
    store.using().unwrap().note(&[key("1")]).unwrap();
    let session = store.session_dir().unwrap().with_extension("lock");
    let bytes = fs::read(layout.tmp().join(session)).unwrap();
    assert_eq!(bytes.len(), 64 + 16);
    assert!(bytes[..8] != [0; 8] && bytes[8..16] == [0; 8] && bytes[16] != 0, "{HINT}");
    assert_eq!((&bytes[64..72], &bytes[72..]), (&key("1").0.as_bytes()[..8], &[0; 8][..]), "{HINT}");
}

//! Fixtures of the store's tests.
#![allow(dead_code, reason = "no test binary uses all of it")]

use std::fs;
use std::path::{Path, PathBuf};

use orchestrate_cache::{Access, ActionKey, ActionResult, Digest, OutputDigest, PutContent, Store};

/// Opens a store for writing.
pub(crate) fn open(dir: &Path) -> Store {
    Store::open(dir, Access::ReadWrite).expect("the store opens")
}

/// The key of the result of that name.
pub(crate) fn key(name: &str) -> ActionKey {
    result(name, OutputDigest(Digest::of(b""))).key().expect("a key can hold its params")
}

/// A result with one output `out`.
pub(crate) fn result(name: &str, output: OutputDigest) -> ActionResult {
    ActionResult {
        outputs: vec![("out".to_owned(), output)],
        preimage: serde_json::json!({ "kind": "score", "params": { "threshold": 0.1, "name": name } }),
        node: format!("score[name={name}]"),
        kind: "score".to_owned(),
        run: "run-1".to_owned(),
        elapsed_ms: 1500,
        recorded_ms: 1_700_000_000_000,
        device: "cpu".to_owned(),
        producer: None,
    }
}

/// Records a result that was made from outputs of others.
pub(crate) fn record_from(store: &Store, name: &str, contents: &[u8], inputs: &[OutputDigest]) -> OutputDigest {
    let files = vec![("scores.parquet".to_owned(), PutContent::Bytes(contents.to_vec()))];
    let (output, _) = store.put_artifact(files).expect("the artifact is taken");
    let mut made = result(name, output);
    let points: Vec<_> = inputs.iter().map(|digest| serde_json::json!({ "digest": digest, "labels": [] })).collect();
    made.preimage["inputs"] = serde_json::json!({ "cams": points });
    store.put_result(&key(name), made).expect("the result is taken");
    output
}

/// All files below a folder with their contents, sorted.
pub(crate) fn tree(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).expect("the folder can be listed") {
        let path = entry.expect("the folder can be listed").path();
        if path.is_dir() {
            files.extend(tree(&path));
        } else {
            let bytes = fs::read(&path).expect("the file can be read");
            files.push((path, bytes));
        }
    }
    files.sort();
    files
}

/// Long enough to be an object of its own.
pub(crate) fn large(seed: u8) -> Vec<u8> {
    (0..100_000u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8 ^ seed).collect()
}

/// The one pack of a store.
pub(crate) fn only_pack(dir: &Path) -> PathBuf {
    let mut packs: Vec<_> = tree(&dir.join("packs")).into_iter().map(|(path, _)| path).collect();
    assert_eq!(packs.len(), 1, "{packs:?}");
    packs.remove(0)
}

/// Records an artifact of one file as the result of the key of that name, without committing.
pub(crate) fn record(store: &Store, name: &str, contents: &[u8]) -> OutputDigest {
    let files = vec![("scores.parquet".to_owned(), PutContent::Bytes(contents.to_vec()))];
    let (output, _) = store.put_artifact(files).expect("the artifact is taken");
    store.put_result(&key(name), result(name, output)).expect("the result is taken");
    output
}

/// Returns the contents of the key of that name, if it is a hit and its record is whole.
pub(crate) fn contents(store: &Store, name: &str) -> Option<Vec<u8>> {
    store.hit(&key(name))?;
    let result = store.recorded(&key(name))?;
    let artifact = store.artifact(&result.outputs[0].1)?;
    store.read(&artifact.files[0].digest).ok()
}

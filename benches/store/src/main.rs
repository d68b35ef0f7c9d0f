//! `orchestrate-fill-store STORE FROM TO`: records results that no run asks for, as many sessions would.
//!
//! Each session fills a pack of its own with [`SESSION_RESULTS`] results, each with an artifact of one small file. The
//! packs are filled in stores of their own and then moved, two at a time. At last the store is opened and closed once,
//! so that it has index files as a store in use has. The time of that is printed.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use orchestrate_cache::{Access, ActionResult, Digest, OutputDigest, PutContent, Store};
use serde_json::json;

const SESSION_RESULTS: u64 = 10_000;
/// Results of one commit, as of a batch of light nodes.
const COMMIT_RESULTS: u64 = 100;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [store, from, to] = arguments.as_slice() else {
        return Err("usage: orchestrate-fill-store STORE FROM TO".into());
    };
    let (store, from, to): (PathBuf, u64, u64) = (store.into(), from.parse()?, to.parse()?);
    drop(Store::open(&store, Access::ReadWrite)?);
    let next = AtomicU64::new(from);
    let fill = |thread: usize| -> Result<(), Failure> {
        loop {
            let first = next.fetch_add(SESSION_RESULTS, Ordering::Relaxed);
            if first >= to {
                return Ok(());
            }
            session(&store, thread, first..to.min(first + SESSION_RESULTS))?;
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|thread| scope.spawn(move || fill(thread))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
    })?;
    let start = Instant::now();
    drop(Store::open(&store, Access::ReadWrite)?);
    #[expect(clippy::print_stdout, reason = "figures are for people")]
    {
        println!("first opening {:.3} s", start.elapsed().as_secs_f64());
    }
    Ok(())
}

/// Fills one pack, and moves it to the store.
fn session(store: &Path, thread: usize, numbers: std::ops::Range<u64>) -> Result<(), Failure> {
    let own = store.with_extension(format!("session-{thread}"));
    let session = Store::open(&own, Access::ReadWrite)?;
    for number in numbers {
        record(&session, number)?;
        if number % COMMIT_RESULTS == COMMIT_RESULTS - 1 {
            session.commit()?;
        }
    }
    session.commit()?;
    drop(session);
    for entry in std::fs::read_dir(own.join("packs"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "pack") {
            let name = path.file_name().ok_or("a pack has a name")?;
            std::fs::rename(&path, store.join("packs").join(name))?;
        }
    }
    std::fs::remove_dir_all(own)?;
    Ok(())
}

/// Records a result like that of a score.
fn record(store: &Store, number: u64) -> Result<(), Failure> {
    let name = format!("score[model=other,fold={},threshold={}]", number % 5 + 1, number / 5);
    let contents = PutContent::Bytes(format!("scores {number}\n").into_bytes());
    let (output, _) = store.put_artifact(vec![("result".to_owned(), contents)])?;
    let input = |port: &str| Digest::of(format!("{port} {}", number % 1000).as_bytes());
    let result = ActionResult {
        outputs: vec![("scores".to_owned(), OutputDigest(output.0))],
        preimage: json!({
            "inputs": { "cams": input("cams"), "masks": input("masks"), "thresholds": input("thresholds") },
            "kind": "score",
            "params": { "number": number },
            "version": 1,
        }),
        node: name,
        kind: "score".to_owned(),
        run: "20260101-000000-000-000000".to_owned(),
        elapsed_ms: 1,
        recorded_ms: 1_760_000_000_000 + number,
        device: "cpu".to_owned(),
        producer: None,
    };
    store.put_result(&result.key()?, result)?;
    Ok(())
}

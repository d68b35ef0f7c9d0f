//! Verification of a store that others use: what they write, collect and remove meanwhile is no damage.

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{key, large, open, record, result};
use orchestrate_cache::{CHECKPOINT_HEADER_BYTES, Checkpoints, GcPolicy, Pin, PutContent, StoreError};

/// Verifications of the test; `VERIFY_ROUNDS` sets another number.
const ROUNDS: usize = 60;

/// Opens the store again and again, and writes a file of every kind.
fn work(dir: &Path, worker: usize, stop: &AtomicBool) {
    for round in (0..).take_while(|_| !stop.load(Ordering::Relaxed)) {
        let store = open(dir);
        for number in 0..20 {
            let name = format!("{worker}-{round}-{number}");
            record(&store, &name, name.repeat(number * 7).as_bytes());
            if number % 10 == 0 {
                record(&store, &format!("large-{name}"), &large((round + number) as u8));
            }
            if number % 5 == 0 {
                store.commit().unwrap();
            }
            store.touch(&[key(&name)]).unwrap();
        }
        // Of long ago, so that collections have something to do.
        let files = vec![("file".to_owned(), PutContent::Bytes([large(worker as u8), vec![round as u8]].concat()))];
        let (output, _) = store.put_artifact(files).unwrap();
        let mut old = result("old", output);
        old.recorded_ms = 1;
        store.put_result(&key(&format!("old-{worker}-{round}")), old).unwrap();
        store.commit().unwrap();
        let unfinished = key(&format!("unfinished-{worker}"));
        let _lease = store.try_lease_across_hosts(&unfinished).unwrap();
        let checkpoints = Checkpoints::new(&store.checkpoint_dir(&unfinished), unfinished);
        checkpoints.save(round, vec![5; CHECKPOINT_HEADER_BYTES + 5000]).unwrap();
        if round % 3 == 0 {
            checkpoints.remove().unwrap();
        }
        let name = format!("pin-{worker}");
        store.pin(Pin { name: name.clone(), source: String::new(), pinned_ms: 1, keys: vec![key("a")] }).unwrap();
        store.unpin(&name).unwrap();
        let _scratch = store.scratch().unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn collect(dir: &Path, stop: &AtomicBool) {
    let max_age = Some(Duration::from_secs(3600));
    let policy = GcPolicy { max_age, max_size_bytes: Some(1 << 20), ..GcPolicy::default() };
    while !stop.load(Ordering::Relaxed) {
        let collected = open(dir).gc(&policy);
        assert!(matches!(collected, Ok(_) | Err(StoreError::GcRunning { .. })), "{collected:?}");
    }
}

#[test]
fn verification_finds_nothing_in_a_sound_store_that_others_use() {
    let rounds = std::env::var("VERIFY_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let stop = AtomicBool::new(false);
    let mut found = Vec::new();
    std::thread::scope(|scope| {
        (0..3).for_each(|worker| {
            drop(scope.spawn({
                let (dir, stop) = (dir.path(), &stop);
                move || work(dir, worker, stop)
            }))
        });
        scope.spawn(|| collect(dir.path(), &stop));
        for _ in 0..rounds {
            let report = open(dir.path()).verify().unwrap();
            found.extend(report.problems.iter().chain(&report.torn).map(ToString::to_string));
            found.extend(report.strange.iter().map(|path| format!("strange: {}", path.display())));
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(found.is_empty(), "{} in {rounds} rounds: {found:#?}", found.len());
    let report = open(dir.path()).verify().unwrap();
    assert!(report.problems.is_empty() && report.torn.is_empty(), "{report:?}");
}

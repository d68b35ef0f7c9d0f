//! Garbage collection by age and size, alone and beside running engines.

mod common;

use std::fs;
use std::path::Path;
use std::time::Duration;

use common::{contents, key, large, open, record, result, tree};
use orchestrate_cache::{Access, ActionKey, GcPolicy, GcReport, LogUse, OutputDigest, PutContent, Store, StoreError};
use proptest::prelude::*;

const HOUR: Duration = Duration::from_secs(3600);

/// Results in `common` were recorded in 2023, so only touched ones are young.
fn by_age(dry_run: bool) -> GcPolicy {
    GcPolicy { max_age: Some(HOUR), dry_run, ..GcPolicy::default() }
}

fn size(dir: &Path) -> u64 {
    tree(dir).iter().map(|(_, bytes)| bytes.len() as u64).sum()
}

fn keys(report: &GcReport) -> Vec<ActionKey> {
    let mut keys: Vec<_> = report.collected.iter().map(|collected| collected.key).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn what_was_not_used_for_long_goes_with_the_bytes_that_nobody_else_needs() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    record(&store, "old", &large(0));
    record(&store, "old and small", &[7; 5000]);
    record(&store, "old but shared", &large(1));
    record(&store, "young", &large(1));
    record(&store, "young and small", b"1");
    store.commit().unwrap();
    store.touch(&[key("young"), key("young and small")]).unwrap();

    let planned = store.gc(&by_age(true)).unwrap();
    assert_eq!(store.stats().unwrap().results, 5, "a dry run changes nothing");
    let before = size(dir.path());
    let report = store.gc(&by_age(false)).unwrap();
    assert_eq!(report, planned);
    let mut gone = vec![key("old"), key("old and small"), key("old but shared")];
    gone.sort_unstable();
    assert_eq!(keys(&report), gone);
    assert_eq!((report.objects, report.packs, report.recompute_ms, report.in_use), (1, 1, 4500, false));

    for store in [&store, &open(dir.path())] {
        assert!(gone.iter().all(|key| store.hit(key).is_none()));
        assert_eq!(contents(store, "young").unwrap(), large(1));
        assert_eq!(contents(store, "young and small").unwrap(), b"1");
        assert!(store.verify().unwrap().problems.is_empty());
    }
    let lineage = fs::read_to_string(dir.path().join("lineage")).unwrap();
    assert_eq!(lineage.lines().count(), 3);
    assert!(lineage.contains(&key("old").0.to_string()) && lineage.contains("score[name=old]"));
    // Headers of groups and the lineage itself are not counted, and are small.
    let freed = before - (size(dir.path()) - lineage.len() as u64);
    assert!(freed.abs_diff(report.bytes_freed) < 500, "{freed} against {}", report.bytes_freed);
    // Nothing is left to do, and the store goes on.
    assert_eq!(store.gc(&by_age(false)).unwrap().bytes_freed, 0);
    record(&store, "old", &large(0));
    store.commit().unwrap();
    assert_eq!(contents(&open(dir.path()), "old").unwrap(), large(0));
}

#[test]
fn the_least_recently_used_go_until_the_rest_fits() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for number in 0..5u8 {
        record(&store, &number.to_string(), &large(number));
    }
    store.commit().unwrap();
    for number in [3u8, 0, 4, 1, 2] {
        store.touch(&[key(&number.to_string())]).unwrap();
        std::thread::sleep(Duration::from_millis(2));
    }
    let policy = GcPolicy { max_size_bytes: Some(250_000), ..GcPolicy::default() };
    let report = store.gc(&policy).unwrap();
    let order: Vec<_> = report.collected.iter().map(|collected| collected.key).collect();
    assert_eq!(order, [key("3"), key("0"), key("4")]);
    assert!(report.bytes_kept <= 250_000 && size(dir.path()) < 260_000);
    assert!(["1", "2"].iter().all(|name| contents(&store, name).is_some()));
}

#[test]
fn without_a_policy_only_what_no_result_needs_goes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    record(&store, "a", &large(0));
    store.put_artifact(vec![("weights".to_owned(), PutContent::Bytes(large(1)))]).unwrap();
    store.commit().unwrap();
    for name in ["a", "b"] {
        let checkpoint = store.checkpoint_dir(&key(name));
        fs::create_dir_all(&checkpoint).unwrap();
        fs::write(checkpoint.join("epoch-000001.checkpoint"), [0; 1000]).unwrap();
    }
    let report = store.gc(&GcPolicy::default()).unwrap();
    assert_eq!((report.collected.len(), report.objects, report.checkpoints), (0, 1, 1));
    assert!(report.bytes_freed >= large(1).len() as u64 + 1000);
    assert!(!store.checkpoint_dir(&key("a")).exists(), "its key has a result");
    assert!(store.checkpoint_dir(&key("b")).exists(), "its training may resume");
    assert_eq!(contents(&store, "a").unwrap(), large(0));
}

#[test]
fn folders_of_jobs_go_a_month_after_somebody_touched_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let [old, new] = ["20260131-174502-318-9f02ac-0", "20260131-174502-318-9f02ac-1"].map(|name| {
        let job = store.jobs_dir().join(name);
        fs::create_dir_all(&job).unwrap();
        fs::write(job.join("tasks"), "work").unwrap();
        job
    });
    let mine = store.jobs_dir().join("mine");
    fs::create_dir(&mine).unwrap();
    let days = |days: u64| std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(clock_ms() / 1000 - days * 86_400);
    fs::File::open(&old).unwrap().set_modified(days(31)).unwrap();
    fs::File::open(&new).unwrap().set_modified(days(29)).unwrap();
    let report = store.gc(&by_age(false)).unwrap();
    assert_eq!((report.leftovers, report.bytes_freed), (1, 4));
    assert!(!old.exists() && new.exists() && mine.exists());
}

#[test]
fn beside_a_running_engine_whatever_it_found_recorded_or_stored_stays() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    record(&engine, "old", &large(0));
    record(&engine, "needed", &large(1));
    record(&engine, "small", b"1");
    engine.commit().unwrap();
    drop(engine);
    let engine = open(dir.path());
    engine.using().unwrap().note(&[key("needed")]).unwrap();
    engine.put_artifact(vec![("weights".to_owned(), PutContent::Bytes(large(2)))]).unwrap();
    // With a time of recording that is long ago.
    record(&engine, "recorded", &large(3));
    engine.commit().unwrap();
    // Times of files do not count.
    let long_ago = std::time::UNIX_EPOCH + HOUR;
    for (path, _) in tree(&dir.path().join("objects")) {
        fs::File::open(path).unwrap().set_modified(long_ago).unwrap();
    }

    let other = open(dir.path());
    let report = other.gc(&by_age(false)).unwrap();
    let mut gone = vec![key("old"), key("small")];
    gone.sort_unstable();
    assert_eq!(keys(&report), gone);
    assert_eq!((report.objects, report.packs, report.in_use), (1, 0, true));

    // The engine still knows the small one, and its bytes are still there; the large one is a miss.
    assert_eq!(contents(&engine, "small").unwrap(), b"1");
    assert_eq!(engine.hit(&key("old")), None);
    assert_eq!(contents(&engine, "needed").unwrap(), large(1));
    assert_eq!(contents(&engine, "recorded").unwrap(), large(3));
    engine.refresh().unwrap();
    assert_eq!(engine.hit(&key("small")), None);
    let files = vec![("weights".to_owned(), PutContent::Bytes(large(2)))];
    let (output, _) = engine.put_artifact(files).unwrap();
    engine.put_result(&key("new"), result("new", output)).unwrap();
    engine.commit().unwrap();
    assert_eq!(contents(&open(dir.path()), "new").unwrap(), large(2));
}

#[test]
fn one_process_at_a_time_collects_and_a_reader_never_does() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (open(dir.path()), open(dir.path()));
    let gc = ActionKey(orchestrate_cache::Digest::of(b"orchestrate gc"));
    let lease = two.try_lease(&gc).unwrap();
    assert!(matches!(one.gc(&by_age(false)), Err(StoreError::GcRunning { .. })));
    drop(lease);
    assert!(one.gc(&by_age(false)).is_ok());
    let reader = Store::open(dir.path(), Access::ReadOnly).unwrap();
    assert!(matches!(reader.gc(&by_age(true)), Err(StoreError::ReadOnly { .. })));
}

#[test]
fn a_damaged_pack_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for name in ["a", "b", "c"] {
        record(&store, name, name.as_bytes());
        store.commit().unwrap();
    }
    let path = common::only_pack(dir.path());
    let place = store.locate(&orchestrate_cache::Digest::of(b"b")).unwrap().offset as usize;
    drop(store);
    let mut bytes = fs::read(&path).unwrap();
    bytes[place - 1] ^= 1;
    fs::write(&path, bytes).unwrap();
    let store = open(dir.path());
    assert!(!store.verify().unwrap().problems.is_empty());
    assert_eq!(store.gc(&GcPolicy::default()).unwrap().packs, 1);
    assert!(store.verify().unwrap().problems.is_empty());
    for store in [&store, &open(dir.path())] {
        assert_eq!((contents(store, "a").unwrap(), contents(store, "c").unwrap()), (b"a".to_vec(), b"c".to_vec()));
        assert_eq!(store.hit(&key("b")), None);
    }
    assert_ne!(common::only_pack(dir.path()), path);
}

#[test]
fn what_was_collected_stays_gone_when_the_pack_that_says_so_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (open(dir.path()), open(dir.path()));
    record(&one, "kept", &[1; 50_000]);
    record(&one, "gone", b"1");
    one.commit().unwrap();
    record(&two, "gone too", &[2; 50_000]);
    two.commit().unwrap();
    drop(one);
    let one = open(dir.path());
    one.using().unwrap().note(&[key("kept")]).unwrap();
    // Beside `one`, the second pack gets the tombstone of the first pack's result.
    assert_eq!(two.gc(&by_age(false)).unwrap().collected.len(), 2);
    drop((one, two));
    assert_eq!(open(dir.path()).gc(&GcPolicy::default()).unwrap().packs, 1);
    let store = open(dir.path());
    assert_eq!((store.hit(&key("gone")), store.hit(&key("gone too"))), (None, None));
    assert_eq!(contents(&store, "kept").unwrap(), [1; 50_000]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Results share files at random; each remaining one is whole, and the rest are misses.
    #[test]
    fn what_stays_is_whole_whatever_goes(
        results in prop::collection::vec((prop::collection::vec(0u8..12, 1..4), any::<bool>()), 1..20),
        max_size_bytes in prop::option::of(0u64..2_000_000),
        max_age in prop::option::of(Just(HOUR)),
        commit_every in 1usize..8,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let bytes = |number: u8| if number < 4 { large(number) } else { vec![number; 100 * usize::from(number)] };
        for (number, (files, _)) in results.iter().enumerate() {
            let content = |(place, file): (usize, &u8)| (place.to_string(), PutContent::Bytes(bytes(*file)));
            let files = files.iter().enumerate().map(content);
            let (output, _): (OutputDigest, _) = store.put_artifact(files.collect()).unwrap();
            let name = number.to_string();
            store.put_result(&key(&name), result(&name, output)).unwrap();
            if number % commit_every == 0 {
                store.commit().unwrap();
            }
        }
        store.commit().unwrap();
        let touched: Vec<_> =
            (0..results.len()).filter(|number| results[*number].1).map(|number| key(&number.to_string())).collect();
        store.touch(&touched).unwrap();
        let report = store.gc(&GcPolicy { max_size_bytes, max_age, ..GcPolicy::default() }).unwrap();
        prop_assert!(max_size_bytes.is_none_or(|max| report.bytes_kept <= max));
        prop_assert!(store.verify().unwrap().problems.is_empty());
        for store in [&store, &open(dir.path())] {
            for (number, (files, is_touched)) in results.iter().enumerate() {
                let key = key(&number.to_string());
                let collected = report.collected.iter().any(|collected| collected.key == key);
                if max_size_bytes.is_none() {
                    prop_assert_eq!(collected, max_age.is_some() && !is_touched);
                }
                let found = store.hit(&key);
                prop_assert_eq!(found.is_none(), collected);
                let Some(found) = found else { continue };
                let artifact = store.artifact(&found.outputs[0].1).unwrap();
                for (file, number) in artifact.files.iter().zip(files) {
                    prop_assert_eq!(store.read(&file.digest).unwrap(), bytes(*number));
                }
            }
        }
        prop_assert!(size(&dir.path().join("objects")) + size(&dir.path().join("packs")) <= report.bytes_kept + 5000);
    }
}

/// A log of 100 kB of a run that began and ended at that time.
fn log(at_ms: u64) -> LogUse {
    LogUse { size_bytes: 100_000, began_ms: at_ms, written_ms: at_ms, protected: false }
}

#[test]
fn logs_count_and_the_oldest_go_first_together_with_results() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    // Of 100 kB each, used in 2023.
    record(&store, "old", &large(0));
    record(&store, "young", &large(1));
    store.commit().unwrap();
    let between_ms = clock_ms();
    store.touch(&[key("young")]).unwrap();
    let max = |max_size_bytes| GcPolicy { max_size_bytes: Some(max_size_bytes), dry_run: true, ..GcPolicy::default() };
    let logs = [log(1), log(between_ms), LogUse { protected: true, ..log(2) }];
    let collect = |policy: &GcPolicy| {
        let report = store.gc_with_logs(policy, &logs).unwrap();
        (keys(&report), report.logs, report.log_bytes_freed)
    };
    assert_eq!(collect(&max(1_000_000)), (vec![], vec![], 0));
    assert_eq!(collect(&max(450_000)), (vec![], vec![0], 100_000), "what began in 1970");
    assert_eq!(collect(&max(350_000)), (vec![key("old")], vec![0], 100_000), "the result of 2023");
    assert_eq!(collect(&max(250_000)), (vec![key("old")], vec![1, 0], 200_000), "the result that the run made stays");
    let mut all = vec![key("old"), key("young")];
    all.sort_unstable();
    assert_eq!(collect(&max(150_000)), (all, vec![1, 0], 200_000));
    let report = store.gc_with_logs(&max(150_000), &logs).unwrap();
    assert_eq!((report.bytes_kept, report.bytes_protected), (100_000, 100_000));
    assert!(report.bytes_freed > 400_000);
}

#[test]
fn a_log_that_does_not_fit_takes_no_result_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    record(&store, "old", &large(0));
    store.commit().unwrap();
    let logs = [LogUse { size_bytes: 150_000, ..log(clock_ms()) }, log(0)];
    let policy = GcPolicy { max_size_bytes: Some(210_000), ..GcPolicy::default() };
    let huge = LogUse { size_bytes: 1 << 30, ..logs[0] };
    assert_eq!(store.gc_with_logs(&policy, &[huge, logs[1]]).unwrap().logs, [0, 1]);
    assert!(contents(&store, "old").is_some());
    assert_eq!(store.gc_with_logs(&by_age(false), &logs).unwrap().logs, [1]);
}

fn clock_ms() -> u64 {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap();
    now.as_millis() as u64
}

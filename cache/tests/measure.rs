//! Prints what the store costs; run with `cargo test --release -p orchestrate-cache --test measure -- --ignored
//! --nocapture`.
#![expect(clippy::print_stdout, reason = "figures are for people")]

mod common;

use std::time::Instant;

use common::{key, open, result};
use orchestrate_cache::{Access, FileDigests, PrivateKey, PutContent, Store, Trust};

const RESULTS: usize = 100_000;
/// About what a table of scores of one fold takes.
const BLOB_BYTES: usize = 3000;

/// Wall clock, and processor time of all threads where the system tells.
struct Watch(Instant, f64);

impl Watch {
    fn start() -> Self {
        Self(Instant::now(), processor_ms())
    }

    /// Prints the time since the start, in all and for one of `count`.
    fn print(&self, what: &str, count: usize) {
        let (wall_ms, processor_ms) = (self.0.elapsed().as_secs_f64() * 1e3, processor_ms() - self.1);
        let each = |ms: f64| ms * 1e3 / count as f64;
        println!(
            "{what}: {wall_ms:.1} ms, processors {processor_ms:.0} ms; {:.2} µs and {:.2} µs each",
            each(wall_ms),
            each(processor_ms)
        );
    }
}

/// Linux counts in hundredths of a second.
fn processor_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() * 10.0
}

#[test]
#[ignore = "prints figures, claims nothing"]
fn cost_of_recording_and_opening() {
    let dir = tempfile::tempdir_in(".").unwrap();
    let store = open(dir.path());
    for (group, count) in [(1, 500), (16, 4000), (128, 16_000), (1024, RESULTS)] {
        let start = Watch::start();
        for number in 0..count {
            let name = format!("{group}-{number}");
            let mut bytes = name.clone().into_bytes();
            bytes.resize(BLOB_BYTES, 7);
            let (output, _) =
                store.put_artifact(vec![("scores.parquet".to_owned(), PutContent::Bytes(bytes))]).unwrap();
            store.put_result(&key(&name), result(&name, output)).unwrap();
            if number % group == group - 1 {
                store.commit().unwrap();
            }
        }
        store.commit().unwrap();
        start.print(&format!("record, {group} results a commit"), count);
    }
    let stats = store.stats().unwrap();
    println!("{} results, {} packs, {} MiB", stats.results, stats.packs, stats.pack_bytes >> 20);
    drop(store);
    for access in [Access::ReadWrite, Access::ReadOnly, Access::ReadWrite] {
        let start = Watch::start();
        let store = Store::open(dir.path(), access).unwrap();
        start.print(&format!("open, {access:?}"), 1);
        let keys: Vec<_> = (0..RESULTS).map(|number| key(&format!("1024-{number}"))).collect();
        let start = Watch::start();
        assert!(keys.iter().all(|key| store.hit(key).is_some()));
        start.print("hit", RESULTS);
        let start = Watch::start();
        assert!(keys[..1000].iter().all(|key| store.recorded(key).is_some()));
        start.print("recorded", 1000);
        let start = Watch::start();
        store.touch(&keys).unwrap();
        start.print("touch", RESULTS);
        let start = Watch::start();
        (0..1000).for_each(|_| store.refresh().unwrap());
        start.print("refresh", 1000);
    }
    let start = Watch::start();
    let report = open(dir.path()).verify().unwrap();
    let mebibytes = report.bytes_read as f64 / f64::from(1 << 20);
    start.print(&format!("verify of {mebibytes:.0} MiB"), 1);
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        status.lines().filter(|line| line.starts_with("VmHWM")).for_each(|line| println!("{line}"));
    }
}

#[test]
#[ignore = "prints figures, claims nothing"]
fn cost_of_looking_at_unchanged_files() {
    let dir = tempfile::tempdir_in(".").unwrap();
    let paths: Vec<_> = (0..RESULTS).map(|number| dir.path().join(format!("{number:06}.png"))).collect();
    paths.iter().for_each(|path| std::fs::write(path, b"pixels").unwrap());
    std::thread::sleep(std::time::Duration::from_secs(3));
    for round in ["first", "second"] {
        let start = Watch::start();
        let digests = FileDigests::open(dir.path());
        start.print(&format!("{round} opening of the stat cache"), RESULTS);
        let start = Watch::start();
        let files: Vec<_> = paths.iter().map(|path| (path.as_path(), None)).collect();
        assert!(digests.digest_many(&files).iter().all(Result::is_ok));
        start.print(&format!("{round} look at files"), RESULTS);
        let start = Watch::start();
        digests.save().unwrap();
        start.print(&format!("{round} saving of the stat cache"), RESULTS);
    }
}

#[test]
#[ignore = "prints figures, claims nothing"]
fn cost_of_signatures() {
    const SIGNED: usize = 10_000;
    let dir = tempfile::tempdir_in(".").unwrap();
    let names: Vec<_> = (0..SIGNED).map(|number| number.to_string()).collect();
    let out = ["out".to_owned()];
    let wanted: Vec<_> = names.iter().map(|name| (key(name), &out[..])).collect();
    let own = PrivateKey::generate().unwrap();
    for (what, signers) in [("unsigned", None), ("signed", Some(Vec::new()))] {
        let own = signers.as_ref().map(|_| own.clone());
        let open = || {
            let trust = Trust::new(signers.clone(), own.clone());
            Store::open_trusting(&dir.path().join(what), Access::ReadWrite, trust).unwrap()
        };
        let store = open();
        let (output, _) = store.put_artifact(vec![("file".to_owned(), PutContent::Bytes(vec![7]))]).unwrap();
        let start = Watch::start();
        names.iter().for_each(|name| drop(store.put_result(&key(name), result(name, output)).unwrap()));
        start.print(&format!("record {what}"), SIGNED);
        store.commit().unwrap();
        drop(store);
        let store = open();
        for time in ["first", "second"] {
            let start = Watch::start();
            assert!(store.outputs(&wanted).0.iter().all(|hit| *hit));
            start.print(&format!("{time} lookup {what}"), SIGNED);
        }
    }
}

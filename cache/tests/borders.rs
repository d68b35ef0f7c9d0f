//! Borders of a store: foreign folders, files of people inside a store, and targets of links stay as they are.

mod common;

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use common::{contents, key, large, open, record, tree};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use orchestrate_cache::{
    Access, CHECKPOINT_HEADER_BYTES, Checkpoints, Digest, FileDigests, GcPolicy, Pin, Store, StoreError, disk,
};

const LONG_AGO: SystemTime = SystemTime::UNIX_EPOCH;

/// Makes a store with every folder.
fn full_store(dir: &Path) {
    let store = open(dir);
    record(&store, "small", b"1");
    record(&store, "large", &large(1));
    store.commit().unwrap();
    store.touch(&[key("small"), key("large")]).unwrap();
    store.pin(Pin { name: "paper".to_owned(), source: "run 1".to_owned(), pinned_ms: 1, keys: vec![] }).unwrap();
    drop(store.try_lease_across_hosts(&key("claimed")).unwrap());
    let checkpoints = Checkpoints::new(&store.checkpoint_dir(&key("later")), key("later"));
    checkpoints.save(1, vec![5; CHECKPOINT_HEADER_BYTES + 50]).unwrap();
    store.gc(&GcPolicy::default()).unwrap();
}

fn folders(dir: &Path) -> Vec<PathBuf> {
    let mut all = vec![dir.to_owned()];
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(folders(&path));
        }
    }
    all
}

fn open_all_ways(dir: &Path) -> Vec<StoreError> {
    let ways = [
        Store::open(dir, Access::ReadWrite).map(drop),
        Store::open(dir, Access::ReadOnly).map(drop),
        Store::repair(dir).map(drop),
    ];
    ways.into_iter().map(|outcome| outcome.expect_err("it is no store")).collect()
}

#[test]
fn a_folder_whose_names_are_those_of_a_store_is_refused_untouched() {
    for names in [vec!["tmp"], vec!["runs", "packs"], vec!["objects", "packs", "tmp"], vec![".config", ".bashrc.d"]] {
        let dir = tempfile::tempdir().unwrap();
        for name in &names {
            fs::create_dir_all(dir.path().join(name).join("raw")).unwrap();
            fs::write(dir.path().join(name).join("raw/scan1.dcm"), "precious").unwrap();
        }
        let before = tree(dir.path());
        for error in open_all_ways(dir.path()) {
            assert!(matches!(error, StoreError::NotAStore { .. }), "{error}");
            assert!(error.to_string().contains(names[0]), "{error}");
            assert!(error.to_string().contains("name an empty or a new folder"), "{error}");
        }
        assert_eq!(tree(dir.path()), before);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), names.len());
    }
}

#[test]
fn a_cache_of_another_program_is_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55\n# Another's\n").unwrap();
    assert!(open_all_ways(dir.path()).iter().all(|error| matches!(error, StoreError::NotAStore { .. })));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn new_and_empty_folders_become_stores_and_so_do_those_that_only_seem_to_hold_something() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::create_dir(path("empty")).unwrap();
    fs::create_dir_all(path("filesystem/lost+found")).unwrap();
    fs::create_dir(path("seen")).unwrap();
    fs::write(path("seen/.DS_Store"), "icons").unwrap();
    symlink("empty", path("link")).unwrap();
    for name in ["link", "new/below", "filesystem", "seen"] {
        drop(open(&path(name)));
        assert!(path(name).join("format").exists(), "{name}");
    }
    assert_eq!(fs::read_to_string(path("seen/.DS_Store")).unwrap(), "icons");
    assert!(path("filesystem/lost+found").exists() && path("empty/format").exists());
    assert!(open(&path("seen")).verify().unwrap().strange.is_empty());
}

#[test]
fn what_a_process_leaves_that_was_killed_while_it_made_a_store_becomes_one() {
    for (name, text) in [
        (".new-CACHEDIR.TAG", ""),
        (".new-CACHEDIR.TAG", "Signature: 8a477f59"),
        ("CACHEDIR.TAG", ""),
        (".new-format", "orchestrate st"),
        (".new-format~1", "orchestrate store 1\n"),
        (".new-format~1", "orchestrate store 2\n"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(name), text).unwrap();
        assert!(Store::open(dir.path(), Access::ReadOnly).unwrap().results().next().is_none());
        record(&open(dir.path()), "a", b"1");
        assert!(dir.path().join("format").exists(), "{name}");
    }
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(".new-format"), "precious").unwrap();
    assert!(matches!(Store::open(dir.path(), Access::ReadWrite), Err(StoreError::NotAStore { .. })));
}

#[test]
fn many_processes_that_make_one_store_at_once_all_get_it() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let path = dir.path().join(round.to_string());
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| drop(open(&path)));
            }
        });
    }
}

#[test]
fn files_links_to_nowhere_and_folders_below_files_are_no_stores() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("file"), "precious").unwrap();
    symlink("nowhere", path("dangling")).unwrap();
    for (name, part) in [("file", "is no folder"), ("dangling", "leads nowhere")] {
        for error in open_all_ways(&path(name)) {
            assert!(matches!(error, StoreError::NotAStore { .. }), "{error}");
            assert!(error.to_string().contains(part), "{error}");
        }
    }
    assert!(Store::open(&path("file/below"), Access::ReadWrite).is_err());
    assert!(!path("nowhere").exists());
    assert_eq!(fs::read_to_string(path("file")).unwrap(), "precious");
}

#[test]
fn a_store_that_lost_its_format_is_refused_until_it_is_repaired() {
    for lose in [
        |path: &Path| fs::remove_file(path).unwrap(),
        |path: &Path| {
            fs::remove_file(path).unwrap();
            symlink("last-gc", path).unwrap();
        },
    ] {
        let dir = tempfile::tempdir().unwrap();
        full_store(dir.path());
        lose(&dir.path().join("format"));
        // The tag may be gone too: a pack tells as well.
        fs::remove_file(dir.path().join("CACHEDIR.TAG")).unwrap();
        let before = tree(dir.path());
        for access in [Access::ReadWrite, Access::ReadOnly] {
            let error = Store::open(dir.path(), access).unwrap_err();
            assert!(matches!(error, StoreError::NotAStore { .. }), "{error}");
        }
        assert_eq!(tree(dir.path()), before);
        let report = Store::repair(dir.path()).unwrap();
        assert!(report.done.iter().any(|done| done.contains("format anew")), "{report:?}");
        assert_eq!(contents(&open(dir.path()), "large").unwrap(), large(1));
    }
}

/// Plants files and folders with names like those of a store, where a store may want to write.
#[test]
fn files_of_people_in_any_folder_of_a_store_outlive_everything_and_are_named() {
    let dir = tempfile::tempdir().unwrap();
    full_store(dir.path());
    // As old as everything that may be removed.
    let mut planted = Vec::new();
    for folder in folders(dir.path()) {
        for name in ["notes.txt", ".hidden", "scan.pack", "x.lock", "data.tail", "epoch-1", "2024", ".new-notes"] {
            let path = folder.join(name);
            fs::write(&path, "precious").unwrap();
            File::open(&path).unwrap().set_modified(LONG_AGO).unwrap();
            planted.push(path);
        }
        for name in ["thesis", "7", "77-abc-0"] {
            fs::create_dir(folder.join(name)).unwrap();
            fs::write(folder.join(name).join("raw"), "precious").unwrap();
            planted.push(folder.join(name).join("raw"));
        }
    }
    let nested = dir.path().join("nested");
    full_store(&nested);

    let store = open(dir.path());
    record(&store, "later", &large(2));
    drop(store.scratch().unwrap());
    store.commit().unwrap();
    let policy = GcPolicy { max_age: Some(Duration::ZERO), max_size_bytes: Some(1), ..GcPolicy::default() };
    let report = store.gc(&policy).unwrap();
    assert!(report.checkpoints > 0 && report.objects > 0, "{report:?}");
    let strange = store.verify().unwrap().strange;
    drop(store);
    Store::repair(dir.path()).unwrap();
    let store = open(dir.path());
    record(&store, "last", b"1");
    store.commit().unwrap();
    assert!(store.verify().unwrap().problems.is_empty());

    for path in &planted {
        assert_eq!(fs::read_to_string(path).ok().as_deref(), Some("precious"), "{}", path.display());
        // Files in the folders of runs are the engine's business.
        let below = path.strip_prefix(dir.path()).unwrap();
        let named = strange.iter().any(|strange| path.starts_with(strange));
        assert!(named || below.starts_with("runs"), "{} is not named", below.display());
    }
    assert!(strange.contains(&nested) && open(&nested).verify().unwrap().problems.is_empty());
}

#[test]
fn links_and_fifos_in_place_of_what_a_store_has_are_refused_by_name() {
    let names = ["stat-cache", "pack-ends", "last-use", "lineage", "last-gc", "gc.lock", "use.lock", "CACHEDIR.TAG"];
    let folders = ["packs", "objects", "tmp", "runs", "quarantine", "checkpoints", "pins", "claims", "leases.d"];
    for name in names.iter().chain(&folders) {
        for fifo in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let (store, victim) = (dir.path().join("store"), dir.path().join("victim"));
            full_store(&store);
            let _ = fs::rename(store.join(name), &victim);
            if !victim.exists() {
                fs::write(&victim, "precious").unwrap();
            }
            if fifo {
                mkfifo(&store.join(name), Mode::S_IRWXU).unwrap();
            } else {
                symlink("../victim", store.join(name)).unwrap();
            }
            let before =
                if victim.is_dir() { tree(&victim) } else { vec![(victim.clone(), fs::read(&victim).unwrap())] };
            for error in open_all_ways(&store) {
                let kind = if fifo { "a FIFO" } else { "a link" };
                assert!(matches!(error, StoreError::WrongKind { .. }), "{name}: {error}");
                assert!(error.to_string().contains(kind) && error.to_string().contains(name), "{name}: {error}");
            }
            let after =
                if victim.is_dir() { tree(&victim) } else { vec![(victim.clone(), fs::read(&victim).unwrap())] };
            assert_eq!(before, after, "{name}");
        }
    }
}

#[test]
fn a_format_that_is_a_link_or_a_fifo_is_refused_at_once() {
    for fifo in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("format");
        if fifo {
            mkfifo(&path, Mode::S_IRWXU).unwrap()
        } else {
            symlink("/dev/zero", &path).unwrap()
        }
        for error in open_all_ways(dir.path()) {
            assert!(error.to_string().contains(if fifo { "a FIFO" } else { "a link" }), "{error}");
        }
    }
}

#[test]
fn links_in_the_place_of_files_that_are_written_lead_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let (store_dir, victim) = (dir.path().join("store"), dir.path().join("victim"));
    full_store(&store_dir);
    fs::write(&victim, "precious").unwrap();
    let digest = Digest::of(&large(7)).to_string();
    let object_dir = store_dir.join("objects").join(&digest[..2]);
    fs::create_dir_all(&object_dir).unwrap();
    // The next session of this host would take it.
    let names = fs::read_dir(store_dir.join("tmp")).unwrap().map(|entry| entry.unwrap().path());
    let session = names.into_iter().find(|path| path.to_string_lossy().ends_with("-0.lock")).unwrap();
    fs::remove_file(&session).unwrap();
    for path in [
        store_dir.join(".new-pack-ends"),
        store_dir.join(".new-stat-cache"),
        store_dir.join("pins/.new-paper.json"),
        session,
        store_dir.join("packs/000000000000-0-0.pack"),
        object_dir.join(&digest),
    ] {
        symlink(&victim, path).unwrap();
    }
    mkfifo(&store_dir.join(".new-last-gc"), Mode::S_IRWXU).unwrap();
    fs::create_dir(store_dir.join(".new-last-gc~1")).unwrap();
    // A link is no pack: it is not read, keeps nobody from the store, and stops deletions.
    let error = open(&store_dir).gc(&GcPolicy::default()).unwrap_err();
    assert!(error.to_string().contains("0.pack: it is a link"), "{error}");
    fs::remove_file(store_dir.join("packs/000000000000-0-0.pack")).unwrap();

    let store = open(&store_dir);
    record(&store, "seven", &large(7));
    store.commit().unwrap();
    store.pin(Pin { name: "paper".to_owned(), source: String::new(), pinned_ms: 1, keys: vec![key("seven")] }).unwrap();
    let digests = FileDigests::open(&store_dir);
    digests.digest(&std::env::current_exe().unwrap()).unwrap();
    digests.save().unwrap();
    store.gc(&GcPolicy { max_age: Some(Duration::ZERO), ..GcPolicy::default() }).unwrap();
    drop(store);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    assert_eq!(contents(&open(&store_dir), "seven").unwrap(), large(7));
    assert!(store_dir.join(".new-pack-ends").is_symlink(), "it is somebody's");
}

#[test]
fn a_folder_of_objects_that_is_a_link_gets_no_object_and_loses_none() {
    let dir = tempfile::tempdir().unwrap();
    let (store_dir, elsewhere) = (dir.path().join("store"), dir.path().join("elsewhere"));
    let store = open(&store_dir);
    record(&store, "large", &large(3));
    store.commit().unwrap();
    let prefix = store_dir.join("objects").join(&Digest::of(&large(3)).to_string()[..2]);
    fs::rename(&prefix, &elsewhere).unwrap();
    symlink(&elsewhere, &prefix).unwrap();
    let before = tree(&elsewhere);
    store.forget_result(&key("large"));
    store.gc(&GcPolicy { max_size_bytes: Some(1), ..GcPolicy::default() }).unwrap();
    assert_eq!(tree(&elsewhere), before);
    assert!(store.verify().unwrap().strange.contains(&prefix));
    // A damaged object is not moved either.
    let object = elsewhere.join(Digest::of(&large(3)).to_string());
    fs::remove_file(&object).unwrap();
    fs::write(&object, "other").unwrap();
    assert!(open(&store_dir).read(&Digest::of(&large(3))).is_err());
    assert_eq!(fs::read(&object).unwrap(), b"other");
    fs::remove_file(&object).unwrap();
    let store = open(&store_dir);
    let files = vec![("file".to_owned(), orchestrate_cache::PutContent::Bytes(large(3)))];
    let error = store.put_artifact(files).unwrap_err();
    assert!(error.to_string().contains("it is a link"), "{error}");
    assert_eq!(tree(&elsewhere), []);
}

#[test]
fn a_file_that_is_replaced_is_whole_whoever_else_writes_it_and_whatever_lies_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    // Of a killed process, and of one that writes now.
    let names: Vec<_> = disk::unfinished(&path).take(2).collect();
    fs::write(&names[0], "half").unwrap();
    let living = File::create(&names[1]).unwrap();
    living.lock().unwrap();
    // Another host may write this one now.
    let far = dir.path().join(".new-file~aaaaaaaaaaaa");
    fs::write(&far, "half").unwrap();
    assert_eq!(disk::finished_name(".new-file~aaaaaaaaaaaa"), Some("file"));
    disk::replace(&path, b"first", false).unwrap();
    assert!(!names[0].exists() && names[1].exists() && far.exists());
    std::thread::scope(|scope| {
        for number in 0..8_u8 {
            let path = &path;
            scope.spawn(move || {
                for _ in 0..50 {
                    disk::replace(path, &[number; 3000], false).unwrap();
                    let bytes = fs::read(path).unwrap();
                    assert!(bytes.len() == 3000 && bytes.iter().all(|byte| *byte == bytes[0]));
                }
            });
        }
    });
    drop(living);
    disk::replace(&path, b"last", true).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"last");
    let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    let names = [names[1].file_name().unwrap(), far.file_name().unwrap(), path.file_name().unwrap()];
    let names: std::collections::BTreeSet<_> = names.into_iter().collect();
    assert!(left.iter().eq(names), "what a killed process left there goes when the name is needed");
}

//! Damage on disk: a lost or changed byte costs work at most, and no wrong byte is ever served.

mod common;

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use common::{contents, key, large, only_pack, open, record, result, tree};
use orchestrate_cache::{Access, Digest, PutContent, Store, StoreError};

/// Names by commit; some contents are shared, one is empty.
const COMMITS: [&[&str]; 4] = [&["a"], &["b", "c", "d"], &["e"], &["f", "g"]];

fn bytes_of(name: &str) -> Vec<u8> {
    match name {
        "c" | "f" => b"shared".to_vec(),
        "d" => Vec::new(),
        _ => name.repeat(20).into_bytes(),
    }
}

/// Makes a store with four commits; returns the length of its pack after each.
fn four_commits(dir: &Path) -> Vec<usize> {
    let store = open(dir);
    let commit = |names: &&[&str]| {
        for name in *names {
            record(&store, name, &bytes_of(name));
        }
        store.commit().unwrap();
        fs::metadata(only_pack(dir)).unwrap().len() as usize
    };
    COMMITS.iter().map(commit).collect()
}

/// Lists the names of hits, and checks each against its record.
fn hits(store: &Store) -> Vec<&'static str> {
    let is_hit = |name: &&&'static str| {
        if store.hit(&key(name)).is_none() {
            return false;
        }
        // A corrupt record is a miss once somebody reads it.
        let Some(found) = store.recorded(&key(name)) else { return false };
        assert_eq!(found, result(name, found.outputs[0].1), "the result of {name}");
        match contents(store, name) {
            Some(bytes) => assert_eq!(bytes, bytes_of(name), "the bytes of {name}"),
            None => return false,
        }
        true
    };
    COMMITS.into_iter().flatten().filter(is_hit).copied().collect()
}

fn all() -> Vec<&'static str> {
    COMMITS.concat()
}

#[test]
fn a_pack_that_is_cut_anywhere_holds_the_commits_before_the_cut() {
    let dir = tempfile::tempdir().unwrap();
    let ends = four_commits(dir.path());
    let path = only_pack(dir.path());
    let whole = fs::read(&path).unwrap();
    for len in (0..whole.len()).rev() {
        // In place, as a filesystem may sync a file that is truncated and written.
        File::options().write(true).open(&path).unwrap().set_len(len as u64).unwrap();
        let complete = ends.iter().filter(|end| **end <= len).count();
        let store = Store::open(dir.path(), Access::ReadOnly).unwrap();
        assert_eq!(hits(&store), COMMITS[..complete].concat(), "cut at {len}");
        let torn = whole[ends[..complete].last().copied().unwrap_or(0)..len].len();
        if !len.is_multiple_of(97) {
            continue;
        }
        let store = open(dir.path());
        for name in all() {
            record(&store, name, &bytes_of(name));
        }
        store.commit().unwrap();
        assert_eq!(hits(&store), all(), "cut at {len} and recorded again");
        assert_eq!(hits(&open(dir.path())), all(), "cut at {len}, recorded again and reopened");
        // Everything is there again; the loss is remembered until a repair.
        let problems = store.verify().unwrap().problems;
        assert!(problems.iter().all(|problem| problem.message.contains("are left")), "{problems:?}");
        // The tail is kept, and the pack grew on from its last whole group.
        let kept: Vec<_> = tree(&dir.path().join("quarantine")).into_iter().map(|(_, bytes)| bytes.len()).collect();
        assert_eq!(kept, if torn == 0 { vec![] } else { vec![torn] }, "cut at {len}");
        assert_eq!(only_pack(dir.path()), path);
        drop(store);
        fs::remove_dir_all(dir.path().join("quarantine")).unwrap();
        fs::write(&path, &whole[..len]).unwrap();
    }
}

#[test]
fn a_tail_of_zeros_is_torn() {
    let dir = tempfile::tempdir().unwrap();
    let ends = four_commits(dir.path());
    let path = only_pack(dir.path());
    let mut bytes = fs::read(&path).unwrap();
    bytes[ends[2]..].fill(0);
    fs::write(&path, &bytes).unwrap();
    let store = open(dir.path());
    assert_eq!(hits(&store), COMMITS[..3].concat());
    record(&store, "f", &bytes_of("f"));
    store.commit().unwrap();
    assert_eq!(hits(&open(dir.path())), [&COMMITS[..3].concat()[..], &["f"]].concat());
}

#[test]
fn a_flipped_byte_anywhere_in_a_pack_costs_its_group_at_most() {
    let dir = tempfile::tempdir().unwrap();
    let ends = four_commits(dir.path());
    let path = only_pack(dir.path());
    let whole = fs::read(&path).unwrap();
    for place in 0..whole.len() {
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(&[whole[place] ^ (1 << (place % 8))], place as u64).unwrap();
        let hit_commit = ends.iter().filter(|end| **end <= place).count();
        let found = hits(&Store::open(dir.path(), Access::ReadOnly).unwrap());
        for (number, names) in COMMITS.iter().enumerate() {
            for name in *names {
                // `f` shares its bytes with `c`, so they lie in the second commit.
                let needs = if *name == "f" { vec![1, 3] } else { vec![number] };
                assert!(found.contains(name) || needs.contains(&hit_commit), "{name} is lost by a flip at {place}");
            }
        }
        if !place.is_multiple_of(67) {
            file.write_all_at(&whole[place..=place], place as u64).unwrap();
            continue;
        }
        // One `verify` finds it, and recording again mends it.
        let store = open(dir.path());
        let report = store.verify().unwrap();
        let torn = report.problems.is_empty();
        // A flip in the header of the last group looks like a torn tail: a loss, but no problem.
        assert!(!torn || (ends[2]..ends[2] + 32).contains(&place), "a flip at {place} is not found");
        for name in all() {
            record(&store, name, &bytes_of(name));
        }
        store.commit().unwrap();
        assert_eq!(hits(&store), all(), "a flip at {place}");
        assert_eq!(hits(&open(dir.path())), all(), "a flip at {place}, reopened");
        drop(store);
        fs::write(&path, &whole).unwrap();
        for (other, _) in tree(&dir.path().join("packs")) {
            if other != path {
                fs::remove_file(other).unwrap();
            }
        }
    }
}

#[test]
fn a_flipped_byte_in_an_object_is_quarantined_and_a_miss() {
    let dir = tempfile::tempdir().unwrap();
    for place in [0, 1, 50_000, 99_999] {
        let store = open(dir.path());
        record(&store, "a", &large(0));
        store.commit().unwrap();
        let digest = Digest::of(&large(0));
        let path = store.locate(&digest).unwrap().path;
        let mut bytes = fs::read(&path).unwrap();
        bytes[place] ^= 1;
        fs::remove_file(&path).unwrap();
        fs::write(&path, &bytes).unwrap();

        assert!(store.hit(&key("a")).is_some(), "nobody has read it yet");
        let error = store.read(&digest).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains(&digest.to_string()));
        assert_eq!(fs::read(dir.path().join("quarantine").join(digest.to_string())).unwrap(), bytes);
        assert_eq!(store.hit(&key("a")), None);
        assert!(matches!(store.read(&digest), Err(StoreError::Missing { .. })));
        record(&store, "a", &large(0));
        store.commit().unwrap();
        assert_eq!(contents(&store, "a").unwrap(), large(0));
    }
}

#[test]
fn a_deleted_or_cut_object_is_a_miss() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    record(&store, "a", &large(0));
    store.commit().unwrap();
    let path = store.locate(&Digest::of(&large(0))).unwrap().path;
    fs::remove_file(&path).unwrap();
    assert_eq!(open(dir.path()).hit(&key("a")), None);
    fs::write(&path, &large(0)[1..]).unwrap();
    assert_eq!(open(dir.path()).hit(&key("a")), None);
    // Recording it again replaces the short one.
    let store = open(dir.path());
    record(&store, "a", &large(0));
    store.commit().unwrap();
    assert_eq!(contents(&open(dir.path()), "a").unwrap(), large(0));
}

#[test]
fn what_a_worker_found_corrupt_is_a_miss_for_everybody_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    four_commits(dir.path());
    let store = open(dir.path());
    let other = open(dir.path());
    let location = store.locate(&Digest::of(&bytes_of("b"))).unwrap();
    let mut bytes = fs::read(&location.path).unwrap();
    bytes[location.offset as usize] ^= 0x20;
    fs::write(&location.path, &bytes).unwrap();
    assert!(location.read_verified(&Digest::of(&bytes_of("b"))).is_err());
    store.invalidate(&Digest::of(&bytes_of("b")));
    store.invalidate(&Digest::of(&bytes_of("a")));
    assert_eq!(store.hit(&key("b")), None);
    assert!(store.hit(&key("a")).is_some(), "it was sound, whatever the worker said");
    other.refresh().unwrap();
    assert_eq!(other.hit(&key("b")), None);
    assert_eq!(open(dir.path()).hit(&key("b")), None);
}

#[test]
fn a_hole_in_the_last_commit_is_a_miss_at_once() {
    let dir = tempfile::tempdir().unwrap();
    four_commits(dir.path());
    let store = open(dir.path());
    // A crash of the machine may leave zeros where `g` was; `b` was durable before, so nobody looks at it yet.
    for name in ["g", "b"] {
        let place = store.locate(&Digest::of(&bytes_of(name))).unwrap();
        File::options().write(true).open(&place.path).unwrap().write_all_at(&[0; 20], place.offset).unwrap();
    }
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.hit(&key("g")), None);
    assert!(store.hit(&key("b")).is_some());
    assert_eq!(contents(&store, "b"), None);
    assert_eq!(store.hit(&key("b")), None);
    // Later commits go to another pack, as the one with the hole would hide it.
    record(&store, "g", &bytes_of("g"));
    store.commit().unwrap();
    assert_eq!(contents(&open(dir.path()), "g").unwrap(), bytes_of("g"));
    assert_eq!(store.stats().unwrap().packs, 2);
}

#[test]
fn a_pack_within_a_pack_is_only_bytes() {
    let dir = tempfile::tempdir().unwrap();
    four_commits(dir.path());
    let path = only_pack(dir.path());
    let outer = fs::read(&path).unwrap();
    // A later state of the same pack, with one result more, goes into the pack as a blob.
    let store = open(dir.path());
    record(&store, "inner", b"inner");
    store.commit().unwrap();
    let inner = fs::read(&path).unwrap();
    drop(store);
    fs::write(&path, &outer).unwrap();
    let store = open(dir.path());
    record(&store, "pack", &inner);
    store.commit().unwrap();
    record(&store, "later", b"later");
    store.commit().unwrap();
    drop(store);
    // Break the group around it, so that a reader looks for the next group within it.
    let mut bytes = fs::read(&path).unwrap();
    bytes[outer.len() + 5] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let store = open(dir.path());
    assert_eq!(hits(&store), all());
    assert_eq!(contents(&store, "later").unwrap(), b"later");
    assert_eq!((store.hit(&key("pack")), store.hit(&key("inner"))), (None, None));
}

#[test]
fn verify_names_what_is_corrupt_missing_and_not_needed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    four_commits(dir.path());
    for (name, seed) in [("sound", 0), ("flipped", 1), ("deleted", 2)] {
        record(&store, name, &large(seed));
    }
    store.put_artifact(vec![("weights".to_owned(), PutContent::Bytes(large(3)))]).unwrap();
    store.commit().unwrap();
    assert!(store.verify().unwrap().problems.is_empty());
    let object = |seed| store.locate(&Digest::of(&large(seed))).unwrap().path;
    let (flipped, deleted, orphan) = (object(1), object(2), object(3));
    fs::remove_file(&flipped).unwrap();
    fs::write(&flipped, large(9)).unwrap();
    fs::remove_file(&deleted).unwrap();

    let report = store.verify().unwrap();
    let messages: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
    assert_eq!(messages.len(), 3, "{messages:#?}");
    assert!(messages[0].contains(&Digest::of(&large(1)).to_string()) && messages[0].contains("is corrupt"));
    assert!(messages[1..].iter().any(|message| message.contains("score[name=flipped]")));
    assert!(messages[1..].iter().any(|message| message.contains("score[name=deleted]")));
    assert_eq!(report.orphans, [orphan.to_path_buf()]);
    assert!(dir.path().join("quarantine").join(Digest::of(&large(1)).to_string()).exists());
    assert_eq!((store.hit(&key("flipped")), store.hit(&key("deleted"))), (None, None));
    assert_eq!(contents(&store, "sound").unwrap(), large(0));
}

#[test]
fn a_lost_result_is_recorded_anew() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    record(&store, "a", &large(0));
    store.commit().unwrap();
    fs::remove_file(store.locate(&Digest::of(&large(0))).unwrap().path).unwrap();
    let store = open(dir.path());
    let output = record(&store, "a", b"other bytes this time");
    store.commit().unwrap();
    assert_eq!(store.hit(&key("a")).unwrap().outputs[0].1, output);
    assert_eq!(open(dir.path()).hit(&key("a")).unwrap().outputs[0].1, output);
}

#[test]
fn bytes_that_are_made_again_take_the_place_of_damaged_ones() {
    let apply = |damage: &str, bytes: &mut Vec<u8>| match damage {
        "flipped" => bytes[70] ^= 1,
        "cut" => bytes.truncate(60),
        _ => bytes.fill(0),
    };
    for damage in ["flipped", "cut", "of zeros"] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        for (name, bytes) in [("small", vec![7; 100]), ("bytes", large(1)), ("file", large(2))] {
            record(&store, name, &bytes);
        }
        store.commit().unwrap();
        for (name, bytes) in [("small", vec![7; 100]), ("bytes", large(1)), ("file", large(2))] {
            let location = store.locate(&Digest::of(&bytes)).unwrap();
            let (start, len) = (location.offset as usize, location.size_bytes as usize);
            let mut whole = fs::read(&location.path).unwrap();
            let mut damaged = whole[start..start + len].to_vec();
            apply(damage, &mut damaged);
            // A body in a pack keeps its length.
            if name == "small" {
                damaged.resize(len, 0);
            }
            whole.splice(start..start + len, damaged.iter().copied());
            overwrite(&location.path, &whole);
            let content = match name {
                "file" => {
                    let path = store.scratch().unwrap().keep().join("file");
                    fs::write(&path, &bytes).unwrap();
                    PutContent::File(path)
                }
                _ => PutContent::Bytes(bytes.clone()),
            };
            store.put_artifact(vec![("scores.parquet".to_owned(), content)]).unwrap();
            store.commit().unwrap();
            assert_eq!(contents(&store, name).as_ref(), Some(&bytes), "{name}, {damage}");
            assert_eq!(contents(&open(dir.path()), name).as_ref(), Some(&bytes), "{name}, {damage}, opened again");
            let kept = fs::read(dir.path().join("quarantine").join(Digest::of(&bytes).to_string())).unwrap();
            assert_eq!(kept, damaged, "{name}, {damage}");
        }
        let problems = store.verify().unwrap().problems;
        assert!(problems.is_empty(), "{damage}: {problems:?}");
    }
}

/// Changes a file in place, as a bad disk does, even one that is read-only.
fn overwrite(path: &Path, bytes: &[u8]) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
}

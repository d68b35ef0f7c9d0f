//! Stores that several users share: rights come from the folder of the store, whatever the umask of each user.

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{contents, key, large, open, record};
use orchestrate_cache::{Access, CHECKPOINT_HEADER_BYTES, Checkpoints, FileDigests, GcPolicy, Pin, PutContent, Store};

/// Users of a group, each with a umask.
const USERS: [(u32, &str); 3] = [(42_001, "002"), (42_002, "022"), (42_003, "077")];
const GROUP: u32 = 42_900;

/// Runs one of the tests below in a process with another umask, as another user if there is one.
fn child(test: &str, dir: &Path, umask: &str, user: Option<u32>, word: &str) -> Child {
    let program = std::env::current_exe().unwrap();
    let mut command = match user {
        None => Command::new("sh"),
        Some(user) => {
            let mut command = Command::new("setpriv");
            command.args([format!("--reuid={user}"), format!("--regid={user}"), format!("--groups={user},{GROUP}")]);
            command.arg("sh");
            command
        }
    };
    command.args(["-c", "umask \"$0\"; exec \"$@\"", umask]).arg(program);
    command.args(["--exact", test, "--ignored", "--nocapture"]);
    command.env("STORE_OF_CHILD", dir).env("WORD_OF_CHILD", word).stdout(Stdio::null()).spawn().unwrap()
}

fn of_child() -> Option<(PathBuf, String)> {
    Some((PathBuf::from(std::env::var_os("STORE_OF_CHILD")?), std::env::var("WORD_OF_CHILD").ok()?))
}

fn ends_well(mut child: Child) {
    assert!(child.wait().unwrap().success());
}

/// A folder that the group shares, which all users can reach; `None` if this user cannot become others.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn group_folder(test: &str) -> Option<tempfile::TempDir> {
    let (user, program) = (USERS[0].0, std::env::current_exe().unwrap());
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".to_owned()]);
    let can = command.arg(program).arg("--list").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !can.is_ok_and(|status| status.success()) {
        eprintln!("skipped: {test}: this user cannot run programs as others");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    chown(dir.path(), None, Some(GROUP)).unwrap();
    set_mode(dir.path(), 0o2775);
    Some(dir)
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

/// Lists all paths below a folder.
fn below(dir: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            paths.extend(below(&path));
        }
        paths.push(path);
    }
    paths
}

/// Makes a file of every kind in a store.
#[test]
#[ignore = "a part of rights_are_those_of_the_folder_whatever_the_umask"]
fn child_makes_everything() {
    let Some((dir, word)) = of_child() else { return };
    let store = open(&dir);
    record(&store, &format!("{word}-small"), word.as_bytes());
    record(&store, &format!("{word}-large"), &large(word.len() as u8));
    let scratch = store.scratch().unwrap();
    let file = scratch.path().join("file");
    fs::write(&file, vec![word.len() as u8; 80_000]).unwrap();
    store.put_artifact(vec![("file".to_owned(), PutContent::File(file))]).unwrap();
    store.commit().unwrap();
    store.touch(&["small", "large"].map(|size| key(&format!("{word}-{size}")))).unwrap();
    let lease = store.try_lease_across_hosts(&key(&word)).unwrap().unwrap();
    let checkpoints = Checkpoints::new(&store.checkpoint_dir(&key(&word)), key(&word));
    checkpoints.save(1, vec![5; CHECKPOINT_HEADER_BYTES + 50]).unwrap();
    store.pin(Pin { name: word, source: "run 1".to_owned(), pinned_ms: 1, keys: vec![key("a")] }).unwrap();
    let digests = FileDigests::open(&dir);
    digests.digest(&std::env::current_exe().unwrap()).unwrap();
    digests.save().unwrap();
    store.gc(&GcPolicy { max_age: Some(Duration::from_secs(3600)), ..GcPolicy::default() }).unwrap();
    // Left behind, as by a kill.
    let _ = scratch.keep();
    std::mem::forget((lease, store));
}

#[test]
fn rights_are_those_of_the_folder_whatever_the_umask() {
    for (folder, file, object) in [(0o2775, 0o664, 0o444), (0o2770, 0o660, 0o440), (0o2750, 0o640, 0o440)] {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store");
        fs::create_dir(&store).unwrap();
        set_mode(&store, folder);
        for umask in ["002", "022", "077", "000"] {
            ends_well(child("child_makes_everything", &store, umask, None, umask));
        }
        let paths = below(&store);
        assert!(paths.len() > 30, "{paths:?}");
        for path in paths {
            let is_object = path.is_file() && path.starts_with(store.join("objects"));
            let of_program = path.ends_with("file");
            let expected = if path.is_dir() {
                folder
            } else if is_object {
                object
            } else {
                file
            };
            assert!(of_program || mode(&path) == expected, "{path:?} has {:o}, not {expected:o}", mode(&path));
        }
    }
}

#[test]
fn a_new_store_is_shared_only_in_a_shared_folder_or_a_folder_that_its_group_may_write() {
    let cases: [(u32, Option<u32>, &str, u32); 6] = [
        (0o2775, None, "077", 0o2775),
        (0o755, None, "022", 0o755),
        (0o755, None, "077", 0o700),
        (0o1777, None, "022", 0o755),
        (0o755, Some(0o700), "002", 0o700),
        (0o755, Some(0o770), "077", 0o2770),
    ];
    for (above, own, umask, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        set_mode(dir.path(), above);
        let store = dir.path().join("store");
        if let Some(own) = own {
            fs::create_dir(&store).unwrap();
            set_mode(&store, own);
        }
        ends_well(child("child_makes_everything", &store, umask, None, umask));
        assert_eq!(mode(&store), expected, "{above:o} {own:?} {umask}");
    }
}

#[test]
fn an_existing_store_is_shared_when_it_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    ends_well(child("child_makes_everything", &store, "077", None, "a"));
    let logs = store.join("runs/20260131-174502-318-9f02ac/logs");
    fs::create_dir_all(&logs).unwrap();
    fs::write(logs.join("a.log"), "private").unwrap();
    set_mode(&logs.join("a.log"), 0o600);
    fs::write(store.join("notes"), "somebody's").unwrap();
    set_mode(&store.join("notes"), 0o600);
    assert_eq!(mode(&store), 0o700);
    assert!(open(&store).share().unwrap().is_empty());
    assert_eq!([mode(&store), mode(&store.join("packs"))], [0o2770; 2]);
    assert!(below(&store.join("packs")).iter().all(|pack| mode(pack) == 0o660));
    assert_eq!([mode(&logs.join("a.log")), mode(&store.join("notes"))], [0o600; 2]);
    ends_well(child("child_makes_everything", &store, "077", None, "b"));
    let shared = below(&store).into_iter().filter(|path| path.is_dir());
    assert!(shared.clone().all(|path| mode(&path) & 0o2770 == 0o2770), "{:?}", shared.collect::<Vec<_>>());
}

/// Records results of its own, and reads those of the others.
#[test]
#[ignore = "a part of users_of_any_umask_share_results_collect_and_repair"]
fn child_works_in_a_group() {
    let Some((dir, word)) = of_child() else { return };
    for round in 0..10 {
        let store = open(&dir);
        let name = format!("{word}-{round}");
        record(&store, &name, name.as_bytes());
        record(&store, &format!("large-{name}"), &large(round));
        store.commit().unwrap();
        assert_eq!(contents(&store, &name).unwrap(), name.as_bytes());
        let lease = store.try_lease_across_hosts(&key(&format!("{round}"))).unwrap();
        drop(lease);
        store.touch(&[key(&name)]).unwrap();
    }
}

#[test]
fn users_of_any_umask_share_results_collect_and_repair() {
    let Some(dir) = group_folder("users of a group") else { return };
    let store = dir.path().join("store");
    let start = |test, (user, umask): (u32, &str), word: &str| child(test, &store, umask, Some(user), word);
    // In turn, the strictest first, which makes the store; then all at once.
    for user in USERS.into_iter().rev() {
        ends_well(start("child_works_in_a_group", user, &format!("turn-{}", user.1)));
    }
    let at_once = USERS.map(|user| start("child_works_in_a_group", user, &format!("once-{}", user.1)));
    at_once.into_iter().for_each(ends_well);
    for number in 0..USERS.len() {
        ends_well(start("child_collects", USERS[number], ""));
        ends_well(start("child_reads_all", USERS[(number + 1) % 3], ""));
    }
    for mender in USERS {
        damage(&store);
        ends_well(start("child_repairs", mender, ""));
    }
    for path in below(&store) {
        let metadata = fs::symlink_metadata(&path).unwrap();
        assert_eq!(metadata.gid(), GROUP, "{path:?}");
        assert!(metadata.mode() & 0o040 != 0, "{path:?} has {:o}", metadata.mode());
    }
}

#[test]
fn a_pack_that_one_may_not_read_is_passed_over_and_nothing_else_is_lost() {
    let Some(dir) = group_folder("a pack that one may not read") else { return };
    let store = dir.path().join("store");
    let [careless, reader, _] = USERS;
    let start = |test, (user, umask): (u32, &str), word: &str| child(test, &store, umask, Some(user), word);
    ends_well(start("child_makes_everything", careless, "mine"));
    let packs = below(&store.join("packs"));
    assert_eq!(packs.len(), 1);
    set_mode(&packs[0], 0o600);
    ends_well(start("child_makes_everything_but_collects_nothing", reader, "others"));
    // Damage of every kind, some of it out of the reader's reach.
    set_mode(&store.join("pins/mine.json"), 0o600);
    fs::write(store.join("last-use"), "damaged").unwrap();
    fs::remove_file(store.join("CACHEDIR.TAG")).unwrap();
    fs::create_dir(store.join("packs/000000000000-0-0.pack")).unwrap();
    set_mode(&store.join("packs/000000000000-0-0.pack"), 0o2775);
    fs::write(store.join("pins/.new-a.json"), "half").unwrap();
    set_mode(&store.join("pins"), 0o3775);
    ends_well(start("child_repairs_what_it_can", reader, packs[0].to_str().unwrap()));
    set_mode(&packs[0], 0o664);
    for (user, word) in [(careless, "mine"), (reader, "others")] {
        ends_well(start("child_finds_everything", user, word));
    }
}

#[test]
#[ignore = "a part of a_pack_that_one_may_not_read_is_passed_over_and_nothing_else_is_lost"]
fn child_makes_everything_but_collects_nothing() {
    let Some((dir, word)) = of_child() else { return };
    let store = open(&dir);
    assert!(contents(&store, "mine-small").is_none(), "its pack cannot be read");
    record(&store, &format!("{word}-small"), word.as_bytes());
    record(&store, &format!("{word}-large"), &large(word.len() as u8));
    store.commit().unwrap();
    let refused = store.gc(&GcPolicy { max_size_bytes: Some(1), ..GcPolicy::default() }).unwrap_err();
    assert!(refused.to_string().contains("it is unknown what its results need"), "{refused}");
    let problems = store.verify().unwrap().problems;
    let named = |text: &str| problems.iter().any(|problem| problem.message.contains(text));
    assert!(named("Permission denied") && named("it belongs to user 42001") && !named("lost"), "{problems:?}");
}

#[test]
#[ignore = "a part of a_pack_that_one_may_not_read_is_passed_over_and_nothing_else_is_lost"]
fn child_repairs_what_it_can() {
    let Some((dir, pack)) = of_child() else { return };
    let report = Store::repair(&dir).unwrap();
    for left in [pack.as_str(), "pins/mine.json", "pins/.new-a.json"] {
        assert!(report.failed.iter().any(|failed| failed.contains(left)), "{left}: {report:?}");
    }
    for mended in ["last-use", "000000000000-0-0.pack"] {
        assert!(report.done.iter().any(|done| done.contains(mended)), "{mended}: {report:?}");
    }
    assert_eq!(report.failed.len(), 3, "{report:?}");
    assert!(report.dropped.is_empty(), "{report:?}");
    assert!(dir.join("CACHEDIR.TAG").exists());
}

#[test]
#[ignore = "a part of a_pack_that_one_may_not_read_is_passed_over_and_nothing_else_is_lost"]
fn child_finds_everything() {
    let Some((dir, word)) = of_child() else { return };
    let store = open(&dir);
    assert_eq!(contents(&store, &format!("{word}-small")).unwrap(), word.as_bytes());
    assert_eq!(contents(&store, &format!("{word}-large")).unwrap(), large(word.len() as u8));
}

/// Flips a byte in the middle of a pack, and cuts `last-use`.
fn damage(store: &Path) {
    let pack = below(&store.join("packs")).remove(0);
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    // In place, so that its owner stays.
    fs::write(&pack, bytes).unwrap();
    let path = store.join("last-use");
    let len = fs::metadata(&path).unwrap().len();
    fs::File::options().write(true).open(path).unwrap().set_len(len - 3).unwrap();
}

#[test]
#[ignore = "a part of users_of_any_umask_share_results_collect_and_repair"]
fn child_reads_all() {
    let Some((dir, _)) = of_child() else { return };
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let store = Store::open(&dir, access).unwrap();
        for name in ["turn", "once"].iter().flat_map(|when| USERS.map(|(_, umask)| format!("{when}-{umask}"))) {
            for round in 0..10 {
                let name = format!("{name}-{round}");
                assert_eq!(contents(&store, &name).unwrap(), name.as_bytes());
                assert_eq!(contents(&store, &format!("large-{name}")).unwrap(), large(round));
            }
        }
    }
}

#[test]
#[ignore = "a part of users_of_any_umask_share_results_collect_and_repair"]
fn child_collects() {
    let Some((dir, _)) = of_child() else { return };
    let store = open(&dir);
    let before = store.stats().unwrap().results;
    let policy = GcPolicy { max_size_bytes: Some(1 << 40), ..GcPolicy::default() };
    store.gc(&policy).unwrap();
    assert_eq!(store.stats().unwrap().results, before);
}

#[test]
#[ignore = "a part of users_of_any_umask_share_results_collect_and_repair"]
fn child_repairs() {
    let Some((dir, _)) = of_child() else { return };
    Store::repair(&dir).unwrap();
    let report = open(&dir).verify().unwrap();
    assert!(report.problems.is_empty() && report.torn.is_empty() && report.strange.is_empty(), "{report:?}");
}

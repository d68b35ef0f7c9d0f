//! Names of a store's files and folders. Everything else in its folders belongs to somebody else: it is not
//! read, moved or removed, and `verify` lists it.

use crate::files::host::is_id as is_host;
use crate::value::digest::Digest;

/// Folders created when a store is opened.
pub(crate) const FOLDERS: [&str; 7] = ["packs", "objects", "tmp", "quarantine", "runs", "checkpoints", "leases.d"];
/// Folders created on demand.
pub(crate) const LATER_FOLDERS: [&str; 7] =
    ["claims", "pins", "lease-files", "stat-caches", "links", "jobs", "remotes"];
/// Files beside them.
pub(crate) const FILES: [&str; 10] = [
    "format",
    "CACHEDIR.TAG",
    "stat-cache",
    "last-use",
    "last-gc",
    "lineage",
    "pack-ends",
    "forgetting",
    "gc.lock",
    "use.lock",
];
/// Hidden names that systems put into any folder.
pub(crate) const IGNORED: [&str; 2] = [".DS_Store", "lost+found"];
/// Limits of the store, written by its owner.
pub(crate) const LIMITS: &str = "orchestrate.toml";
/// Name of the folder of a run's node logs, some of which only their owner may read.
pub(crate) const NODE_LOGS: &str = "logs";
/// Suffix of a pin.
pub(crate) const PIN: &str = ".json";
/// Suffix of a session file.
pub(crate) const LOCK: &str = ".lock";
/// Suffix of the file of sightings of a host.
pub(crate) const SEEN: &str = ".seen";

/// Returns whether a folder is among those of a store.
pub(crate) fn is_folder(name: &str) -> bool {
    FOLDERS.contains(&name) || LATER_FOLDERS.contains(&name)
}

/// Returns the id of a pack from the name of its file: `0198f2c4a1b3-5e0c1d2f3a4b-1f3a-0`, time, host, process and
/// attempt. Format 1 had no host.
pub(crate) fn pack_id(name: &str) -> Option<&str> {
    name.strip_suffix(".pack").filter(|id| is_pack_id(id))
}

/// Returns the id of an index file from its name; it is made like that of a pack.
pub(crate) fn index_id(name: &str) -> Option<&str> {
    name.strip_suffix(".index").filter(|id| is_pack_id(id))
}

/// Returns the id of the host that writes a pack, from the pack's id; empty for packs of earlier versions.
pub(crate) fn pack_host(id: &str) -> &str {
    let mut parts = id.split('-');
    match (parts.nth(1), parts.nth(1)) {
        (Some(host), Some(_)) => host,
        _ => "",
    }
}

fn is_pack_id(id: &str) -> bool {
    let parts: Vec<_> = id.split('-').collect();
    let is_known = matches!(parts.len(), 3 | 4) && parts.iter().all(|part| is_hex(part));
    is_known && parts[0].len() >= 12 && (parts.len() == 3 || is_host(parts[1]))
}

/// Returns the host of a session, `None` for one of format 1, from the name of its folder: `5e0c1d2f3a4b-0`, host and
/// number.
pub(crate) fn session_host(name: &str) -> Option<Option<&str>> {
    let (host, number) = name.split_once('-').map_or((None, name), |(host, number)| (Some(host), number));
    let is_number = number.parse().is_ok_and(|parsed: u32| parsed.to_string() == number);
    (is_number && host.is_none_or(is_host)).then_some(host)
}

/// Returns whether a name is that of a session's folder.
pub(crate) fn is_session(name: &str) -> bool {
    session_host(name).is_some()
}

/// Returns whether a name is that of a file among the sessions: of a session, or of what a host has seen of others.
pub(crate) fn is_session_file(name: &str) -> bool {
    name.strip_suffix(LOCK).is_some_and(is_session) || name.strip_suffix(SEEN).is_some_and(is_host)
}

/// Returns whether a name in quarantine is the store's: a blob, or a former file of the store.
pub(crate) fn is_quarantined(name: &str) -> bool {
    let (file, rest) = name.split_once('-').unwrap_or((name, ""));
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let of_pack = |stem: &str| {
        stem.rsplit_once('-')
            .is_some_and(|(id, offset)| is_pack_id(id) && offset.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let of_key = |(key, file): (&str, &str)| is_digest(key) && is_checkpoint(file);
    let of_run = |rest: &str| rest.strip_prefix('-').is_some_and(is_run_file);
    is_digest(name)
        || pack_id(name).is_some()
        || matches!(extension, "tail" | "damage") && of_pack(stem)
        || FILES.contains(&name)
        || file == "pins" && is_pin(rest)
        || name.strip_prefix("stat-caches-").is_some_and(is_digest)
        || file == "checkpoints" && rest.split_once('-').is_some_and(of_key)
        || file == "hits" && is_digest(rest)
        || name.get(RUN_LEN..).is_some_and(|rest| of_run(rest) && is_run(&name[..RUN_LEN]))
}

const RUN_LEN: usize = "20260131-174502-318-9f02ac".len();

/// Returns whether a name is that of a run's folder.
pub(crate) fn is_run(name: &str) -> bool {
    let lens: Vec<_> = name.split('-').map(str::len).collect();
    lens == [8, 6, 3, 6] && name.split('-').all(is_hex)
}

/// Returns whether a name is that of a job's folder: the run that submitted it, and its number in that run.
pub(crate) fn is_job(name: &str) -> bool {
    let number = name.split_at_checked(RUN_LEN).filter(|(run, _)| is_run(run)).map(|(_, number)| number);
    let number = number.and_then(|number| number.strip_prefix('-')).unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns whether a name is that of a file in a run's folder.
pub(crate) fn is_run_file(name: &str) -> bool {
    matches!(name, "events.jsonl" | "durations.json")
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Returns whether a name is a digest or key.
pub(crate) fn is_digest(name: &str) -> bool {
    name.parse::<Digest>().is_ok_and(|digest| digest.to_string() == name)
}

/// Returns whether a name is that of a pin's file.
pub(crate) fn is_pin(name: &str) -> bool {
    name.strip_suffix(PIN).is_some_and(is_pin_name)
}

/// Returns whether a pin can have this name.
pub(crate) fn is_pin_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.len() <= 200 && name.chars().all(plain)
}

/// Returns whether a name is that of a folder of objects: the first two digits of their digests.
pub(crate) fn is_prefix(name: &str) -> bool {
    name.len() == 2 && is_hex(name)
}

/// Returns whether a name is that of a folder with the files of a result: the beginning of its key.
pub(crate) fn is_laid_out(name: &str) -> bool {
    name.len() == Digest::SHORT_LEN && is_hex(name)
}

/// Returns whether a name is that of a remote's folder: the beginning of the digest of its address.
pub(crate) fn is_remote(name: &str) -> bool {
    is_laid_out(name)
}

/// Returns whether a name is that of a file in a remote's folder.
pub(crate) fn is_remote_file(name: &str) -> bool {
    let queue =
        |rest: &str| rest.split_once('-').is_some_and(|(host, rest)| is_host(host) && rest.split('-').all(is_hex));
    matches!(name, "base" | "young" | "listed")
        || name.strip_prefix("queue-").is_some_and(queue)
        || name.strip_suffix(".parts").is_some_and(is_digest)
}

/// Returns whether a name is that of a checkpoint.
pub(crate) fn is_checkpoint(name: &str) -> bool {
    let number = name.strip_prefix("epoch-").and_then(|rest| rest.strip_suffix(".checkpoint"));
    number.is_some_and(|number| number.len() >= 6 && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_a_store_makes_and_no_others() {
        let digest = Digest::of(b"1").to_string();
        let pack = "0198f2c4a1b3-1f3a-0";
        let kept = [
            digest.clone(),
            format!("{pack}.pack"),
            format!("{pack}-4096.tail"),
            format!("{pack}-32.damage"),
            "format".to_owned(),
            "pins-paper.json".to_owned(),
            format!("checkpoints-{digest}-epoch-000003.checkpoint"),
            "20260131-174502-318-9f02ac-events.jsonl".to_owned(),
            format!("hits-{digest}"),
        ];
        assert!(kept.iter().all(|name| is_quarantined(name)), "{kept:?}");
        for name in ["notes.txt", "a.pack", "scan-3.tail", "pins-.json", "hits-1", "2026.damage", "events.jsonl", ""] {
            assert!(!is_quarantined(name), "{name}");
        }
        assert_eq!(pack_id(&format!("{pack}.pack")), Some(pack));
        let of_host = "0198f2c4a1b3-5e0c1d2f3a4b-1f3a-0";
        assert_eq!(pack_id(&format!("{of_host}.pack")), Some(of_host));
        assert_eq!((pack_host(of_host), pack_host(pack)), ("5e0c1d2f3a4b", ""));
        for name in [
            "copy of a.pack",
            "1-1-1.pack",
            "0198f2c4a1b3-1f3a-0 (1).pack",
            "0198f2c4a1b3-1f3a.pack",
            "0198f2c4a1b3-5e0c-1f3a-0.pack",
        ] {
            assert_eq!(pack_id(name), None, "{name}");
        }
        assert_eq!(
            ["0", "17", "5e0c1d2f3a4b-3"].map(session_host),
            [Some(None), Some(None), Some(Some("5e0c1d2f3a4b"))]
        );
        assert!(
            ["017", "+1", "x", "", "5e0c-3", "5e0c1d2f3a4b-", "5e0c1d2f3a4b-03"].iter().all(|name| !is_session(name))
        );
        let files = ["0.lock", "5e0c1d2f3a4b-0.lock", "5e0c1d2f3a4b.seen"];
        assert!(files.iter().all(|name| is_session_file(name)) && !is_session_file("mine.seen"));
        let jobs = ["20260131-174502-318-9f02ac-0", "20260131-174502-318-9f02ac-12"];
        assert!(jobs.iter().all(|name| is_job(name)) && !is_job(&jobs[0][..RUN_LEN]) && !is_job("mine-0"));
        assert!(is_digest(&digest) && !is_digest(&digest.to_uppercase()) && is_prefix("0f") && !is_prefix("0F"));
    }
}

//! Archives that are as they should be, and those that are not.

use zip::unstable::write::FileOptionsExt;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::*;
use crate::testing::{archive, bytes};

fn is_mat(name: &str) -> bool {
    name.ends_with(".mat")
}

/// Digests by name, or what is wrong.
type Contents = Result<BTreeMap<String, String>, String>;

/// Unpacks these bytes; gives the result and what lies in the folder afterwards.
fn unpacked(zip: &[u8], limits: Limits) -> (Contents, Vec<(String, Vec<u8>)>) {
    let dir = tempfile::tempdir().unwrap();
    let (path, to) = (dir.path().join("a.zip"), dir.path().join("unpacked"));
    fs::write(&path, zip).unwrap();
    let result = unpack(&path, &to, limits, is_mat, &mut |_| ()).map_err(|error| error.to_string());
    let result = result.map_err(|error| error.replace(&path.display().to_string(), "a.zip"));
    let mut files: Vec<_> = fs::read_dir(&to)
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>())
        .unwrap_or_default()
        .into_iter()
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    assert!(!dir.path().join("1.mat").exists(), "nothing leaves the folder");
    (result, files)
}

#[test]
fn wanted_files_come_out_of_their_folders_with_their_digests() {
    let (one, two) = (bytes(100_000), bytes(7));
    let zip = archive(&[("data/1.mat", &one), ("data/readme.txt", b"x"), ("2.mat", &two), ("__MACOSX/._3", b"")]);
    let (contents, files) = unpacked(&zip, Limits::default());
    let digest = |bytes: &[u8]| blake3::hash(bytes).to_hex().to_string();
    let expected = BTreeMap::from([("1.mat".to_owned(), digest(&one)), ("2.mat".to_owned(), digest(&two))]);
    assert_eq!(contents.unwrap(), expected);
    assert_eq!(files, [("1.mat".to_owned(), one), ("2.mat".to_owned(), two)]);
}

#[test]
fn entries_that_lead_out_are_links_or_come_twice_are_refused_and_nothing_comes_out() {
    let mut link = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    link.add_symlink("1.mat", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    let mut locked = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().with_deprecated_encryption(b"secret").unwrap();
    locked.start_file("1.mat", options).unwrap();
    locked.write_all(b"x").unwrap();
    let link = link.finish().unwrap().into_inner();
    let locked = locked.finish().unwrap().into_inner();
    for (zip, problem) in [
        (archive(&[("0.mat", b"x"), ("../1.mat", b"x")]), "entry `../1.mat` leads out of the folder"),
        (archive(&[("a/../../1.mat", b"x")]), "entry `a/../../1.mat` leads out of the folder"),
        (archive(&[("..\\1.mat", b"x")]), "entry `..\\1.mat` leads out of the folder"),
        (archive(&[("/tmp/1.mat", b"x")]), "entry `/tmp/1.mat` leads out of the folder"),
        (link, "entry `1.mat` is a link"),
        (archive(&[("a/1.mat", b"x"), ("b/1.mat", b"y")]), "`1.mat` is there twice"),
        (archive(&[("1.txt", b"x")]), "it has no file of the data set"),
    ] {
        let (result, files) = unpacked(&zip, Limits::default());
        assert_eq!(result.unwrap_err(), format!("cannot unpack a.zip: {problem}"));
        assert_eq!(files, []);
    }
    let (result, files) = unpacked(&locked, Limits::default());
    assert!(result.is_err() && files.is_empty());
}

#[test]
fn bombs_are_bounded_by_what_comes_out_and_not_by_what_is_claimed() {
    let zeros = vec![0; 1 << 20];
    let limits = Limits { entries: 3, file_bytes: 1 << 19, all_bytes: 1 << 20 };
    let zip = archive(&[("1.mat", &zeros)]);
    let problem = |zip: &[u8], limits| unpacked(zip, limits).0.unwrap_err();
    assert_eq!(problem(&zip, limits), "cannot unpack a.zip: `1.mat` has more than 524288 bytes");
    // The lengths that the archive claims, in front of the entry and in the directory, are made small.
    let mut lying = zip.clone();
    let claim = (1_u32 << 20).to_le_bytes();
    for place in 0..lying.len() - 4 {
        if lying[place..place + 4] == claim {
            lying[place..place + 4].copy_from_slice(&1_u32.to_le_bytes());
        }
    }
    assert_ne!(lying, zip);
    assert!(problem(&lying, limits).starts_with("cannot unpack a.zip: `1.mat`"));
    let half = vec![0; (1 << 19) - 1];
    let all = archive(&[("1.mat", &half), ("2.mat", &half), ("3.mat", &half)]);
    assert_eq!(problem(&all, limits), "cannot unpack a.zip: `3.mat` has more than 2 bytes");
    let many = archive(&[("1.mat", b""), ("2.mat", b""), ("3.mat", b""), ("4.mat", b"")]);
    assert_eq!(problem(&many, limits), "cannot unpack a.zip: it has 4 entries, more than 3");
}

#[test]
fn a_damaged_archive_is_an_error_or_gives_the_same_files() {
    let body = bytes(2_000);
    let zip = archive(&[("1.mat", &body), ("2.mat", &body[..10])]);
    let whole = unpacked(&zip, Limits::default()).1;
    for place in (0..zip.len()).step_by(3) {
        let mut damaged = zip.clone();
        damaged[place] ^= 0x55;
        if let (Ok(contents), files) = unpacked(&damaged, Limits::default()) {
            let intact =
                files.iter().all(|(name, bytes)| whole.iter().any(|(_, other)| other == bytes) && is_mat(name));
            assert!(intact && contents.len() == files.len(), "a wrong byte at {place}");
        }
        if let (Ok(_), files) = unpacked(&zip[..place], Limits::default()) {
            panic!("cut at {place}: {} files", files.len());
        }
    }
}

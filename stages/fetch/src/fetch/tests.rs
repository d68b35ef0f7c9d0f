//! Stories of fetches: killed, repeated, repaired, two at once.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::testing::{Answer, Server, archive, bytes, client, md5_of, retries};

fn needs(name: &str) -> bool {
    name.ends_with(".zip") || name == "cvind.mat"
}

fn takes(name: &str) -> bool {
    name.strip_suffix(".mat").is_some_and(|stem| stem.bytes().all(|byte| byte.is_ascii_digit()))
}

/// An article of two archives with five files, `cvind.mat` and something else.
fn article() -> Vec<(&'static str, Vec<u8>)> {
    let file = |number: usize| bytes(1_000 * number);
    vec![
        ("1-3.zip", archive(&[("x/1.mat", &file(1)), ("x/2.mat", &file(2)), ("x/3.mat", &file(3))])),
        ("4-5.zip", archive(&[("4.mat", &file(4)), ("5.mat", &file(5))])),
        ("cvind.mat", bytes(40)),
        ("readme.txt", bytes(9)),
    ]
}

fn listing(files: &[(&str, Vec<u8>)]) -> String {
    let files: Vec<_> = files
        .iter()
        .map(|(name, bytes)| {
            let (size, md5) = (bytes.len(), md5_of(bytes));
            format!(r#"{{"name": "{name}", "size": {size}, "download_url": "files/{name}", "computed_md5": "{md5}"}}"#)
        })
        .collect();
    format!(r#"{{"files": [{}]}}"#, files.join(","))
}

/// Serves these files as article 7.
fn serve(files: Vec<(&'static str, Vec<u8>)>) -> Server {
    Server::start(move |request, _| match request.path.strip_prefix("/files/") {
        None if request.path == "/articles/7" => Answer::whole(listing(&files).as_bytes()),
        Some(name) => Answer::whole(&files.iter().find(|(other, _)| *other == name).unwrap().1),
        None => Answer::status("404 Not Found"),
    })
}

fn what<'a>(base: &'a str, dir: &'a Path) -> Fetch<'a> {
    Fetch { base, article: 7, dir, needs, takes, keep_archives: false, client: client(), retries: retries() }
}

fn quiet(what: &Fetch<'_>) -> Result<Done, FetchError> {
    fetch(what, &mut |_| Ok(()), &mut |_| ())
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

const ALL: [&str; 8] = [".lock", "1.mat", "2.mat", "3.mat", "4.mat", "5.mat", "checksums.json", "cvind.mat"];

fn asked(server: &Server) -> Vec<String> {
    server.requests().into_iter().map(|request| request.path).collect()
}

#[test]
fn everything_is_fetched_once_and_the_second_time_no_server_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("new/folder");
    let server = serve(article());
    let mut checked = Vec::new();
    let mut check = |paths: &[PathBuf]| {
        checked = paths.iter().map(|path| (path.clone(), fs::read(path).unwrap().len())).collect();
        Ok(())
    };
    let done = fetch(&what(&server.base, &target), &mut check, &mut |_| ()).unwrap();
    assert_eq!(done, Done::Fetched { files: 6 });
    assert_eq!(names(&target), ALL);
    assert_eq!(fs::read(target.join("3.mat")).unwrap(), bytes(3_000));
    let sizes: Vec<_> = checked.iter().map(|(_, size)| *size).collect();
    assert_eq!(sizes, [1_000, 2_000, 3_000, 4_000, 5_000, 40]);
    assert!(checked[0].0.ends_with("download/unpacked/1.mat"), "it is checked before it is put in place");
    assert_eq!(asked(&server), ["/articles/7", "/files/1-3.zip", "/files/4-5.zip", "/files/cvind.mat"]);

    assert_eq!(quiet(&what(&server.base, &target)).unwrap(), Done::AlreadyThere { files: 6 });
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn archives_stay_where_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(article());
    quiet(&Fetch { keep_archives: true, ..what(&server.base, dir.path()) }).unwrap();
    assert_eq!(names(&dir.path().join("download")), ["1-3.zip", "4-5.zip"]);
}

#[test]
fn a_fetch_that_stops_anywhere_goes_on_and_fetches_nothing_twice() {
    let files = article();
    // A server that stops for good after its nth file.
    for stops_after in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let sent = files.clone();
        let left = AtomicUsize::new(stops_after);
        let stopping = Server::start(move |request, _| match request.path.strip_prefix("/files/") {
            None => Answer::whole(listing(&sent).as_bytes()),
            Some(_) if left.load(Ordering::SeqCst) == 0 => Answer::status("403 Forbidden"),
            Some(name) => {
                left.fetch_sub(1, Ordering::SeqCst);
                Answer::whole(&sent.iter().find(|(other, _)| *other == name).unwrap().1)
            }
        });
        let error = quiet(&what(&stopping.base, dir.path())).unwrap_err().to_string();
        assert!(error.contains("403 Forbidden"), "{error}");
        assert!(names(dir.path()).iter().all(|name| !name.ends_with(".mat")), "half a data set is not put in place");

        let server = serve(files.clone());
        assert_eq!(quiet(&what(&server.base, dir.path())).unwrap(), Done::Fetched { files: 6 });
        assert_eq!(asked(&server).len(), 1 + 3 - stops_after);
        assert_eq!(names(dir.path()), ALL);
    }
}

#[test]
fn a_lost_or_changed_file_is_repaired_from_its_archive_alone() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(article());
    quiet(&what(&server.base, dir.path())).unwrap();
    fs::write(dir.path().join("4.mat"), "other").unwrap();
    let mut damaged = Vec::new();
    let mut listener = |progress: Progress<'_>| {
        if let Progress::Damaged { name } = progress {
            damaged.push(name.to_owned());
        }
    };
    let done = fetch(&what(&server.base, dir.path()), &mut |_| Ok(()), &mut listener).unwrap();
    assert_eq!(done, Done::Fetched { files: 6 });
    damaged.dedup();
    assert_eq!(damaged, ["4.mat"]);
    assert_eq!(asked(&server)[4..], ["/articles/7", "/files/4-5.zip"]);
    assert_eq!(fs::read(dir.path().join("4.mat")).unwrap(), bytes(4_000));
    assert_eq!(names(dir.path()), ALL);
}

#[test]
fn a_later_fetch_must_give_the_bytes_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = article();
    quiet(&what(&serve(files.clone()).base, dir.path())).unwrap();
    fs::remove_file(dir.path().join("cvind.mat")).unwrap();
    files[2].1 = bytes(39);
    let error = quiet(&what(&serve(files).base, dir.path())).unwrap_err().to_string();
    assert!(error.contains("the first fetch recorded") && error.contains("cvind.mat"), "{error}");
}

#[test]
fn what_is_not_the_data_set_is_not_put_in_place() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(article());
    let mut check = |_: &[PathBuf]| Err("5 slices, not 3064".to_owned());
    let error = fetch(&what(&server.base, dir.path()), &mut check, &mut |_| ()).unwrap_err().to_string();
    assert!(error.starts_with("what was fetched is not the data set: 5 slices, not 3064; it is kept in "), "{error}");
    assert_eq!(names(dir.path()), [".lock", "checksums.json", "download"]);
}

#[test]
fn somebodys_own_files_are_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("1.mat"), "mine").unwrap();
    let server = serve(article());
    let error = quiet(&what(&server.base, dir.path())).unwrap_err().to_string();
    assert!(error.contains("holds 1.mat already") && error.contains("choose an empty folder"), "{error}");
    assert_eq!(fs::read_to_string(dir.path().join("1.mat")).unwrap(), "mine");
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn an_article_without_the_files_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(vec![("readme.txt", bytes(9))]);
    let error = quiet(&what(&server.base, dir.path())).unwrap_err().to_string();
    assert!(error.contains("/articles/7 is no listing") && error.contains("only: readme.txt"), "{error}");
    let error = quiet(&Fetch { article: 8, ..what(&server.base, dir.path()) }).unwrap_err().to_string();
    assert!(error.contains("/articles/8: the server answers 404 Not Found"), "{error}");
}

#[test]
fn the_second_of_two_fetches_waits_and_then_finds_everything() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(article());
    let said = Mutex::new(Vec::new());
    let (started, start) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            let mut check = |_: &[PathBuf]| {
                started.send(()).unwrap();
                // Until the second one has said that it waits.
                while said.lock().unwrap().is_empty() {
                    std::thread::yield_now();
                }
                Ok(())
            };
            fetch(&what(&server.base, dir.path()), &mut check, &mut |_| ()).unwrap()
        });
        start.recv().unwrap();
        let mut listener = |progress: Progress<'_>| said.lock().unwrap().push(format!("{progress:?}"));
        let second = fetch(&what(&server.base, dir.path()), &mut |_| Ok(()), &mut listener).unwrap();
        assert_eq!(second, Done::AlreadyThere { files: 6 });
        assert_eq!(first.join().unwrap(), Done::Fetched { files: 6 });
    });
    assert!(said.lock().unwrap()[0].starts_with("Waiting"));
    assert_eq!(server.requests().len(), 4);
}

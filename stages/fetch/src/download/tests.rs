//! A server that breaks off, lies, serves wrong bytes, fails, ignores ranges, redirects, or falls silent.

use std::time::Duration;

use super::*;
use crate::testing::{Answer, Request, Server, bytes, client, md5_of, retries};

/// Fetches `/file` of that server, which should hold `whole`; gives the result, and the retries with their problems.
fn download(server: &Server, whole: &[u8], folder: &Path) -> (Result<Vec<u8>, FetchError>, Vec<String>) {
    download_as(server, whole, Some(md5_of(whole)), folder)
}

fn download_as(
    server: &Server,
    whole: &[u8],
    md5: Option<String>,
    folder: &Path,
) -> (Result<Vec<u8>, FetchError>, Vec<String>) {
    let url = format!("{}/file", server.base);
    let file = RemoteFile { name: "file".to_owned(), size_bytes: whole.len() as u64, md5, url };
    let (client, retries) = (client(), retries());
    let download = Download { client: &client, retries: &retries, file: &file, folder, recorded: None };
    let mut retries = Vec::new();
    let result = download.run(&mut |progress| {
        if let Progress::Retry { problem, .. } = progress {
            retries.push(problem.to_owned());
        }
    });
    let names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    if result.is_ok() {
        assert_eq!(names, ["file"], "nothing else is left");
    } else {
        assert!(!folder.join("file").exists(), "a failed download leaves no file of that name");
    }
    (result.map(|(path, _)| fs::read(path).unwrap()), retries)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn starts(server: &Server) -> Vec<Option<usize>> {
    server.requests().iter().map(Request::start).collect()
}

#[test]
fn a_connection_that_breaks_off_goes_on_where_it_ended() {
    let whole = bytes(300_000);
    let sent = whole.clone();
    // Five breaks with three tries: a try that gets further does not count.
    let server = Server::start(move |request, before| match (request.start(), before) {
        (None, _) => Answer::claiming(sent.len(), &sent[..50_000]),
        (Some(start), 0..=4) => Answer::rest(&sent, start, 50_000.min(sent.len() - start)),
        (Some(start), _) => Answer::rest(&sent, start, sent.len() - start),
    });
    let (result, retries) = download(&server, &whole, folder().path());
    assert_eq!(result.unwrap(), whole);
    assert_eq!(retries.len(), 5, "{retries:?}");
    assert_eq!(starts(&server), [None, Some(50_000), Some(100_000), Some(150_000), Some(200_000), Some(250_000)]);
    assert_eq!(server.requests()[1].headers["if-range"], "\"v1\"");
}

#[test]
fn the_next_run_goes_on_with_the_part_of_a_killed_one() {
    let whole = bytes(100_000);
    let folder = folder();
    fs::write(folder.path().join("file.part"), &whole[..70_000]).unwrap();
    fs::write(folder.path().join("file.part.etag"), "\"v1\"").unwrap();
    let sent = whole.clone();
    let server = Server::start(move |request, _| Answer::rest(&sent, request.start().unwrap(), 30_000));
    let (result, retries) = download(&server, &whole, folder.path());
    assert_eq!((result.unwrap(), retries.len()), (whole, 0));
    assert_eq!(starts(&server), [Some(70_000)]);
}

#[test]
fn a_server_that_ignores_the_range_is_read_from_the_first_byte() {
    let whole = bytes(100_000);
    let sent = whole.clone();
    let server =
        Server::start(move |_, before| Answer::claiming(sent.len(), if before == 0 { &sent[..60_000] } else { &sent }));
    let (result, retries) = download(&server, &whole, folder().path());
    assert_eq!((result.unwrap(), retries.len()), (whole, 1));
    assert_eq!(starts(&server), [None, Some(60_000)]);
}

#[test]
fn a_part_of_another_version_is_not_mixed_with_the_new_one() {
    let whole = bytes(100_000);
    let folder = folder();
    fs::write(folder.path().join("file.part"), [7; 40_000]).unwrap();
    fs::write(folder.path().join("file.part.etag"), "\"v0\"").unwrap();
    let sent = whole.clone();
    // This server breaks the rule of If-Range, but its version tells.
    let server = Server::start(move |request, _| match request.start() {
        Some(start) => Answer::rest(&sent, start, sent.len() - start),
        None => Answer::claiming(sent.len(), &sent),
    });
    let (result, retries) = download(&server, &whole, folder.path());
    assert_eq!(result.unwrap(), whole);
    assert_eq!(retries, ["the server cannot go on from the part that is here"]);
}

#[test]
fn parts_that_make_no_whole_are_fetched_again_from_the_first_byte() {
    let whole = bytes(100_000);
    let folder = folder();
    // No version is known, so only the MD5 can tell that this part is wrong.
    fs::write(folder.path().join("file.part"), [7; 40_000]).unwrap();
    let sent = whole.clone();
    let server = Server::start(move |request, _| match request.start() {
        Some(start) => Answer::rest(&sent, start, sent.len() - start),
        None => Answer::claiming(sent.len(), &sent),
    });
    let (result, retries) = download(&server, &whole, folder.path());
    assert_eq!(result.unwrap(), whole);
    assert!(retries.len() == 1 && retries[0].starts_with("the parts make no whole: MD5 "), "{retries:?}");
    assert_eq!(starts(&server), [Some(40_000), None]);
}

#[test]
fn without_version_and_checksum_a_part_is_not_trusted() {
    let whole = bytes(10_000);
    let folder = folder();
    fs::write(folder.path().join("file.part"), [7; 4_000]).unwrap();
    let sent = whole.clone();
    let server = Server::start(move |_, _| Answer::whole(&sent));
    let (result, _) = download_as(&server, &whole, None, folder.path());
    assert_eq!(result.unwrap(), whole);
    assert_eq!(starts(&server), [None]);
}

#[test]
fn a_length_that_is_not_that_of_the_listing_is_an_error_that_says_both() {
    let whole = bytes(10_000);
    for (claimed, sent) in [(20_000, 10_000), (5_000, 10_000), (5_000, 5_000)] {
        let body = whole[..sent].to_vec();
        let server = Server::start(move |_, _| Answer::claiming(claimed, &body));
        let (result, retries) = download(&server, &whole, folder().path());
        let error = result.unwrap_err().to_string();
        let expected = format!("the server announces {claimed} bytes where 10000 are missing (tried 3 times)");
        assert!(error.contains(&expected), "{error}");
        assert_eq!(retries.len(), 2);
    }
}

#[test]
fn a_body_without_a_length_is_bounded_by_the_listing() {
    let whole = bytes(10_000);
    let long = bytes(10_001);
    let server = Server::start(move |_, _| Answer::new("200 OK", &[], &long));
    let error = download(&server, &whole, folder().path()).0.unwrap_err().to_string();
    assert!(error.contains("the server sends more than 10000 bytes"), "{error}");
    let short = bytes(9_999);
    let server = Server::start(move |_, _| Answer::new("200 OK", &[], &short));
    let error = download(&server, &whole, folder().path()).0.unwrap_err().to_string();
    assert!(error.contains("cannot fetch") && error.contains("(tried 3 times)"), "{error}");
}

#[test]
fn wrong_bytes_are_named_with_both_checksums_and_not_kept() {
    let whole = bytes(10_000);
    let wrong = vec![7; 10_000];
    let (ours, theirs) = (md5_of(&wrong), md5_of(&whole));
    let server = Server::start(move |_, _| Answer::whole(&wrong));
    let folder = folder();
    let error = download(&server, &whole, folder.path()).0.unwrap_err();
    assert!(matches!(error, FetchError::WrongBytes { .. }));
    let error = error.to_string();
    assert!(error.contains(&format!("MD5 {ours}, and the article says {theirs}")), "{error}");
    assert_eq!(server.requests().len(), 1, "what came in one go is not fetched twice");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_server_that_fails_twice_is_asked_a_third_time() {
    let whole = bytes(1_000);
    let sent = whole.clone();
    let server = Server::start(move |_, before| match before {
        0 => Answer::status("500 Internal Server Error"),
        1 => Answer::status("503 Service Unavailable"),
        _ => Answer::whole(&sent),
    });
    let (result, retries) = download(&server, &whole, folder().path());
    assert_eq!(result.unwrap(), whole);
    assert_eq!(retries, ["the server answers 500 Internal Server Error", "the server answers 503 Service Unavailable"]);
}

#[test]
fn pauses_are_bounded_and_a_file_that_is_not_there_is_not_asked_for_again() {
    let whole = bytes(1_000);
    let server = Server::start(|_, _| Answer::status("502 Bad Gateway"));
    let error = download(&server, &whole, folder().path()).0.unwrap_err().to_string();
    assert!(error.contains("502 Bad Gateway (tried 3 times)") && error.contains("goes on from there"), "{error}");
    assert_eq!(server.requests().len(), 3);
    let server = Server::start(|_, _| Answer::status("404 Not Found"));
    let error = download(&server, &whole, folder().path()).0.unwrap_err().to_string();
    assert!(error.contains("the server answers 404 Not Found;"), "{error}");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn redirects_to_another_server_are_followed_with_the_range() {
    let whole = bytes(100_000);
    let sent = whole.clone();
    let storage = Server::start(move |request, _| match request.start() {
        None => Answer::claiming(sent.len(), &sent[..60_000]),
        Some(start) => Answer::rest(&sent, start, sent.len() - start),
    });
    let target = format!("{}/bucket/file?signature=1", storage.base);
    let server = Server::start(move |_, _| {
        Answer::new("302 Found", &[("Location", target.clone()), ("Content-Length", "0".to_owned())], b"")
    });
    let (result, retries) = download(&server, &whole, folder().path());
    assert_eq!((result.unwrap(), retries.len()), (whole, 1));
    assert_eq!(starts(&storage), [None, Some(60_000)]);
    assert_eq!(server.requests().len(), 2, "a signed address may expire, so every try starts at the first one");
}

#[test]
fn a_silent_server_is_left_and_asked_again() {
    let whole = bytes(100_000);
    let sent = whole.clone();
    let server = Server::start(move |request, before| match (request.start(), before) {
        (None, 0) => Answer::claiming(sent.len(), &sent[..60_000]).then_silence(Duration::from_secs(5)),
        (Some(start), _) => Answer::rest(&sent, start, sent.len() - start),
        _ => Answer::status("404 Not Found"),
    });
    let (result, retries) = download(&server, &whole, folder().path());
    assert_eq!(result.unwrap(), whole);
    assert!(retries.len() == 1 && retries[0].contains("timeout"), "{retries:?}");
    assert_eq!(starts(&server), [None, Some(60_000)]);
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let file =
        RemoteFile { name: "file".to_owned(), size_bytes: 1, md5: None, url: format!("http://127.0.0.1:{port}/file") };
    let folder = folder();
    let (client, retries) = (client(), retries());
    let download = Download { client: &client, retries: &retries, file: &file, folder: folder.path(), recorded: None };
    let error = download.run(&mut |_| ()).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot fetch {}: ", file.url)) && error.contains("refused"), "{error}");
}

#[test]
fn a_content_range_is_read_strictly() {
    for (text, answer) in [
        ("bytes 5-9/10", true),
        ("bytes 5-9/*", true),
        ("bytes 4-9/10", false),
        ("bytes 5-9/11", false),
        ("bytes */10", false),
        ("5-9/10", false),
    ] {
        assert_eq!(continues(Some(text), 5, 10), answer, "{text}");
    }
    assert!(!continues(None, 5, 10));
}

//! Data by command: fetched once from a server of the test; a spec without its data names the command.

use std::fs;
use std::io::{BufRead, BufReader, Cursor, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use zip::write::{SimpleFileOptions, ZipWriter};

use crate::sandbox::Sandbox;

/// Serves files by path, and counts requests; the first response for `breaks` is cut off.
struct Server {
    base: String,
    requests: Arc<AtomicUsize>,
}

impl Server {
    fn start(files: Vec<(String, Vec<u8>)>, breaks: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let base = format!("http://{}", listener.local_addr().expect("it is bound"));
        let requests = Arc::new(AtomicUsize::new(0));
        let count = requests.clone();
        std::thread::spawn(move || {
            let mut broken = false;
            for mut stream in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                let mut lines = BufReader::new(stream.try_clone().expect("a stream")).lines().map_while(Result::ok);
                let path = lines.next().and_then(|line| line.split(' ').nth(1).map(str::to_owned)).unwrap_or_default();
                let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                let range = headers.iter().find_map(|line| {
                    line.to_lowercase().strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok()
                });
                let Some((_, body)) = files.iter().find(|(name, _)| *name == path) else {
                    let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
                    continue;
                };
                let start: usize = range.unwrap_or(0);
                let status = if range.is_some() { "206 Partial Content" } else { "200 OK" };
                let head = format!(
                    "HTTP/1.1 {status}\r\nConnection: close\r\nETag: \"1\"\r\nContent-Length: {}\r\n\
                     Content-Range: bytes {start}-{}/{}\r\n\r\n",
                    body.len() - start,
                    body.len() - 1,
                    body.len()
                );
                let end =
                    if path == breaks && !std::mem::replace(&mut broken, true) { body.len() / 2 } else { body.len() };
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body[start..end]));
            }
        });
        Self { base, requests }
    }
}

/// A slice with this label and patient, from the bytes of `1.mat` of `stages/tests/reference/mat.py`. The label is the
/// double at offset 4568, the patient ("100360") UTF-16 at offset 3024.
pub(crate) fn slice(template: &[u8], label: f64, patient: usize) -> Vec<u8> {
    let mut bytes = template.to_vec();
    bytes[4568..4576].copy_from_slice(&label.to_le_bytes());
    for (place, digit) in format!("{patient:06}").encode_utf16().enumerate() {
        bytes[3024 + 2 * place..][..2].copy_from_slice(&digit.to_le_bytes());
    }
    bytes
}

/// The article with as many slices of each class and as many patients as the real one, in four archives.
fn article(meningioma: usize) -> Vec<(String, Vec<u8>)> {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("stages/tests/reference");
    let template = fs::read(reference.join("mat/1.mat")).expect("the reference files are there");
    let counts = [meningioma, 1_426, 930];
    let labels: Vec<f64> =
        counts.iter().zip([1.0, 2.0, 3.0]).flat_map(|(count, label)| std::iter::repeat_n(label, *count)).collect();
    let mut files = Vec::new();
    let numbers: Vec<usize> = (1..=labels.len()).collect();
    for range in numbers.chunks(766) {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for number in range {
            zip.start_file(format!("{number}.mat"), SimpleFileOptions::default()).expect("an entry can be made");
            let bytes = slice(&template, labels[number - 1], number % 233);
            zip.write_all(&bytes).expect("an entry can be written");
        }
        let name = format!("brainTumorDataPublic_{}-{}.zip", range[0], range[range.len() - 1]);
        files.push((name, zip.finish().expect("an archive can be made").into_inner()));
    }
    let folds = fs::read(reference.join("cvind/plain.mat")).expect("the reference files are there");
    files.push(("cvind.mat".to_owned(), folds));
    let listed: Vec<_> = files
        .iter()
        .map(|(name, bytes)| {
            format!(r#"{{"name": "{name}", "size": {}, "download_url": "files/{name}"}}"#, bytes.len())
        })
        .collect();
    let mut served: Vec<_> = files.into_iter().map(|(name, bytes)| (format!("/files/{name}"), bytes)).collect();
    served.push(("/articles/1512427".to_owned(), format!(r#"{{"files": [{}]}}"#, listed.join(",")).into_bytes()));
    served
}

#[test]
fn the_brain_tumour_set_is_fetched_over_a_broken_line_checked_and_not_fetched_again() {
    let sandbox = Sandbox::new();
    let server = Server::start(article(708), "/files/brainTumorDataPublic_767-1532.zip");
    let args = ["data", "brain-tumor", "--to", "data/brain-tumor", "--from", &server.base];
    let said = sandbox.orchestrate(&args);
    assert_eq!(said.code, Some(0), "{}", said.err);
    for line in [
        "fetching 5 files, ",
        "brainTumorDataPublic_767-1532.zip: the connection broke off",
        "brainTumorDataPublic_767-1532.zip: going on after",
        "brainTumorDataPublic_2299-3064.zip: 766 files unpacked\n",
        "checking 3065 files\n",
        "3064 slices (708 meningioma, 1426 glioma, 930 pituitary) of 233 patients and cvind.mat are in \
         data/brain-tumor\n",
    ] {
        assert!(said.err.contains(line), "{line}: {}", said.err);
    }
    let names = fs::read_dir(sandbox.path("data/brain-tumor")).expect("the folder is there").count();
    assert_eq!(names, 3064 + ["cvind.mat", "checksums.json", ".lock"].len());
    let asked = server.requests.load(Ordering::SeqCst);
    assert_eq!(asked, 1 + 5 + 1);

    let said = sandbox.orchestrate(&args);
    assert_eq!((said.code, server.requests.load(Ordering::SeqCst)), (Some(0), asked), "{}", said.err);
    assert!(said.err.contains("complete: 3065 files in data/brain-tumor match checksums.json"), "{}", said.err);

    // A spec reads the data.
    sandbox.write("spec.toml", SPEC);
    let said = sandbox.orchestrate(&["plan", "spec.toml", "--set", "stages.images.limit=20"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
}

#[test]
fn another_data_set_a_dead_server_and_wrong_usage_are_errors() {
    let sandbox = Sandbox::new();
    let server = Server::start(article(707), "");
    let said = sandbox.orchestrate(&["data", "brain-tumor", "--to", "other", "--from", &server.base]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(
        said.err.contains(
            "3063 slices (707 meningioma, 1426 glioma, 930 pituitary) of 233 patients were found, 3064 slices"
        ),
        "{}",
        said.err
    );
    assert!(!sandbox.path("other/1.mat").exists());

    let said = sandbox.orchestrate(&["data", "brain-tumor", "--to", "x", "--from", &format!("{}/v9", server.base)]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.err.contains("/v9/articles/1512427: the server answers 404 Not Found"), "{}", said.err);

    for args in [&["data", "brain-tumor"][..], &["data", "brain-tumor", "--to", "x", "--from", "figshare"], &["data"]] {
        assert_eq!(sandbox.orchestrate(args).code, Some(2), "{args:?}");
    }
}

const SPEC: &str = r#"
[experiment]
name = "slices"

[stages.images]
kind = "dataset"
format = "cheng-mat"
path = "data/brain-tumor"

[stages.split]
kind = "split"
inputs = { labels = "images" }
folds = 5
"#;

#[test]
fn a_spec_without_its_data_names_the_command_that_fetches_them() {
    let sandbox = Sandbox::with_spec(SPEC);
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("--> spec.toml:8:8"), "{}", said.err);
    assert!(said.err.contains("help: orchestrate data brain-tumor --to DIR/data/brain-tumor\n"), "{}", said.err);

    // No command fetches data of other formats.
    let said = sandbox.orchestrate(&["run", "spec.toml", "--set", "stages.images.format=\"folders\""]);
    assert_eq!(said.code, Some(2));
    assert!(!said.err.contains("orchestrate data"), "{}", said.err);
}

#[test]
fn folds_of_a_matlab_file_are_found_beside_the_spec_and_their_content_is_in_the_key() {
    let sandbox = Sandbox::with_spec(
        &SPEC
            .replace("format = \"cheng-mat\"\npath = \"data/brain-tumor\"", "count = 12")
            .replace("folds = 5", "folds = 5\nfolds_from = \"folds/cvind.mat\""),
    );
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("stage `split`: `folds_from`: there is no file DIR/folds/cvind.mat"), "{}", said.err);
    assert!(said.err.contains("folds_from = \"folds/cvind.mat\"") && said.err.contains("^^^^"), "{}", said.err);

    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("stages/tests/reference/cvind");
    let file = |name: &str| fs::read(reference.join(name)).expect("the reference files are there");
    sandbox.write("folds/cvind.mat", file("plain.mat"));
    let first = sandbox.run_well(&[]);
    assert_eq!(first.ran(), ["images", "split"]);
    // The same numbers in another file: another key, the same bytes.
    sandbox.write("folds/cvind.mat", file("v73.mat"));
    let second = sandbox.run_well(&[]);
    assert_eq!(second.ran(), ["split"]);
    assert_eq!(second.nodes["split"]["output"], first.nodes["split"]["output"]);
    sandbox.write("folds/cvind.mat", file("short.mat"));
    let third = sandbox.orchestrate(&["run", "spec.toml"]);
    assert_eq!(third.code, Some(1));
    assert!(third.err.contains("cvind.mat has 3 numbers for 12 images"), "{}", third.err);
}

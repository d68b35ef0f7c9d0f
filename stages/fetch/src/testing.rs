//! A local server with the responses of a test, and archives to serve.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Cursor, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use md5::{Digest, Md5};
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::client::{Client, Timeouts};
use crate::digest::hex;
use crate::retry::Retries;

/// A request that the server received.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// By name in lower case.
    pub(crate) headers: BTreeMap<String, String>,
}

impl Request {
    /// The first byte of `Range: bytes=N-`.
    pub(crate) fn start(&self) -> Option<usize> {
        self.headers.get("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// A response, byte for byte. The connection is closed after it, at once or after a pause.
pub(crate) struct Answer {
    bytes: Vec<u8>,
    pause: Duration,
}

impl Answer {
    pub(crate) fn new(status: &str, headers: &[(&str, String)], body: &[u8]) -> Self {
        let mut bytes = format!("HTTP/1.1 {status}\r\nConnection: close\r\n").into_bytes();
        for (name, value) in headers {
            bytes.extend(format!("{name}: {value}\r\n").into_bytes());
        }
        bytes.extend(b"\r\n");
        bytes.extend(body);
        Self { bytes, pause: Duration::ZERO }
    }

    pub(crate) fn whole(body: &[u8]) -> Self {
        Self::new("200 OK", &[("Content-Length", body.len().to_string())], body)
    }

    /// `length` is claimed, `body` is sent.
    pub(crate) fn claiming(length: usize, body: &[u8]) -> Self {
        Self::new("200 OK", &[("Content-Length", length.to_string()), ("ETag", "\"v1\"".to_owned())], body)
    }

    /// The rest of a file; only the first `sent` bytes of it are sent.
    pub(crate) fn rest(whole: &[u8], start: usize, sent: usize) -> Self {
        let range = format!("bytes {start}-{}/{}", whole.len() - 1, whole.len());
        let headers = [
            ("Content-Range", range),
            ("Content-Length", (whole.len() - start).to_string()),
            ("ETag", "\"v1\"".to_owned()),
        ];
        Self::new("206 Partial Content", &headers, &whole[start..start + sent])
    }

    pub(crate) fn status(status: &str) -> Self {
        Self::new(status, &[("Content-Length", "0".to_owned())], b"")
    }

    /// Keeps the connection open after the response.
    pub(crate) fn then_silence(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }
}

/// Answers every request by a function of the request and the number of earlier requests for the same path.
pub(crate) struct Server {
    pub(crate) base: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub(crate) fn start(answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (seen, answer) = (seen.clone(), answer.clone());
                std::thread::spawn(move || serve(stream, &seen, &*answer));
            }
        });
        Self { base, requests }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Request>>, answer: &dyn Fn(&Request, usize) -> Answer) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let headers = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(':').map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())))
        .collect();
    let request = Request { path, headers };
    let before = {
        let mut seen = seen.lock().unwrap();
        seen.push(request.clone());
        seen.iter().filter(|other| other.path == request.path).count() - 1
    };
    let Answer { bytes, pause } = answer(&request, before);
    // The client may have closed the connection already.
    let _ = stream.write_all(&bytes).and_then(|()| stream.flush());
    std::thread::sleep(pause);
}

/// A client with short timeouts.
pub(crate) fn client() -> Client {
    Client::new(Timeouts { connect: Duration::from_secs(5), silence: Duration::from_millis(300) })
}

/// Two quick retries.
pub(crate) fn retries() -> Retries {
    Retries { delays: vec![Duration::from_millis(1); 2] }
}

/// Bytes with a long period.
pub(crate) fn bytes(length: usize) -> Vec<u8> {
    (0..length as u64).map(|place| (place.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}

pub(crate) fn md5_of(bytes: &[u8]) -> String {
    hex(Md5::new_with_prefix(bytes))
}

/// An archive of these entries.
pub(crate) fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

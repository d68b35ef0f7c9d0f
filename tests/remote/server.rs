//! The object servers that tests can start.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The credentials of tests; moto believes all, s3s-fs these.
pub(crate) const KEY: (&str, &str) = ("orchestrate-test", "orchestrate-secret");
/// The bucket of tests.
pub(crate) const BUCKET: &str = "lab";

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Moto,
    S3s,
}

/// A running server with an empty bucket; it ends with this value.
pub(crate) struct Server {
    child: Child,
    pub(crate) kind: Kind,
    pub(crate) port: u16,
    _dir: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts all servers that are installed, each for the story; says which are not.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
pub(crate) fn on_each(story: impl Fn(&Server)) {
    for kind in [Kind::Moto, Kind::S3s] {
        match Server::start(kind, "127.0.0.1") {
            Some(server) => story(&server),
            None => eprintln!("skipped: {kind:?} is not installed"),
        }
    }
}

fn program(name: &str) -> Option<PathBuf> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([tools]);
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}

impl Server {
    /// Starts a server; `None` if it is not installed or does not come up.
    pub(crate) fn start(kind: Kind, host: &str) -> Option<Self> {
        let dir = tempfile::tempdir().expect("tests have a temporary folder");
        let port = TcpListener::bind((host, 0)).ok()?.local_addr().ok()?.port();
        let mut command = match kind {
            Kind::Moto => {
                let mut command = Command::new(program("moto_server")?);
                command.args(["-H", host, "-p", &port.to_string()]);
                command
            }
            Kind::S3s => {
                std::fs::create_dir(dir.path().join(BUCKET)).expect("tests can make folders");
                let mut command = Command::new(program("s3s-fs")?);
                command.args(["--host", host, "--port", &port.to_string()]);
                command.args(["--access-key", KEY.0, "--secret-key", KEY.1]).arg(dir.path());
                command
            }
        };
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let server = Self { child, kind, port, _dir: dir };
        let begun = Instant::now();
        while TcpStream::connect((host, port)).is_err() {
            if begun.elapsed() > Duration::from_secs(30) {
                return None;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        if kind == Kind::Moto {
            let made = request(host, port, &format!("PUT /{BUCKET} HTTP/1.1"), &[]);
            assert!(made.starts_with("HTTP/1.1 200"), "{made}");
        }
        Some(server)
    }

    /// The names of all objects below a prefix; moto lets everybody ask.
    pub(crate) fn names(&self, prefix: &str) -> Vec<String> {
        let mut names = match self.kind {
            Kind::Moto => {
                let line = format!("GET /{BUCKET}?list-type=2&prefix={prefix} HTTP/1.1");
                let listed = request("127.0.0.1", self.port, &line, &[]);
                listed.split("<Key>").skip(1).filter_map(|rest| Some(rest.split_once("</Key>")?.0.to_owned())).collect()
            }
            Kind::S3s => {
                let root = self._dir.path().join(BUCKET);
                let mut found = Vec::new();
                let mut folders = vec![root.clone()];
                while let Some(folder) = folders.pop() {
                    for path in folder.read_dir().expect("it is a folder").filter_map(|entry| Some(entry.ok()?.path()))
                    {
                        match path.is_dir() {
                            true => folders.push(path),
                            false => found.push(path.strip_prefix(&root).expect("below").display().to_string()),
                        }
                    }
                }
                found.into_iter().filter(|name| name.starts_with(prefix)).collect::<Vec<_>>()
            }
        };
        names.sort();
        names
    }

    /// Changes or removes an object behind the program's back.
    pub(crate) fn spoil(&self, name: &str, bytes: Option<&[u8]>) {
        match self.kind {
            Kind::Moto => {
                let verb = if bytes.is_some() { "PUT" } else { "DELETE" };
                let line = format!("{verb} /{BUCKET}/{name} HTTP/1.1");
                let said = request("127.0.0.1", self.port, &line, bytes.unwrap_or_default());
                assert!(said.starts_with("HTTP/1.1 20"), "{said}");
            }
            Kind::S3s => {
                let path = self._dir.path().join(BUCKET).join(name);
                match bytes {
                    Some(bytes) => std::fs::write(path, bytes).expect("it can be written"),
                    None => std::fs::remove_file(path).expect("it is there"),
                }
            }
        }
    }
}

/// Sends a request without a signature; returns the answer.
fn request(host: &str, port: u16, line: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect((host, port)).expect("the server is up");
    let signed = "Authorization: AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request";
    let head = format!(
        "{line}\r\nHost: {host}:{port}\r\n{signed}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).expect("the server reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the server answers");
    String::from_utf8_lossy(&answer).into_owned()
}

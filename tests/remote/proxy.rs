//! A proxy with faults between the program and an object server. It speaks HTTP/1.1, one request a connection.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection is closed before an answer; the server never sees the request.
    Drop,
    /// The server has done it, and the answer is lost.
    Unanswered,
    /// The server is not asked, and this status is the answer.
    Status(u16),
    /// Half of the answer comes.
    BreakOff,
    /// The answer says that it is longer than it is.
    Longer,
    /// The answer says that it is shorter than it is.
    Shorter,
    /// A byte in the middle of the answer's body is another one.
    Flip,
    /// The answer comes after this time.
    Slow(Duration),
    /// A list lacks all indexes that were put through this proxy.
    Late,
}

type Decide = Box<dyn FnMut(&str) -> Option<Fault> + Send>;

#[derive(Default)]
struct State {
    decide: Option<Decide>,
    /// First lines of all requests.
    seen: Vec<String>,
    /// Names of headers that ask for a condition.
    conditions: usize,
}

/// A running proxy.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
    ends: Arc<AtomicBool>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Proxy {
    /// Starts a proxy before a server on this host.
    pub(crate) fn before(server_port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let (state, ends) = (Arc::<Mutex<State>>::default(), Arc::new(AtomicBool::new(false)));
        let (shared, ended) = (Arc::clone(&state), Arc::clone(&ends));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), shared) = (stream, Arc::clone(&shared)) else { continue };
                std::thread::spawn(move || serve(stream, server_port, &shared));
            }
        });
        Self { port, state, ends }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides on the fault of each request by its first line.
    pub(crate) fn faulty(&self, decide: impl FnMut(&str) -> Option<Fault> + Send + 'static) {
        self.state().decide = Some(Box::new(decide));
    }

    pub(crate) fn sound(&self) {
        self.state().decide = None;
    }

    /// Takes the first lines of the requests since the last call.
    pub(crate) fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.state().seen)
    }

    /// Returns how many requests asked for a condition.
    pub(crate) fn conditions(&self) -> usize {
        self.state().conditions
    }
}

fn serve(mut client: TcpStream, server_port: u16, state: &Mutex<State>) {
    // An error is a connection that ended.
    let _ = answer(&mut client, server_port, state);
    let _ = client.shutdown(Shutdown::Both);
}

fn answer(client: &mut TcpStream, server_port: u16, state: &Mutex<State>) -> io::Result<()> {
    let Some((head, body)) = read(client)? else { return Ok(()) };
    let line = head.lines().next().unwrap_or_default().to_owned();
    let lower = head.to_ascii_lowercase();
    let (fault, put) = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_condition = ["\r\nif-none-match:", "\r\nif-match:"].iter().any(|name| lower.contains(name));
        state.conditions += usize::from(is_condition);
        let fault = state.decide.as_mut().and_then(|decide| decide(&line));
        state.seen.push(line);
        (fault, state.seen.iter().filter_map(|line| put_index(line)).collect::<Vec<_>>())
    };
    match fault {
        Some(Fault::Drop) => return Ok(()),
        Some(Fault::Status(status)) => {
            let body = format!("<Error><Code>Test{status}</Code><Message>as the test wants it</Message></Error>");
            let head = format!("HTTP/1.1 {status} Test\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            return client.write_all(head.as_bytes()).and_then(|()| client.write_all(body.as_bytes()));
        }
        _ => {}
    }
    let mut server = TcpStream::connect(("127.0.0.1", server_port))?;
    let kept = head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let head: Vec<_> = kept.filter(|line| !line.is_empty()).collect();
    server.write_all(format!("{}\r\nConnection: close\r\n\r\n", head.join("\r\n")).as_bytes())?;
    server.write_all(&body)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    let at = answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
    match fault {
        Some(Fault::Unanswered) => return Ok(()),
        Some(Fault::BreakOff) => answer.truncate(at + (answer.len() - at) / 2),
        Some(Fault::Longer) => answer = relabelled(&answer, at, |length| length + 50),
        Some(Fault::Shorter) => answer = relabelled(&answer, at, |length| length / 2),
        Some(Fault::Flip) if answer.len() > at => {
            let middle = at + (answer.len() - at) / 2;
            answer[middle] ^= 1;
        }
        Some(Fault::Slow(time)) => std::thread::sleep(time),
        Some(Fault::Late) => answer = without(&answer, at, &put),
        _ => {}
    }
    client.write_all(&answer)
}

/// Reads a request; `None` at the end of the connection.
fn read(client: &mut TcpStream) -> io::Result<Option<(String, Vec<u8>)>> {
    let (mut bytes, mut chunk) = (Vec::new(), vec![0; 1 << 16]);
    let at = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        match client.read(&mut chunk)? {
            0 => return Ok(None),
            count => bytes.extend(&chunk[..count]),
        }
    };
    let head = String::from_utf8_lossy(&bytes[..at]).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let mut body = bytes.split_off(at);
    while body.len() < length.unwrap_or_default() {
        match client.read(&mut chunk)? {
            0 => return Ok(None),
            count => body.extend(&chunk[..count]),
        }
    }
    Ok(Some((head, body)))
}

/// Says another length of the body.
fn relabelled(answer: &[u8], at: usize, length: impl Fn(usize) -> usize) -> Vec<u8> {
    let head = String::from_utf8_lossy(&answer[..at]);
    let lines: Vec<_> = head
        .lines()
        .map(|line| match line.split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                format!("{name}: {}", length(value.trim().parse().unwrap_or_default()))
            }
            _ => line.to_owned(),
        })
        .collect();
    [format!("{}\r\n", lines.join("\r\n")).as_bytes(), &answer[at..]].concat()
}

fn put_index(line: &str) -> Option<String> {
    let name = line.strip_prefix("PUT ")?.split(' ').next()?;
    name.contains("/index/").then(|| name.rsplit('/').next().unwrap_or_default().to_owned())
}

/// Leaves objects out of a list.
fn without(answer: &[u8], at: usize, names: &[String]) -> Vec<u8> {
    let text = String::from_utf8_lossy(&answer[at..]).into_owned();
    let mut parts = text.split("<Contents>");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (object, rest) = part.split_once("</Contents>").unwrap_or((part, ""));
        if !names.iter().any(|name| object.contains(name)) {
            kept += &format!("<Contents>{object}</Contents>");
        }
        kept += rest;
    }
    let answer = [&answer[..at], kept.as_bytes()].concat();
    relabelled(&answer, at, |_| kept.len())
}

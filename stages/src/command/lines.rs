//! Output of a program, read in pieces of whole lines: a program may print millions.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// Most bytes of a line; the rest is left out, so that a program that never ends its line does not fill the memory.
pub(super) const LINE_MAX: usize = 1 << 20;
/// Bytes that are read at once.
const READ: usize = 64 << 10;
/// Pieces that wait to be taken; a program that prints faster waits for us.
const WAITING: usize = 16;

/// The stream on which a program printed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Stream {
    Out,
    Err,
}

/// One or more whole lines.
#[derive(Debug, PartialEq)]
pub(super) struct Lines {
    pub(super) stream: Stream,
    /// Each line ends in a newline.
    pub(super) bytes: Vec<u8>,
    /// Bytes of the last line after its first [`LINE_MAX`].
    pub(super) left_out: usize,
}

/// Lines of both streams as they come; the channel closes when both have ended.
pub(super) fn listen<O: Read + Send + 'static, E: Read + Send + 'static>(
    stdout: Option<O>,
    stderr: Option<E>,
) -> Receiver<Lines> {
    let (sender, lines) = sync_channel(WAITING);
    if let Some(stdout) = stdout {
        let sender = sender.clone();
        thread::spawn(move || send(stdout, Stream::Out, &sender));
    }
    if let Some(stderr) = stderr {
        thread::spawn(move || send(stderr, Stream::Err, &sender));
    }
    lines
}

fn send(mut from: impl Read, stream: Stream, sender: &SyncSender<Lines>) {
    let mut read = vec![0; READ];
    let mut splitter = Splitter::default();
    loop {
        let count = match from.read(&mut read) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => 0,
        };
        let mut take = |bytes, left_out| sender.send(Lines { stream, bytes, left_out }).is_ok();
        let heard = if count == 0 { splitter.end(&mut take) } else { splitter.push(&read[..count], &mut take) };
        if count == 0 || !heard {
            return;
        }
    }
}

/// Cuts a stream into lines.
///
/// Progress bars end their lines with a carriage return, so that ends a line too; empty lines between the two are left
/// out.
#[derive(Default)]
struct Splitter {
    /// Whole lines, and a line that has begun.
    bytes: Vec<u8>,
    /// Where the line begins that has not ended.
    begin: usize,
    left_out: usize,
    after_return: bool,
}

impl Splitter {
    /// Hands over the lines that have ended; returns false if nobody listens.
    fn push(&mut self, mut rest: &[u8], take: &mut impl FnMut(Vec<u8>, usize) -> bool) -> bool {
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.extend(&rest[..end]);
            let skip = self.bytes.len() == self.begin && self.after_return && rest[end] == b'\n';
            if !skip && !self.end_line(take) {
                return false;
            }
            self.after_return = rest[end] == b'\r';
            rest = &rest[end + 1..];
        }
        if !rest.is_empty() {
            self.after_return = false;
        }
        self.extend(rest);
        self.hand_over(take)
    }

    /// Hands over the last line, which nothing ended.
    fn end(&mut self, take: &mut impl FnMut(Vec<u8>, usize) -> bool) -> bool {
        (self.bytes.len() == self.begin || self.end_line(take)) && self.hand_over(take)
    }

    fn extend(&mut self, part: &[u8]) {
        let kept = part.len().min(LINE_MAX - (self.bytes.len() - self.begin));
        self.bytes.extend_from_slice(&part[..kept]);
        self.left_out += part.len() - kept;
    }

    fn end_line(&mut self, take: &mut impl FnMut(Vec<u8>, usize) -> bool) -> bool {
        self.bytes.push(b'\n');
        self.begin = self.bytes.len();
        // A line that was cut is the last of its piece.
        self.left_out == 0 || self.hand_over(take)
    }

    fn hand_over(&mut self, take: &mut impl FnMut(Vec<u8>, usize) -> bool) -> bool {
        if self.begin == 0 {
            return true;
        }
        let begun = self.bytes.split_off(self.begin);
        let lines = std::mem::replace(&mut self.bytes, begun);
        self.begin = 0;
        // What was left out of a line that has only begun belongs to the next piece.
        let left_out = if self.bytes.is_empty() { std::mem::take(&mut self.left_out) } else { 0 };
        take(lines, left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &'static [u8]) -> String {
        let lines = listen(Some(bytes), None::<&[u8]>);
        lines.iter().map(|lines| String::from_utf8(lines.bytes).expect("it was text")).collect()
    }

    #[test]
    fn lines_end_with_newline_carriage_return_both_or_the_stream() {
        assert_eq!(lines(b"a\nb\r\nc\rd"), "a\nb\nc\nd\n");
        assert_eq!(lines(b"a\n\nb\n"), "a\n\nb\n");
        assert_eq!(lines(b"a\r\n\nb\r\r"), "a\n\nb\n\n");
        assert_eq!(lines(b""), "");
    }

    #[test]
    fn line_without_end_is_cut() {
        let long = std::io::repeat(b'x').take(3 * LINE_MAX as u64);
        let lines = listen(Some((&b"first\n"[..]).chain(long).chain(&b"\nnext"[..])), None::<&[u8]>);
        let pieces: Vec<_> = lines.iter().map(|lines| (lines.bytes.len(), lines.left_out)).collect();
        assert_eq!(pieces, [(6, 0), (LINE_MAX + 1, 2 * LINE_MAX), (5, 0)]);
    }

    #[test]
    fn pieces_are_the_same_lines_wherever_a_read_ends() {
        let text = b"one\r\ntwo\r\rthree\n\nfour\r\n";
        for cut in 0..text.len() {
            let mut splitter = Splitter::default();
            let mut said = Vec::new();
            let mut take = |bytes: Vec<u8>, _| {
                said.extend(bytes);
                true
            };
            splitter.push(&text[..cut], &mut take);
            splitter.push(&text[cut..], &mut take);
            splitter.end(&mut take);
            assert_eq!(String::from_utf8(said).unwrap(), "one\ntwo\n\nthree\n\nfour\n", "{cut}");
        }
    }
}

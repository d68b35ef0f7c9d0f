//! Files that lie in the place of weights and are something else, told by their first bytes.

use std::fs::File;
use std::io::{self, Read};

/// First bytes of formats, and the sentence on a file that starts with them.
const STARTS: [(&[u8], &str); 5] = [
    (
        b"version https://git-lfs",
        "it is a pointer of Git LFS in place of the weights; run `git lfs pull` where it was cloned",
    ),
    (b"\x89HDF\r\n\x1a\n", "it is an HDF5 file, such as Keras writes; convert it to safetensors"),
    (b"\x1f\x8b", "it is compressed by gzip; unpack it"),
    (b"\xfd7zXZ\0", "it is compressed by xz; unpack it"),
    (b"\x93NUMPY", "it is one array of NumPy without a name; save a state dict as safetensors"),
];

/// The start of texts, in lower case, and the sentence on such a text.
const TEXTS: [(&str, &str); 8] = [
    ("<!doctype html", HTML),
    ("<html", HTML),
    ("<head", HTML),
    ("<body", HTML),
    ("<!--", HTML),
    ("<?xml", "it is XML, such as the error message of a server; fetch the file of weights itself"),
    ("{\"", JSON),
    ("{\n", JSON),
];

const HTML: &str =
    "it is a web page (HTML), such as one that asks to log in or to agree; fetch the file of weights itself";

const JSON: &str = "it is JSON, such as a list of files or the error message of a server; name a file of tensors";

/// Returns the first bytes of a file, enough to tell its format.
pub(crate) fn start_of(file: &mut File) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    file.take(512).read_to_end(&mut start)?;
    Ok(start)
}

/// Returns true for a safetensors file: the length of its header, 8 bytes, then the header, JSON.
pub(super) fn is_safetensors(start: &[u8]) -> bool {
    // No header is longer than four bytes can say.
    start.get(4..9) == Some(b"\0\0\0\0{")
}

/// Returns a sentence on a file that is surely no file of weights, by its first bytes; `None` for any other file.
pub(crate) fn other_file(start: &[u8]) -> Option<&'static str> {
    if start.is_empty() {
        return Some("it is empty; fetch it again");
    }
    if start.len() >= 16 && start.iter().all(|&byte| byte == 0) {
        return Some("it starts with zeros, as a download does that stopped; fetch it again");
    }
    // The length of a header may be any two bytes.
    if is_safetensors(start) {
        return None;
    }
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    let starts = |words: &str| text.len() >= words.len() && text[..words.len()].eq_ignore_ascii_case(words.as_bytes());
    let format = STARTS.iter().find(|(bytes, _)| start.starts_with(bytes)).map(|(_, sentence)| *sentence);
    format.or_else(|| TEXTS.iter().find(|(words, _)| starts(words)).map(|(_, sentence)| *sentence))
}

/// Returns the first line of a text in quotes; `None` for a file with bytes that no text has.
pub(super) fn quoted_text(start: &[u8]) -> Option<String> {
    // A character may be cut at the end.
    let text = String::from_utf8_lossy(start.get(..256).unwrap_or(start));
    let line = text.trim().lines().next()?;
    let is_text = !text.chars().any(|c| (c.is_control() && !c.is_whitespace()) || c == char::REPLACEMENT_CHARACTER);
    is_text.then(|| format!("`{}`", line.chars().take(60).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::{other_file, quoted_text};

    #[test]
    fn files_that_are_no_weights_are_told_by_their_first_bytes() {
        let table: [(&[u8], &str); 11] = [
            (b"", "it is empty"),
            (&[0; 512], "it starts with zeros"),
            (
                b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 46830571\n",
                "it is a pointer of Git LFS",
            ),
            (b"\n\n<!DOCTYPE html>\n<html lang=\"en\">", "it is a web page (HTML)"),
            (b"\xef\xbb\xbf<HTML><head>", "it is a web page (HTML)"),
            (b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code>", "it is XML"),
            (b"{\"metadata\": {\"total_size\": 46807446}}", "it is JSON"),
            (b"{\n  \"message\": \"Not Found\"", "it is JSON"),
            (b"\x89HDF\r\n\x1a\n\x00", "it is an HDF5 file"),
            (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", "it is compressed by gzip"),
            (b"\x93NUMPY\x01\x00", "it is one array of NumPy"),
        ];
        for (start, expected) in table {
            let found = other_file(start).expect("it is no file of weights");
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn files_that_may_be_weights_are_not_refused_by_their_first_bytes() {
        // A safetensors header of 0x8b1f bytes starts as gzip does.
        for start in [&b"\x1f\x8b\0\0\0\0\0\0{\"a\""[..], b"PK\x03\x04", b"\x80\x02}", b"weights", &[0; 8]] {
            assert_eq!(other_file(start), None, "{start:?}");
        }
    }

    #[test]
    fn a_short_text_is_quoted() {
        assert_eq!(quoted_text(b"Entry not found\nmore"), Some("`Entry not found`".to_owned()));
        assert_eq!(quoted_text(b"\x80\x02}q\x00"), None);
        assert_eq!(quoted_text(b" \n"), None);
    }
}

//! Hiding of secrets in texts: as they are, and as programs commonly write them.
//!
//! A secret is looked for in these forms: each line of it, and the whole in base64 (with either alphabet, wherever it
//! begins among three bytes), hexadecimal, JSON and percent encoding. Lines are cut, wrapped and left out, so a piece
//! of [`PIECE`] bytes of a form is hidden like all of it. The text is searched for blocks of half that length, of which
//! any piece has a whole one. A block that is found is extended as far as text and form agree.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use aho_corasick::AhoCorasick;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Length below which a secret is not hidden, as its letters occur in any text.
pub(super) const SECRET_MIN: usize = 4;
/// Length below which an encoded secret is not hidden.
const ENCODED_MIN: usize = 6;
/// Length from which a piece of a secret is hidden.
const PIECE: usize = 16;
/// Length of the blocks that are searched for.
const BLOCK: usize = PIECE / 2;
/// Length from which the beginning of a secret is hidden at the end of a text that was cut.
const BEGUN_MIN: usize = 3;
/// Text in place of a secret.
const HIDDEN: &str = "***";

/// The forms of some secrets.
#[derive(Default)]
pub(super) struct Mask {
    forms: Vec<Vec<u8>>,
    /// Finds blocks; `None` without secrets.
    search: Option<AhoCorasick>,
    /// Form and offset of each block.
    blocks: Vec<(usize, usize)>,
}

impl Mask {
    /// Makes a mask of the values of secrets.
    pub(super) fn new<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut forms = BTreeSet::new();
        for secret in secrets {
            forms.extend(lines(secret).map(<[u8]>::to_vec));
            forms.extend(encoded(secret.trim_ascii()).into_iter().filter(|form| form.len() >= ENCODED_MIN));
        }
        let forms: Vec<_> = forms.into_iter().collect();
        let mut blocks = Vec::new();
        let mut patterns = Vec::new();
        for (number, form) in forms.iter().enumerate() {
            let len = if form.len() > PIECE { BLOCK } else { form.len() };
            for (block, bytes) in form.chunks_exact(len).enumerate() {
                blocks.push((number, block * len));
                patterns.push(bytes);
            }
        }
        let search = (!patterns.is_empty()).then(|| AhoCorasick::new(&patterns).expect("secrets are far from 4 GB"));
        Self { search, blocks, forms }
    }

    /// Returns the text with `***` in place of every secret.
    pub(super) fn hide<'a>(&self, text: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
        let text = text.into();
        match self.places(&text).as_slice() {
            [] => text,
            places => without(&text, places).into(),
        }
    }

    /// Does the same for a text that was cut, perhaps within a secret.
    pub(super) fn hide_cut(&self, text: &str) -> String {
        let begun = |form: &Vec<u8>| {
            let longest = form.len().min(text.len() + 1);
            (BEGUN_MIN..longest).rev().find(|len| text.as_bytes().ends_with(&form[..*len]))
        };
        let cut = self.forms.iter().filter_map(begun).max().unwrap_or(0);
        let end = text.floor_char_boundary(text.len() - cut);
        let mut places = self.places(text);
        places.retain(|place| place.start < end);
        if let Some(last) = places.last_mut() {
            last.end = last.end.min(end);
        }
        without(&text[..end], &places)
    }

    /// Finds all secrets: places in order, apart from each other.
    fn places(&self, text: &str) -> Vec<Range<usize>> {
        let Some(search) = &self.search else { return Vec::new() };
        let bytes = text.as_bytes();
        let mut places: Vec<Range<usize>> = Vec::new();
        let mut seen = vec![0; self.forms.len()];
        for found in search.find_overlapping_iter(bytes) {
            let (form, at) = self.blocks[found.pattern().as_usize()];
            if found.end() <= seen[form] {
                continue;
            }
            let (before, after) = (&self.forms[form][..at], &self.forms[form][at..]);
            let left = bytes[..found.start()].iter().rev().zip(before.iter().rev());
            let right = bytes[found.start()..].iter().zip(after);
            let start = found.start() - left.take_while(|(a, b)| a == b).count();
            let end = found.start() + right.take_while(|(a, b)| a == b).count();
            seen[form] = end;
            if end - start >= PIECE.min(self.forms[form].len()) {
                places.push(text.floor_char_boundary(start)..text.ceil_char_boundary(end));
            }
        }
        places.sort_unstable_by_key(|place| place.start);
        places.dedup_by(|next, last| {
            let is_one = next.start <= last.end;
            if is_one {
                last.end = last.end.max(next.end);
            }
            is_one
        });
        places
    }
}

/// Returns the text without some places of it.
fn without(text: &str, places: &[Range<usize>]) -> String {
    let (mut shown, mut from) = (String::with_capacity(text.len()), 0);
    for place in places {
        shown += &text[from..place.start];
        shown += HIDDEN;
        from = place.end;
    }
    shown + &text[from..]
}

/// Returns the lines of a secret that are long enough: programs print line by line.
pub(super) fn lines(secret: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = secret.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii);
    lines.filter(|line| line.len() >= SECRET_MIN)
}

/// Returns the encodings of a secret.
fn encoded(secret: &[u8]) -> Vec<Vec<u8>> {
    if secret.len() < SECRET_MIN {
        return Vec::new();
    }
    let mut forms: Vec<String> = (0..3).flat_map(|before| base64(secret, before)).collect();
    forms.extend([hexadecimal(secret), hexadecimal(secret).to_uppercase()]);
    let json = serde_json::to_string(&String::from_utf8_lossy(secret)).expect("a text is written as JSON");
    let json = json[1..json.len() - 1].to_owned();
    forms.extend([json.replace('/', "\\/"), ascii(&json), json]);
    // The sets of characters that urllib, encodeURIComponent and forms leave as they are.
    for kept in ["-_.~", "-_.~/", "-_.~!*'()", "-_.*"] {
        let form = percent(secret, kept);
        forms.extend([form.replace("%20", "+"), form]);
    }
    forms.into_iter().map(String::into_bytes).collect()
}

/// Returns the base64 of a secret behind so many bytes, in both alphabets: the characters that it alone decides.
fn base64(secret: &[u8], before: usize) -> [String; 2] {
    let padded = [&vec![0; before][..], secret].concat();
    // A character has six bits.
    let (from, to) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
    [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)].map(|text| text[from..to].to_owned())
}

fn hexadecimal(secret: &[u8]) -> String {
    secret.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Escapes all but ASCII in JSON, as Python does.
fn ascii(json: &str) -> String {
    json.chars().fold(String::new(), |mut text, c| {
        match c.is_ascii() {
            true => text.push(c),
            false => text.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}"))),
        }
        text
    })
}

fn percent(secret: &[u8], kept: &str) -> String {
    secret.iter().fold(String::new(), |mut text, byte| {
        match char::from(*byte) {
            c if c.is_ascii_alphanumeric() || kept.contains(c) => text.push(c),
            _ => text += &format!("%{byte:02X}"),
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOKEN: &str = "s3cr%t/+\"Zürich\" 9f8e7d6c5b4a";

    fn mask(secret: &str) -> Mask {
        Mask::new([secret.as_bytes()])
    }

    #[test]
    fn a_secret_is_hidden_in_every_encoding() {
        let mask = mask(TOKEN);
        let basic = |user: &str| STANDARD_NO_PAD.encode(format!("{user}:{TOKEN}@"));
        // As Python's json.dumps, urllib.parse.quote and quote_plus write it, and JavaScript's encodeURIComponent.
        let texts = [
            TOKEN.to_owned(),
            r#"s3cr%t/+\"Z\u00fcrich\" 9f8e7d6c5b4a"#.to_owned(),
            r#"s3cr%t/+\"Zürich\" 9f8e7d6c5b4a"#.to_owned(),
            r#"s3cr%t\/+\"Zürich\" 9f8e7d6c5b4a"#.to_owned(),
            "s3cr%25t/%2B%22Z%C3%BCrich%22%209f8e7d6c5b4a".to_owned(),
            "s3cr%25t%2F%2B%22Z%C3%BCrich%22+9f8e7d6c5b4a".to_owned(),
            hexadecimal(TOKEN.as_bytes()),
        ];
        for text in texts {
            assert_eq!(mask.hide(format!("<{text}>")), "<***>");
        }
        for user in ["a", "ab", "abc"] {
            let shown = mask.hide(basic(user)).into_owned();
            // The characters that the bytes before and after it share in are left.
            assert!(shown.contains("***") && shown.len() <= 14, "{shown}");
        }
    }

    #[test]
    fn a_piece_of_a_long_secret_is_hidden_wherever_a_line_cuts_it() {
        let secret = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let mask = mask(secret);
        for form in [secret.to_owned(), STANDARD_NO_PAD.encode(secret)] {
            for cut in PIECE..form.len() - PIECE {
                let wrapped = format!("({}\n{})", &form[..cut], &form[cut..]);
                let shown = mask.hide(&wrapped).into_owned();
                assert!(shown.len() <= "(***\n***)".len() + 2, "{cut}: {shown}");
            }
        }
        assert_eq!(mask.hide("0123456789 and abcdef"), "0123456789 and abcdef", "these pieces are too short");
    }

    #[test]
    fn a_short_secret_hides_itself_and_little_else() {
        let mask = mask("test");
        assert_eq!(mask.hide("a test of tests, dGVz, VzdA, ZXN0"), "a *** of ***s, dGVz, VzdA, ZXN0");
        assert_eq!(Mask::new([&b"e"[..], b"", b" \n"]).hide("hello there"), "hello there");
    }

    #[test]
    fn a_key_of_many_lines_is_hidden_line_by_line_and_as_a_whole() {
        let lines: Vec<_> = (0..40).map(|line| format!("{line:02}").repeat(32)).collect();
        let key = format!("-----BEGIN KEY-----\n{}\n-----END KEY-----\n", lines.join("\n"));
        let mask = mask(&key);
        assert!(!mask.hide(&key).contains("0101"));
        let shown = mask.hide(STANDARD_NO_PAD.encode(&key)).into_owned();
        assert!(shown.len() < 8, "{shown}");
        let json = serde_json::json!({ "key": key }).to_string();
        assert_eq!(mask.hide(&json), r#"{"key":"***\n"}"#);
    }

    proptest! {
        #[test]
        fn no_secret_survives_in_any_text(
            secret in "[a-zü/+ \"]{8,40}", before in "[a-cü]{0,20}", after in "[a-cü]{0,20}",
        ) {
            let secret = secret.trim().to_owned();
            prop_assume!(secret.len() >= ENCODED_MIN);
            let mask = mask(&secret);
            for form in encoded(secret.as_bytes()).into_iter().filter(|form| form.len() >= ENCODED_MIN) {
                let form = String::from_utf8(form).unwrap();
                let shown = mask.hide(format!("{before}{form}{after}")).into_owned();
                prop_assert!(!shown.contains(&form), "{shown}");
            }
            let cut = mask.hide_cut(&[before, secret.clone()].concat());
            prop_assert!(!cut.contains(&secret));
        }
    }
}

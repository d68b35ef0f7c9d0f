//! A checksum at the end of JSON text, for files that are for people and yet must not be believed if a byte changed.
//!
//! The text `{…}` becomes `{…,"seal":"HEX"}`, where `HEX` is the BLAKE3 digest of everything before the comma. Whoever reads the
//! JSON and does not know the field passes over it.

use serde::Serialize;

use crate::value::digest::Digest;

const FIELD: &str = ",\"seal\":\"";
const HEX_LEN: usize = 64;
const END: &str = "\"}";

/// What is appended to an object without its last brace, given the digest of all that stands before.
pub fn seal(before: &Digest) -> String {
    format!("{FIELD}{before}{END}")
}

/// A value that is a JSON object, as text with its seal and without a line end.
pub fn sealed(object: &impl Serialize) -> String {
    let mut text = serde_json::to_string(object).expect("texts, numbers and JSON values can be written to memory");
    assert_eq!(text.pop(), Some('}'), "BUG: only an object is sealed");
    text += &seal(&Digest::of(text.as_bytes()));
    text
}

/// Whether text that may end with line ends has the right seal; `None` if it has none at its end.
pub fn is_sealed(text: &[u8]) -> Option<bool> {
    let text = text.trim_ascii_end();
    let place = text.len().checked_sub(FIELD.len() + HEX_LEN + END.len())?;
    let (before, seal_bytes) = text.split_at(place);
    seal_bytes.starts_with(FIELD.as_bytes()).then(|| seal_bytes == seal(&Digest::of(before)).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_byte_anywhere_breaks_the_seal_or_removes_it() {
        let before = b"{\"a\":1}\n{\"b\":2".to_vec();
        let sealed = [before.clone(), seal(&Digest::of(&before)).into_bytes(), b"\n".to_vec()].concat();
        assert_eq!(is_sealed(&sealed), Some(true));
        for place in 0..sealed.len() - 1 {
            let mut flipped = sealed.clone();
            flipped[place] ^= 1;
            assert_ne!(is_sealed(&flipped), Some(true), "at {place}");
            assert_eq!(is_sealed(&sealed[..place]), None, "cut at {place}");
        }
    }
}

//! What is kept of results that were collected: the file `lineage`, a JSON line each, with a seal (`seal.rs`).

use std::fs;

use crate::digest::Digest;
use crate::disk;
use crate::error::StoreError;
use crate::layout::Layout;
use crate::seal::{is_sealed, seal};

/// Adds a line about one result, given as a JSON object.
pub(crate) fn push(lines: &mut Vec<u8>, object: &serde_json::Value) {
    let text = object.to_string();
    let open = text.strip_suffix('}').expect("an object ends with a brace");
    lines.extend(format!("{open}{}\n", seal(&Digest::of(open.as_bytes()))).into_bytes());
}

/// Makes lines durable, in place of half a line that a crash has left.
pub(crate) fn append(layout: &Layout, lines: &[u8]) -> Result<(), StoreError> {
    let path = layout.lineage();
    let file = disk::open_or_create(&path)?;
    let before = fs::read(&path).map_err(StoreError::io("read", &path))?;
    let end = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    if end < before.len() {
        disk::truncate(&file, end as u64, &path)?;
    }
    disk::write_at(&file, lines, end as u64, &path)?;
    disk::sync(&file, &path)
}

/// What is wrong with the bytes of the file, whether only its end is, and what can be kept.
pub(crate) fn damage(bytes: &[u8]) -> Option<(String, bool, Vec<u8>)> {
    let lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| *line != b"\n").collect();
    let is_whole = |line: &&&[u8]| line.ends_with(b"\n") && is_sealed(line) == Some(true);
    let whole: Vec<_> = lines.iter().filter(is_whole).copied().collect();
    let bad = lines.len() - whole.len();
    let only_end = bad == 1 && !bytes.ends_with(b"\n");
    (bad > 0).then(|| (format!("{bad} of {} lines are damaged", lines.len()), only_end, whole.concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_does_not_spoil_the_next_one() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout { dir: dir.path().to_owned() };
        let mut line = Vec::new();
        push(&mut line, &serde_json::json!({ "node": "score" }));
        append(&layout, &line).unwrap();
        append(&layout, &line[..9]).unwrap();
        assert!(damage(&fs::read(layout.lineage()).unwrap()).is_some_and(|(_, only_end, _)| only_end));
        append(&layout, &line).unwrap();
        let twice = [&line[..], &line].concat();
        assert_eq!(fs::read(layout.lineage()).unwrap(), twice);
        let mut flipped = twice.clone();
        flipped[9] ^= 1;
        let (message, only_end, whole) = damage(&flipped).unwrap();
        assert_eq!((message.as_str(), only_end, whole), ("1 of 2 lines are damaged", false, line));
        assert!(damage(&twice).is_none());
    }
}

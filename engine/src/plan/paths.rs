//! Paths in the params of a stage.

use std::path::{Component, Path, PathBuf};

use serde_json::Value as Json;

/// The paths of a param, by its dotted name.
pub(super) fn paths<'p>(params: &'p Json, field: &str) -> Vec<&'p Path> {
    let value = field.split('.').filter(|key| !key.is_empty()).try_fold(params, |value, key| value.get(key));
    let texts = match value {
        Some(Json::Array(items)) => items.iter().filter_map(|item| item.as_str()).collect(),
        Some(value) => value.as_str().into_iter().collect(),
        None => Vec::new(),
    };
    texts.into_iter().map(Path::new).collect()
}

/// Removes `.` and `..` from an absolute path.
pub(super) fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            other => plain.push(other),
        }
    }
    plain
}

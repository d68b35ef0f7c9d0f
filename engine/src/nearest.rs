//! "Did you mean …?"

/// Returns the name closest to what was written, if one is close enough to be meant.
pub fn nearest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = |name: &str| 1 + name.len().max(written.len()) / 4;
    names
        .into_iter()
        // Names of very different length cannot be close, and need no comparison.
        .filter(|name| name.len().abs_diff(written.len()) <= 4 * limit(name))
        .map(|name| (strsim::damerau_levenshtein(written, name), name))
        .filter(|(distance, name)| *distance <= limit(name))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swapped_and_missing_letters_are_found() {
        let names = ["images", "split", "cam", "threshold"];
        assert_eq!(nearest("cma", names), Some("cam"));
        assert_eq!(nearest("treshold", names), Some("threshold"));
        assert_eq!(nearest("weights", names), None);
    }
}

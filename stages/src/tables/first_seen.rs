//! Lists in the order in which their elements first appear.

/// Returns the index of the element that fits, adding one if there is none.
pub(crate) fn index_or_push<T>(list: &mut Vec<T>, fits: impl FnMut(&T) -> bool, new: impl FnOnce() -> T) -> usize {
    list.iter().position(fits).unwrap_or_else(|| {
        list.push(new());
        list.len() - 1
    })
}

/// Adds a text unless the list has it; returns its index.
pub(crate) fn push_once(texts: &mut Vec<String>, text: &str) -> usize {
    index_or_push(texts, |other| other == text, || text.to_owned())
}

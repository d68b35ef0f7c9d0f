//! Results of many files or images, of which every problem is reported.

/// Returns all values, or else all problems.
pub(crate) fn all_or_problems<T, E>(results: impl IntoIterator<Item = Result<T, E>>) -> Result<Vec<T>, Vec<E>> {
    let mut problems = Vec::new();
    let values =
        results.into_iter().filter_map(|result| result.map_err(|problem| problems.push(problem)).ok()).collect();
    if problems.is_empty() { Ok(values) } else { Err(problems) }
}

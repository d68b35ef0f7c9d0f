//! Tasks of several short batches, which run in a row.

use std::time::Duration;

/// The estimated duration of the batches of one task, and the most of them.
pub(crate) const BUNDLE: (Duration, usize) = (Duration::from_secs(60), 200);

/// Packs batches into tasks in their order, each with its estimated duration; one without goes alone.
pub(crate) fn bundle<T>(batches: impl IntoIterator<Item = (T, Option<Duration>)>) -> Vec<Vec<T>> {
    let mut tasks: Vec<(Duration, Vec<T>)> = Vec::new();
    for (batch, estimate) in batches {
        let estimate = estimate.unwrap_or(BUNDLE.0);
        let fits = |(sum, members): &&mut (Duration, Vec<T>)| *sum + estimate <= BUNDLE.0 && members.len() < BUNDLE.1;
        match tasks.last_mut().filter(fits) {
            Some((sum, members)) => {
                *sum += estimate;
                members.push(batch);
            }
            None => tasks.push((estimate, vec![batch])),
        }
    }
    tasks.into_iter().map(|(_, members)| members).collect()
}

//! Notes of a run, or of its forecast, about results that nobody trusted has signed.

use orchestrate_cache::{PassedOver, Store};

/// The most producers that are named.
const PRODUCERS_SHOWN: usize = 3;

/// Returns the notes at the end of a run; `ran` is true if it recorded results.
pub(super) fn notes(store: &Store, ran: bool) -> Vec<String> {
    let unsigned = (ran && store.trust().is_limited() && store.trust().own_key().is_none()).then(|| {
        "results of this run are unsigned and will not be found again: `[store.trust]` asks for signatures, and you \
         have no key; run `orchestrate store keygen`, and list its public key in orchestrate.toml"
            .to_owned()
    });
    passed_over(store).into_iter().chain(unsigned).collect()
}

/// Names the results that lookups passed over, because nobody trusted has signed them; `None` if there are none.
pub fn passed_over(store: &Store) -> Option<String> {
    let PassedOver { keys, producers } = store.passed_over();
    if keys == 0 {
        return None;
    }
    let mut producers: Vec<_> = producers.into_iter().collect();
    producers.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let more = producers.len().saturating_sub(PRODUCERS_SHOWN);
    let shown = producers.into_iter().take(PRODUCERS_SHOWN).map(|(producer, _)| producer);
    let more = (more > 0).then(|| format!("and {more} more"));
    let said = shown.chain(more).collect::<Vec<_>>().join("; ");
    let results = match keys {
        1 => "1 result by nobody whom this project trusts was passed over (it claims".to_owned(),
        _ => format!("{keys} results by nobody whom this project trusts were passed over (they claim"),
    };
    Some(format!("{results} to be by {said})"))
}

//! The forecast of a run, node by node: `hit`, `miss` with its reason, or `unknown` because an input must run first.
//!
//! It writes nothing and runs nothing.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use orchestrate_cache::{ActionKey, ActionResult, Lineage, Preimage, Store};

use crate::explain::{Change, changes};
use crate::known::{Known, Outputs};
use crate::node::NodeId;
use crate::observe::Observed;
use crate::plan::Plan;
use crate::runlog::{History, Latest};

/// The number of recent runs searched for the latest end of a node.
const RUNS_SEARCHED: usize = 100;

/// The forecast for one node.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The store has its result.
    Hit {
        /// Its key.
        key: ActionKey,
        /// Its outputs.
        outputs: Outputs,
    },
    /// It would run.
    Miss {
        /// Its key.
        key: ActionKey,
        /// The reason for the miss.
        reason: MissReason,
    },
    /// The key follows from outputs of an input that must run first.
    Unknown {
        /// The first such input.
        waits_for: NodeId,
    },
}

impl Answer {
    /// Returns the key of a hit.
    pub fn hit(&self) -> Option<ActionKey> {
        match self {
            Self::Hit { key, .. } => Some(*key),
            Self::Miss { .. } | Self::Unknown { .. } => None,
        }
    }
}

/// The reason for a miss.
#[derive(Clone, Debug, PartialEq)]
pub enum MissReason {
    /// No run of this node is recorded.
    New,
    /// Something differs from the latest recorded run that succeeded.
    Changed {
        /// The differences.
        changes: Vec<Change>,
        /// The producer of that run's result, in words.
        producer: String,
    },
    /// Nothing differs, but the store no longer has the result.
    Gone,
    /// The store has a result, but nobody trusted has signed it.
    Untrusted,
    /// Nothing differs, but garbage collection deleted the result, at this time in milliseconds since 1970.
    Collected(u64),
    /// The latest recorded run failed. Its key was the same, or no earlier run left a preimage to compare with.
    Failed,
    /// The key differs from that of the latest recorded run, and the store no longer has the preimage of the latter.
    Unrecorded,
    /// `--force` asks for it.
    Forced,
}

impl MissReason {
    /// Returns the reason in a few words.
    pub fn sentence(&self) -> String {
        match self {
            Self::New => "never ran".to_owned(),
            Self::Changed { changes, .. } => {
                let mut sentences: Vec<_> = changes.iter().take(3).map(|change| change.sentence.clone()).collect();
                if changes.len() > 3 {
                    sentences.push(format!("and {} more", changes.len() - 3));
                }
                sentences.join(", ")
            }
            Self::Gone => "its result is no longer in the store".to_owned(),
            Self::Untrusted => "its result in the store is by nobody whom this project trusts".to_owned(),
            Self::Collected(at_ms) => format!("garbage collection deleted its result on {}", date(*at_ms)),
            Self::Failed => "its latest run failed".to_owned(),
            Self::Unrecorded => "differs from its latest run, which the store no longer has".to_owned(),
            Self::Forced => "forced".to_owned(),
        }
    }
}

/// The forecast for all nodes of a plan.
pub struct Survey {
    /// One answer for each node, in the order of the plan.
    pub answers: Vec<Answer>,
}

impl Survey {
    /// Returns the known outputs of all hits.
    pub fn known<'a>(&self, plan: &'a Plan, observed: &'a Observed) -> Known<'a> {
        let mut known = Known::new(plan, observed);
        for id in plan.ids() {
            if let Answer::Hit { outputs, .. } = &self.answers[id.index()] {
                known.learn(id, outputs);
            }
        }
        known
    }
}

/// Forecasts every node of a plan: looks nodes up in topological order, then finds the reasons for the misses.
pub fn survey(plan: &Plan, observed: &Observed, store: &Store, history: &History, forced: &HashSet<NodeId>) -> Survey {
    let mut known = Known::new(plan, observed);
    let mut answers = Vec::with_capacity(plan.nodes.len());
    let mut missed = Vec::new();
    for id in plan.ids() {
        let answer = match known.key(id) {
            None => {
                let waits_for = plan.inputs(id).iter().find(|input| known.digests(**input).is_none());
                Answer::Unknown { waits_for: *waits_for.expect("the key is unknown because an input is") }
            }
            Some(key) if forced.contains(&id) => Answer::Miss { key, reason: MissReason::Forced },
            Some(key) if known.look_up(store, &[(id, key)])[0] => {
                Answer::Hit { key, outputs: known.outputs(id).expect("it was just looked up") }
            }
            Some(key) => {
                missed.push((id, key));
                // The reason until the logs of earlier runs are read below.
                Answer::Miss { key, reason: MissReason::New }
            }
        };
        answers.push(answer);
    }
    let names: Vec<_> = missed.iter().map(|(id, _)| plan.name(*id).to_string()).collect();
    let wanted: HashSet<_> = names.iter().map(String::as_str).collect();
    let latest = if wanted.is_empty() { HashMap::new() } else { history.latest_of(&wanted, RUNS_SEARCHED) };
    let collected = lineages(store, latest.values(), missed.iter().map(|(_, key)| *key));
    for ((id, key), name) in missed.into_iter().zip(&names) {
        let preimage = || known.preimage(id).expect("its key is known");
        let reason = match (latest.get(name), collected.get(&key)) {
            _ if store.is_passed_over(&key) => MissReason::Untrusted,
            (Some(latest), _) => miss_reason(plan, id, &key, preimage, latest, store, &collected),
            // No log names the node: garbage collection deleted the log of its run too.
            (None, Some(lineage)) => MissReason::Collected(lineage.collected_ms),
            // Stays `New`.
            (None, None) => continue,
        };
        answers[id.index()] = Answer::Miss { key, reason };
    }
    Survey { answers }
}

/// Returns the reason for the miss of a node that earlier runs name.
fn miss_reason(
    plan: &Plan,
    id: NodeId,
    key: &ActionKey,
    preimage: impl Fn() -> Preimage,
    latest: &Latest,
    store: &Store,
    collected: &HashMap<ActionKey, Lineage>,
) -> MissReason {
    if latest.failed.as_ref().is_some_and(|failed| failed.key == *key) {
        return MissReason::Failed;
    }
    // A failed run leaves no preimage to compare with.
    let Some(done) = latest.done.as_ref().map(|done| done.key) else {
        return if latest.failed.is_some() { MissReason::Failed } else { MissReason::New };
    };
    let changed = |was: &ActionResult| MissReason::Changed {
        changes: changes(plan, id, &was.preimage, &preimage()),
        producer: was.produced_by(),
    };
    match (collected.get(&done), store.recorded(&done)) {
        (Some(lineage), _) if done == *key => MissReason::Collected(lineage.collected_ms),
        (None, _) if done == *key => MissReason::Gone,
        (_, Some(result)) => changed(&result),
        (Some(lineage), None) => changed(&lineage.result),
        (None, None) => MissReason::Unrecorded,
    }
}

/// Returns the lineage of each collected result among those of the latest runs and of the missed keys.
fn lineages<'l>(
    store: &Store,
    latest: impl Iterator<Item = &'l Latest>,
    missed: impl Iterator<Item = ActionKey>,
) -> HashMap<ActionKey, Lineage> {
    let done = latest.filter_map(|latest| latest.done.as_ref().map(|done| done.key)).chain(missed);
    let gone: HashSet<_> = done.filter(|key| store.hit(key).is_none()).collect();
    store.collected(&gone).unwrap_or_else(|error| {
        tracing::warn!("{error}");
        HashMap::new()
    })
}

/// Formats the day of a time in milliseconds since 1970, in UTC.
fn date(at_ms: u64) -> String {
    let at = i64::try_from(at_ms).ok().and_then(|at_ms| Timestamp::from_millisecond(at_ms).ok());
    at.map_or_else(|| "an unknown day".to_owned(), |at| at.strftime("%Y-%m-%d").to_string())
}

//! The forecast of a run, node by node: `hit`, `miss` with its reason, or `unknown` because an input must run first.
//!
//! It writes nothing and runs nothing.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use orchestrate_cache::{ActionKey, ActionResult, Checkpoints, Lineage, Preimage, Store};

use crate::explain::{Change, changes_between};
use crate::known::{Known, Outputs};
use crate::node::NodeId;
use crate::observe::Observed;
use crate::plan::Plan;
use crate::runlog::{History, Latest};

/// The number of recent runs searched for runs of the same study.
const RUNS_SEARCHED: usize = 1000;

/// The most runs of a study that are read for earlier results of its nodes.
const RUNS_READ: usize = 100;

/// The most earlier results of one node that are compared with the present one.
const COMPARED: usize = 8;

/// The most earlier results that are read in all. With many misses only the latest result of each is compared.
const COMPARED_IN_ALL: usize = 20_000;

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
        /// The checkpoint from which it would go on.
        resumes: Option<Resume>,
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

/// A checkpoint of unfinished work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The epoch with which it would go on, from 1.
    pub epoch: usize,
    /// Epochs in all, if the params say so.
    pub epochs: Option<u64>,
}

impl Resume {
    fn of(plan: &Plan, id: NodeId, store: &Store, key: ActionKey) -> Option<Self> {
        if !plan.stage(id).kind.facts().checkpoints {
            return None;
        }
        let done = Checkpoints::new(&store.checkpoint_dir(&key), key).epochs_done()?;
        Some(Self { epoch: done + 1, epochs: plan.params(id).params["epochs"].as_u64() })
    }

    /// Returns it in words: `resumes at epoch 7 of 20`.
    pub fn sentence(&self) -> String {
        let of = self.epochs.map_or_else(String::new, |epochs| format!(" of {epochs}"));
        format!("resumes at epoch {}{of}", self.epoch)
    }
}

/// The reason for a miss.
#[derive(Clone, Debug, PartialEq)]
pub enum MissReason {
    /// No run of this node in this study is recorded.
    New,
    /// Something differs from the nearest recorded result of the node in this study: the one with the fewest changes.
    Changed {
        /// The differences.
        changes: Vec<Change>,
        /// The producer of that result, in words.
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
            Self::Collected(at_ms) => format!("its result was collected as garbage on {}", date(*at_ms)),
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
            Some(key) if forced.contains(&id) => Answer::Miss { key, reason: MissReason::Forced, resumes: None },
            Some(key) if known.look_up(store, &[(id, key)])[0] => {
                Answer::Hit { key, outputs: known.outputs(id).expect("it was just looked up") }
            }
            Some(key) => {
                missed.push((id, key));
                // The reason until the logs of earlier runs are read below.
                Answer::Miss { key, reason: MissReason::New, resumes: Resume::of(plan, id, store, key) }
            }
        };
        answers.push(answer);
    }
    if missed.is_empty() {
        return Survey { answers };
    }
    let names: Vec<_> = missed.iter().map(|(id, _)| plan.name(*id).to_string()).collect();
    let wanted: HashSet<_> = names.iter().map(String::as_str).collect();
    let spec = &plan.spec;
    let mut runs = history.runs_of(&spec.path, &spec.root, &spec.name, RUNS_SEARCHED);
    runs.truncate(RUNS_READ);
    let compared = (COMPARED_IN_ALL / missed.len()).clamp(1, COMPARED);
    let latest = history.latest_of(&wanted, &runs, compared);
    let collected = lineages(store, latest.values(), missed.iter().map(|(_, key)| *key));
    for ((id, key), name) in missed.into_iter().zip(&names) {
        let preimage = || known.preimage(id).expect("its key is known");
        let found = match (latest.get(name), collected.get(&key)) {
            _ if store.is_passed_over(&key) => MissReason::Untrusted,
            (_, Some(lineage)) => MissReason::Collected(lineage.collected_ms),
            (Some(latest), None) => miss_reason(plan, id, &key, preimage, latest, store, &collected),
            // Stays `New`.
            (None, None) => continue,
        };
        if let Answer::Miss { reason, .. } = &mut answers[id.index()] {
            *reason = found;
        }
    }
    Survey { answers }
}

/// Returns the reason for the miss of a node that earlier runs of the study name.
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
    if latest.done.iter().any(|done| done.key == *key) {
        return MissReason::Gone;
    }
    let now = preimage().to_json();
    let compare = |was: &ActionResult| (changes_between(plan, id, &was.preimage, &now), was.produced_by());
    let recorded = latest.done.iter().filter_map(|done| match store.recorded(&done.key) {
        Some(result) => Some(compare(&result)),
        None => collected.get(&done.key).map(|lineage| compare(&lineage.result)),
    });
    // Of several with as few changes, the latest counts.
    match recorded.min_by_key(|(changes, _)| changes.len()) {
        Some((changes, producer)) => MissReason::Changed { changes, producer },
        // A failed run leaves no preimage to compare with.
        None if latest.done.is_empty() => MissReason::Failed,
        None => MissReason::Unrecorded,
    }
}

/// Returns the lineage of each collected result among those of the latest runs and of the missed keys.
fn lineages<'l>(
    store: &Store,
    latest: impl Iterator<Item = &'l Latest>,
    missed: impl Iterator<Item = ActionKey>,
) -> HashMap<ActionKey, Lineage> {
    let done = latest.flat_map(|latest| latest.done.iter().map(|done| done.key)).chain(missed);
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

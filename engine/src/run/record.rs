//! From what a stage gave to what the store holds.

use orchestrate_cache::{ActionKey, ActionResult, Preimage, PutContent, Store, StoreError};

use crate::event::now_ms;
use crate::known::Outputs;
use crate::node::NodeId;
use crate::plan::Plan;
use crate::runlog::RunId;
use crate::stage::{Content, Output};

/// What is recorded beside the outputs.
pub(super) struct Provenance<'a> {
    pub(super) run: &'a RunId,
    pub(super) device: &'a str,
    pub(super) elapsed_ms: u64,
}

/// Why outputs were not recorded.
pub(super) enum RecordError {
    /// The stage gave other outputs than it declares: it failed.
    Outputs(String),
    /// The store cannot take them.
    Store(StoreError),
}

impl From<StoreError> for RecordError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Puts outputs and result into the store; durable after the next commit. Gives what is recorded for the key, which is what
/// an earlier producer gave, if there was one.
pub(super) fn record(
    plan: &Plan,
    store: &Store,
    id: NodeId,
    key: ActionKey,
    preimage: &Preimage,
    outputs: Vec<Output>,
    provenance: &Provenance<'_>,
) -> Result<Outputs, RecordError> {
    let declared = &plan.params(id).outputs;
    let mut given: Vec<_> = outputs.iter().map(|output| output.name.clone()).collect();
    given.sort_unstable();
    let mut expected = declared.clone();
    expected.sort_unstable();
    if given != expected {
        let message = format!("the stage gave the outputs {}, and declares {}", given.join(", "), expected.join(", "));
        return Err(RecordError::Outputs(message));
    }
    let mut digests: Outputs = Vec::with_capacity(outputs.len());
    for output in outputs {
        let files = output.files.into_iter().map(|(name, content)| (name, put(content))).collect();
        let (digest, _) = store.put_artifact(files)?;
        digests.push((output.name, digest));
    }
    digests.sort_by_key(|(name, _)| declared.iter().position(|declared| declared == name));
    let result = ActionResult {
        outputs: digests,
        preimage,
        node: plan.name(id).to_string(),
        kind: plan.stage(id).kind.facts().kind.to_owned(),
        run: provenance.run.as_str().to_owned(),
        elapsed_ms: provenance.elapsed_ms,
        recorded_ms: now_ms(),
        device: provenance.device.to_owned(),
    };
    Ok(store.put_result(&key, result)?.outputs)
}

fn put(content: Content) -> PutContent {
    match content {
        Content::Bytes(bytes) => PutContent::Bytes(bytes),
        Content::File(path) => PutContent::File(path),
    }
}

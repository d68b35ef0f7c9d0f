//! Storage of the outputs of a node that ran.

use orchestrate_cache::{ActionKey, ActionResult, Preimage, Producer, PutContent, Store, StoreError};

use crate::event::now_ms;
use crate::known::Outputs;
use crate::runlog::RunId;
use crate::stage::{Content, Output};

/// Facts that are recorded beside the outputs.
pub(crate) struct Provenance<'a> {
    pub(crate) run: &'a RunId,
    pub(crate) device: &'a str,
    pub(crate) elapsed_ms: u64,
}

/// The node of a result, and the kind of its stage.
#[derive(Clone, Copy)]
pub(crate) struct Named<'a> {
    pub(crate) node: &'a str,
    pub(crate) kind: &'a str,
}

/// Puts outputs and result into the store; durable after the next commit.
///
/// Outputs are those that the stage declares, in that order, as executors check. Returns the outputs that are recorded
/// for the key: those of an earlier producer, if there was one.
pub(crate) fn record(
    store: &Store,
    named: Named<'_>,
    key: ActionKey,
    preimage: &Preimage,
    outputs: Vec<Output>,
    provenance: &Provenance<'_>,
) -> Result<Outputs, StoreError> {
    let mut digests: Outputs = Vec::with_capacity(outputs.len());
    for output in outputs {
        let files = output.files.into_iter().map(|(name, content)| (name, put(content))).collect();
        let (digest, _) = store.put_artifact(files)?;
        digests.push((output.name, digest));
    }
    let result = ActionResult {
        outputs: digests,
        preimage,
        node: named.node.to_owned(),
        kind: named.kind.to_owned(),
        run: provenance.run.as_str().to_owned(),
        elapsed_ms: provenance.elapsed_ms,
        recorded_ms: now_ms(),
        device: provenance.device.to_owned(),
        producer: Some(Producer::this(env!("CARGO_PKG_VERSION"))),
    };
    Ok(store.put_result(&key, result)?.outputs)
}

fn put(content: Content) -> PutContent {
    match content {
        Content::Bytes(bytes) => PutContent::Bytes(bytes),
        Content::File(path) => PutContent::File(path),
    }
}

//! The work of a batch, as a task reads it from its job folder.

use std::path::PathBuf;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use orchestrate_cache::{ActionKey, Digest, Preimage, Store, native_path};
use serde::{Deserialize, Serialize};

use crate::executor::{OnCluster, Request};
use crate::stage::{Action, InputFile};

/// The work of a batch: everything that a worker needs, and what is recorded with its results.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Work {
    /// The kind of its stage.
    pub(super) kind: String,
    /// At least one.
    pub(super) actions: Vec<Action>,
    /// The preimage of each key, in Base64.
    preimages: Vec<String>,
    /// The keys that are computed even if the store has their results.
    pub(super) forced: Vec<ActionKey>,
    /// Bytes that the worker may allocate.
    pub(super) memory_limit_bytes: Option<u64>,
    /// The time limit of one action.
    pub(super) timeout: Option<Duration>,
    /// The log of the node.
    #[serde(with = "native_path::option")]
    pub(super) log: Option<PathBuf>,
    /// Largest size of that file.
    pub(super) log_max_bytes: u64,
}

impl Work {
    /// Takes the work of a request.
    pub(super) fn of(request: &Request, cluster: &OnCluster) -> Self {
        let preimages = &cluster.preimages;
        Self {
            forced: cluster.forced.clone(),
            kind: request.stage.facts().kind.to_owned(),
            actions: request.actions.clone(),
            preimages: preimages.iter().map(|preimage| BASE64_STANDARD.encode(preimage.as_bytes())).collect(),
            memory_limit_bytes: request.memory_limit_bytes,
            timeout: request.timeout,
            log: request.log.clone(),
            log_max_bytes: request.log_max_bytes,
        }
    }

    /// Returns the keys of the actions.
    pub(super) fn keys(&self) -> Vec<ActionKey> {
        self.actions.iter().map(|action| action.key).collect()
    }

    /// Returns the preimage of an action; `None` if the work was damaged.
    pub(super) fn preimage(&self, action: usize) -> Option<Preimage> {
        let bytes = BASE64_STANDARD.decode(self.preimages.get(action)?).ok()?;
        Preimage::from_bytes(bytes, &self.actions.get(action)?.key.0)
    }

    /// Finds the bytes of all inputs in the store again: a collection may have moved them since the submission.
    ///
    /// Errors: the digest of a file that the store has lost, and the port that reads it.
    pub(super) fn locate_inputs(&mut self, store: &Store) -> Result<(), (Digest, String)> {
        for action in &mut self.actions {
            for input in &mut action.inputs {
                for item in &mut input.items {
                    let located = |file: &InputFile| {
                        let location = store.locate(&file.digest).ok_or_else(|| (file.digest, input.port.clone()))?;
                        Ok(InputFile { location, ..file.clone() })
                    };
                    let files: Vec<_> = item.files.iter().map(located).collect::<Result<_, _>>()?;
                    item.files = files.into();
                }
            }
        }
        Ok(())
    }
}

//! Bytes on the pipes between engine and worker.

use super::protocol::Message;
use super::protocol::{StoredOutput, WorkerRequest, read_messages};

/// Reads the bytes as messages of a worker, and as a request of the engine.
pub(crate) fn pipe(bytes: &[u8]) {
    read_messages(
        bytes,
        |_| (),
        |message| {
            if let Message::Results(results) = message {
                results.into_iter().flatten().flatten().map(StoredOutput::into_output).for_each(drop);
            }
            true
        },
    );
    let _ = serde_json::from_slice::<WorkerRequest>(bytes);
}

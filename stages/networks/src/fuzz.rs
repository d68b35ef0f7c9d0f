//! Entry points for `tests/fuzz/` and for property tests: readers of foreign bytes, which must return for any input.

use std::path::Path;

use crate::model::{read_safetensors, read_state_dict};
use crate::training::checkpoint::Checkpoint;

/// Reads a file of pretrained weights, and of our own.
pub fn weights(path: &Path) {
    let _ = read_state_dict(path, |_| true);
    let _ = std::fs::read(path).map(|bytes| read_safetensors(&bytes));
}

/// Reads the body of a checkpoint, the bytes behind its checksum.
pub fn checkpoint(bytes: &[u8]) {
    let _ = Checkpoint::<f64>::decode(bytes);
    let _ = Checkpoint::<Option<f64>>::decode(bytes);
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::testing::damage::{Target, assert_found_are_read, damaged, reference};

    const TARGETS: [Target; 2] = [("weights", weights_of), ("checkpoint", checkpoint)];

    fn weights_of(bytes: &[u8]) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        fs::write(&path, bytes).unwrap();
        weights(&path);
    }

    #[test]
    fn what_fuzzing_found_is_read_or_refused() {
        assert_found_are_read(&TARGETS);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn a_damaged_file_of_weights_is_read_or_refused(
            (read, bytes) in damaged(reference("state_dict", weights_of).collect())
        ) {
            read(&bytes);
        }
    }
}

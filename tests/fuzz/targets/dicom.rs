#![no_main]

use libfuzzer_sys::fuzz_target;

// Caught panics of a decoder are no findings; other panics are.
fuzz_target!(
    init: drop(std::panic::take_hook()),
    |bytes: &[u8]| orchestrate_stages::fuzz::dicom(bytes)
);

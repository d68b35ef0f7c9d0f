#![no_main]

use libfuzzer_sys::fuzz_target;

// Panics of a decoder that are caught are no finding; the others still are.
fuzz_target!(
    init: drop(std::panic::take_hook()),
    |bytes: &[u8]| orchestrate_stages::fuzz::picture(bytes)
);

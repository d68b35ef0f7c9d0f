#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| orchestrate_stages::fuzz::nifti(bytes));

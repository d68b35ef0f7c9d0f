//! GPU code on drivers in software: Mesa's lavapipe through Vulkan, and llvmpipe through OpenGL.
//!
//! The same kernels, fusion, slots, batches ahead and precisions run there as on a card, so that a machine without one
//! sees when they break. `verify-results` computes a study anew on such a device, and compares every column of every
//! result with those of the CPU; the device is in no key.
//!
//! Tests need a program with the feature `wgpu`, and are skipped where a driver is missing:
//! `cargo test --profile gpu --features wgpu --test gpu`.

#![expect(clippy::print_stderr, reason = "tests that are skipped say so")]

mod listed;
#[path = "../e2e/sandbox.rs"]
#[expect(dead_code, reason = "the other tests use more of it")]
mod sandbox;
mod slots;
mod stopped;
mod study;
mod values;

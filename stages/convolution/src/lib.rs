//! The costly operations of networks on the CPU, for Burn's tensors: convolution, max pooling and batch normalisation
//! with their gradients, and a step of Adam.
//!
//! Burn's own convolution copies the receptive fields of all output pixels into one matrix (im2col) and multiplies it.
//! At the sizes of networks that matrix leaves the caches. This crate reads receptive fields from the map itself, or
//! copies those of a block of pixels, and multiplies them by all weights while they are cached. Operations that Burn
//! makes of many passes over memory are one pass here. The number of threads does not change the order of a sum, so
//! results are equal to the last bit.
//!
//! Burn's operations compute everything but 32-bit floats on Burn's CPU backend, and everything on a machine without
//! AVX2.
//!
//! Invariant: this crate knows no layers and no networks.

mod adam;
mod channel;
mod direct;
mod forward;
mod geometry;
mod gradient;
mod kernel;
mod norm;
mod operation;
mod pool;

#[cfg(test)]
mod tests;

pub use adam::{Adam, AdamW};
pub use norm::{After, Normalised, batch_norm, batch_norm_train};
pub use operation::{Options, conv2d, conv2d_relu};
pub use pool::{Windows, max_pool2d};

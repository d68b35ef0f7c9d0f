//! Two-dimensional convolution and max pooling on the CPU, with their gradients, for Burn's tensors.
//!
//! Burn's own convolution makes a matrix of what all places see and multiplies it; at the sizes of networks that matrix
//! leaves the caches. Here a block of places is copied at a time and multiplied by all weights while it is near. A sum runs in
//! the same order whatever the number of threads, so that results are the same to the last bit.
//!
//! Tensors of another device or type than 32-bit floats on Burn's CPU backend go to Burn's operations, and so does everything on a
//! machine without AVX2.
//!
//! Invariant: this crate knows no layers and no networks.

mod forward;
mod geometry;
mod gradient;
mod kernel;
mod operation;
mod pool;

#[cfg(test)]
mod tests;

pub use operation::{Options, conv2d, conv2d_relu};
pub use pool::{Windows, max_pool2d};

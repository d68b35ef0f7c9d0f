//! Data sets: images, masks and labels from files or from a phantom, and their division into folds.

pub(crate) mod alike;
pub mod dataset;
pub(crate) mod hdf5;
pub mod split;

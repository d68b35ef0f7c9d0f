//! Classifiers: a convolutional trunk, global average pooling, one linear layer.
//!
//! A family of trunks is one file: its layers, its entries in [`ARCHITECTURES`], its forward pass. Adding a family is one
//! `mod` line, one variant of [`Trunk`] and its entries. All trunks share one [`Head`], so that the class activation map is
//! one function for all: the weights of the head times the feature map before pooling.
//!
//! A model is saved as [`Weights`]: tensors under torchvision's names where torchvision has them, and a [`ModelCard`] that says
//! what the network expects of an image.

mod architecture;
mod classifier;
mod device;
mod generator;
mod head;
mod input;
mod layer;
mod precision;
mod squeezenet;
mod tensors;
mod tiny;
mod weights;

#[cfg(test)]
pub(crate) mod reference;

pub use architecture::{ARCHITECTURES, Architecture, ModelName};
pub use classifier::{Classifier, Trunk};
pub use device::{CPU, GPU_SUPPORT, device, gpus, with_threads};
pub(crate) use device::{describe, environment};
pub use generator::{Generator, Seed};
pub use head::{Head, pool};
pub use input::{Normalisation, image_data, image_tensor};
pub use precision::Precision;
pub use squeezenet::{SqueezeNet, SqueezeNet1000};
pub use tensors::{Tensors, Values, read_safetensors, write_safetensors};
pub use tiny::Tiny;
pub use weights::{ModelCard, Weights};

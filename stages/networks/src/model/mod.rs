//! Networks: classifiers and the U-Net.
//!
//! A classifier is a convolutional trunk, global average pooling and one linear layer, the [`Head`]. All trunks share
//! the head, so one function computes the class activation map of each: the weights of the head times the feature map
//! before pooling. The encoder of a [`Unet`] is such a trunk.
//!
//! A family of trunks is one file: its layers and its entries in the registry ([`ModelName`]). A new family needs one
//! `mod` line, its entries, and a variant of [`Trunk`] unless it is plain layers in a row.
//!
//! [`Weights`] are a trained network at rest: tensors under torchvision's names if torchvision has the network, and a
//! [`Card`].

mod alexnet;
mod architecture;
mod batch_norm;
mod card;
mod classifier;
mod conv;
mod densenet;
mod encoder;
mod fire;
mod head;
mod input;
mod layer;
mod named;
mod output;
mod precision;
mod problems;
mod resnet;
mod sequential;
mod squeezenet;
mod state_dict;
mod tensors;
mod tiny;
mod trunk;
mod unet;
mod vgg;
mod weights;

#[cfg(test)]
mod tests;

pub use architecture::ModelName;
pub use card::{InitialWeights, ModelCard, UnetCard};
pub use classifier::Classifier;
pub use encoder::EncoderName;
pub use head::{Head, pool};
pub use input::{Normalisation, image_data};
pub(crate) use output::{numbers, scalar, unreadable};
pub use precision::Precision;
pub use state_dict::{StateDict, read_state_dict};
pub(crate) use state_dict::{other_file, start_of};
pub use tensors::{Tensors, Values, read_safetensors, write_safetensors};
pub(crate) use tensors::{collect, digest};
pub use trunk::Trunk;
pub use unet::Unet;
pub use weights::{Card, Training, Weights};

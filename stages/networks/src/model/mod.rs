//! Networks. Classifiers: a convolutional trunk, global average pooling, one linear layer; and the U-Net.
//!
//! A family of trunks is one file: its layers, its entries in [`ARCHITECTURES`], its forward pass. Adding a family is one
//! `mod` line, one variant of [`Trunk`] and its entries. All trunks share one [`Head`], so that the class activation map is
//! one function for all: the weights of the head times the feature map before pooling.
//!
//! A model is saved as [`Weights`]: tensors under torchvision's names where torchvision has them, and a [`ModelCard`] that says
//! what the network expects of an image. [`Unet`] has a trunk as its [`Encoder`], and its own [`UnetWeights`].

mod alexnet;
mod architecture;
mod batch_norm;
mod card;
mod classifier;
mod conv;
mod densenet;
mod device;
mod encoder;
mod head;
mod input;
mod layer;
mod output;
mod precision;
mod resnet;
mod squeezenet;
mod state_dict;
mod tensors;
mod tiny;
mod unet;
mod vgg;
mod weights;

#[cfg(test)]
mod parity;
#[cfg(test)]
pub(crate) mod reference;

pub use alexnet::AlexNet;
pub use architecture::{ARCHITECTURES, Architecture, ModelName};
pub use batch_norm::BatchNorm;
pub use card::{InitialWeights, ModelCard, UnetCard};
pub use classifier::{Classifier, Trunk};
pub use densenet::DenseNet;
pub(crate) use device::DEVICE_USE;
pub use device::{CPU, GPU_SUPPORT, device, environment, gpus};
pub use encoder::{Encoder, EncoderName};
pub use head::{Head, pool};
pub use input::{Normalisation, image_data, image_tensor};
pub(crate) use output::{numbers, scalar, unreadable};
pub use precision::Precision;
pub use resnet::{Depth as ResNetDepth, ResNet};
pub use squeezenet::{SqueezeNet, SqueezeNet1000};
pub use state_dict::read_state_dict;
pub(crate) use tensors::collect;
pub use tensors::{Tensors, Values, read_safetensors, write_safetensors};
pub use tiny::Tiny;
pub use unet::Unet;
pub use vgg::{Depth as VggDepth, Vgg};
pub use weights::{Card, Weights};

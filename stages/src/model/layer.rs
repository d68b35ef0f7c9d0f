//! Plain layers in a row, numbered as in torchvision's `features`, so that the names of the tensors agree.

use burn::module::{Initializer, Module};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{PaddingConfig2d, Relu};
use burn::tensor::{Device, Tensor};

use super::batch_norm::BatchNorm;

/// A layer of a trunk.
#[derive(Module, Debug)]
pub(super) enum Layer {
    Conv(Conv2d),
    Norm(BatchNorm),
    Relu(Relu),
    MaxPool(MaxPool2d),
}

impl Layer {
    /// `[batch, channels, height, width]` to the same with other sizes.
    pub(super) fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Conv(conv) => conv.forward(input),
            Self::Norm(norm) => norm.forward(input),
            Self::Relu(relu) => relu.forward(input),
            Self::MaxPool(pool) => pool.forward(input),
        }
    }
}

/// One layer after the other.
pub(super) fn forward(layers: &[Layer], input: Tensor<4>) -> Tensor<4> {
    layers.iter().fold(input, |map, layer| layer.forward(map))
}

/// A square convolution with a bias and zero weights; [`super::Classifier::drawn`] or a file fills them.
pub(super) fn conv(channels: [usize; 2], kernel: usize, stride: usize, padding: usize, device: &Device) -> Conv2d {
    config(channels, kernel, stride, padding).init(device)
}

/// [`conv`] without a bias, which a normalisation after it would take away again.
pub(super) fn conv_unbiased(
    channels: [usize; 2],
    kernel: usize,
    stride: usize,
    padding: usize,
    device: &Device,
) -> Conv2d {
    config(channels, kernel, stride, padding).with_bias(false).init(device)
}

fn config(channels: [usize; 2], kernel: usize, stride: usize, padding: usize) -> Conv2dConfig {
    Conv2dConfig::new(channels, [kernel, kernel])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(padding, padding, padding, padding))
        .with_initializer(Initializer::Zeros)
}

/// Square max pooling; `ceil` keeps what does not fill a window.
pub(super) fn max_pool(kernel: usize, stride: usize, ceil: bool) -> MaxPool2d {
    MaxPool2dConfig::new([kernel, kernel]).with_strides([stride, stride]).with_ceil_mode(ceil).init()
}

/// Square max pooling with places around the map that are never the largest.
pub(super) fn max_pool_padded(kernel: usize, stride: usize, padding: usize) -> MaxPool2d {
    MaxPool2dConfig::new([kernel, kernel])
        .with_strides([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(padding, padding, padding, padding))
        .init()
}

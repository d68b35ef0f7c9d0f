//! Plain layers in a row, numbered as in torchvision's `features`, so that the names of the tensors agree.

use burn::module::Module;
use burn::nn::Relu;
use burn::tensor::{Device, Tensor};
use orchestrate_convolution::{Windows, max_pool2d};

use super::batch_norm::BatchNorm;
use super::conv::{Conv, conv};
use super::fire::Fire;

/// A layer of a trunk.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "a network has some dozens of them")]
pub(super) enum Layer {
    Conv(Conv),
    Norm(BatchNorm),
    Relu(Relu),
    MaxPool(MaxPool),
    Fire(Fire),
}

impl Layer {
    /// `[batch, channels, height, width]` to the same with other sizes.
    pub(super) fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Conv(conv) => conv.forward(input),
            Self::Norm(norm) => norm.forward(input),
            Self::Relu(relu) => relu.forward(input),
            Self::MaxPool(pool) => pool.forward(input),
            Self::Fire(fire) => fire.forward(input),
        }
    }
}

/// Applies one layer after the other; a ReLU after a convolution or a normalisation is computed in the same pass.
pub(super) fn forward(mut layers: &[Layer], mut map: Tensor<4>) -> Tensor<4> {
    loop {
        (map, layers) = match layers {
            [] => return map,
            [Layer::Conv(conv), Layer::Relu(_), rest @ ..] => (conv.forward_relu(map), rest),
            [Layer::Norm(norm), Layer::Relu(_), rest @ ..] => (norm.forward_relu(map), rest),
            [layer, rest @ ..] => (layer.forward(map), rest),
        };
    }
}

/// A 3×3 convolution of `[channel, unit]` that keeps the size, and its ReLU.
pub(super) fn conv_relu(channels: [usize; 2], device: &Device) -> [Layer; 2] {
    [Layer::Conv(conv(channels, 3, 1, 1, device)), Layer::Relu(Relu)]
}

/// Square max pooling.
#[derive(Module, Debug)]
pub(super) struct MaxPool {
    #[module(skip)]
    windows: Windows,
}

impl MaxPool {
    /// `[batch, channels, height, width]` to the same with another height and width.
    pub(super) fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        max_pool2d(input, self.windows)
    }
}

/// Square max pooling; `ceil` keeps windows that reach over the edge.
pub(super) fn max_pool(kernel: usize, stride: usize, ceil: bool) -> MaxPool {
    MaxPool { windows: Windows { kernel, stride, padding: 0, ceil } }
}

/// Square max pooling with a border of `padding` pixels that are never the largest.
pub(super) fn max_pool_padded(kernel: usize, stride: usize, padding: usize) -> MaxPool {
    MaxPool { windows: Windows { kernel, stride, padding, ceil: false } }
}

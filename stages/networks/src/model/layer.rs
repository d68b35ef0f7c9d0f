//! Plain layers in a row, numbered as in torchvision's `features`, so that the names of the tensors agree.

use burn::module::Module;
use burn::nn::Relu;
use burn::tensor::Tensor;
use orchestrate_convolution::{Windows, max_pool2d};

use super::batch_norm::BatchNorm;
pub(super) use super::conv::{Conv, conv, conv_unbiased};

/// A layer of a trunk.
#[derive(Module, Debug)]
pub(super) enum Layer {
    Conv(Conv),
    Norm(BatchNorm),
    Relu(Relu),
    MaxPool(MaxPool),
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

/// One layer after the other; a ReLU after a convolution is done with it.
pub(super) fn forward(mut layers: &[Layer], mut map: Tensor<4>) -> Tensor<4> {
    loop {
        (map, layers) = match layers {
            [] => return map,
            [Layer::Conv(conv), Layer::Relu(_), rest @ ..] => (conv.forward_relu(map), rest),
            [layer, rest @ ..] => (layer.forward(map), rest),
        };
    }
}

/// Square max pooling.
#[derive(Module, Debug)]
pub(super) struct MaxPool {
    kernel: usize,
    stride: usize,
    padding: usize,
    ceil: bool,
}

impl MaxPool {
    /// `[batch, channels, height, width]` to the same with another height and width.
    pub(super) fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let Self { kernel, stride, padding, ceil } = *self;
        max_pool2d(input, Windows { kernel, stride, padding, ceil })
    }
}

/// Square max pooling; `ceil` keeps what does not fill a window.
pub(super) fn max_pool(kernel: usize, stride: usize, ceil: bool) -> MaxPool {
    MaxPool { kernel, stride, padding: 0, ceil }
}

/// Square max pooling with places around the map that are never the largest.
pub(super) fn max_pool_padded(kernel: usize, stride: usize, padding: usize) -> MaxPool {
    MaxPool { kernel, stride, padding, ceil: false }
}

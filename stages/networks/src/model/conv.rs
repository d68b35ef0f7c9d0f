//! The convolutional layer of all networks.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use orchestrate_convolution::{Options, conv2d, conv2d_relu};

/// A square convolution. Its weights are zero until drawn ones or those of a file replace them.
#[derive(Module, Debug)]
pub(super) struct Conv {
    /// `[unit, channel, height, width]`.
    weight: Param<Tensor<4>>,
    /// `[unit]`.
    bias: Option<Param<Tensor<1>>>,
    stride: usize,
    padding: usize,
}

impl Conv {
    /// `[batch, channel, height, width]` to `[batch, unit, height, width]`.
    pub(super) fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        conv2d(input, self.weight.val(), self.bias(), self.options())
    }

    /// [`Self::forward`] followed by a ReLU, in one pass.
    pub(super) fn forward_relu(&self, input: Tensor<4>) -> Tensor<4> {
        conv2d_relu(input, self.weight.val(), self.bias(), self.options())
    }

    fn bias(&self) -> Option<Tensor<1>> {
        self.bias.as_ref().map(|bias| bias.val())
    }

    fn options(&self) -> Options {
        Options { stride: [self.stride; 2], padding: [self.padding; 2], ..Options::default() }
    }
}

/// A convolution of `[channel, unit]` with a bias.
pub(super) fn conv(channels: [usize; 2], kernel: usize, stride: usize, padding: usize, device: &Device) -> Conv {
    let bias = Some(Param::from_tensor(Tensor::zeros([channels[1]], device)));
    Conv { bias, ..conv_unbiased(channels, kernel, stride, padding, device) }
}

/// [`conv`] without a bias, for use before a normalisation, which would cancel it.
pub(super) fn conv_unbiased(
    channels: [usize; 2],
    kernel: usize,
    stride: usize,
    padding: usize,
    device: &Device,
) -> Conv {
    let [channels, units] = channels;
    let weight = Param::from_tensor(Tensor::zeros([units, channels, kernel, kernel], device));
    Conv { weight, bias: None, stride, padding }
}

//! The fire module of SqueezeNet. Source: Iandola et al. 2016, arXiv 1602.07360, section 3.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::conv::{Conv, conv};

/// Squeezes the channels by a 1×1 convolution, then expands them by 1×1 and 3×3 convolutions side by side.
#[derive(Module, Debug)]
pub(super) struct Fire {
    squeeze: Conv,
    expand1x1: Conv,
    expand3x3: Conv,
}

impl Fire {
    /// A module with zero weights, from `input` channels through `squeezed` to twice `expanded`.
    pub(super) fn new(input: usize, squeezed: usize, expanded: usize, device: &Device) -> Self {
        Self {
            squeeze: conv([input, squeezed], 1, 1, 0, device),
            expand1x1: conv([squeezed, expanded], 1, 1, 0, device),
            expand3x3: conv([squeezed, expanded], 3, 1, 1, device),
        }
    }

    /// `[batch, channel, height, width]` to the same with twice `expanded` channels.
    pub(super) fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let squeezed = self.squeeze.forward_relu(input);
        let point = self.expand1x1.forward_relu(squeezed.clone());
        let square = self.expand3x3.forward_relu(squeezed);
        Tensor::cat(vec![point, square], 1)
    }
}

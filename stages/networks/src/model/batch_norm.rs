//! Batch normalisation. Source: Ioffe and Szegedy 2015, arXiv 1502.03167, with PyTorch's names and constants.
//!
//! Burn's own layer updates the running variance by the biased variance of a batch, PyTorch by the unbiased one. Burn's
//! also shows other modules a running value that is one batch old. So this layer is our own.

use burn::module::{Flag, Initializer, Module, Param, RunningState};
use burn::tensor::{Device, Tensor};
use orchestrate_convolution::{After, batch_norm, batch_norm_train};

/// Added to variances, so that none is 0.
const EPSILON: f64 = 1e-5;

/// The weight of a batch in the running statistics.
const MOMENTUM: f64 = 0.1;

/// Batch normalisation of maps, channel by channel.
///
/// In training (on a device with gradients, unless frozen) it uses the mean and variance of the batch, and updates the
/// running ones by them; else it uses the running ones. Those are saved and loaded as other tensors are, but no
/// optimiser changes them.
#[derive(Module, Debug)]
pub(super) struct BatchNorm {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
    running_mean: RunningState<Tensor<1>>,
    running_var: RunningState<Tensor<1>>,
    training: Param<Flag>,
}

impl BatchNorm {
    /// Scale 1, shift 0, running mean 0, running variance 1.
    pub(super) fn new(channels: usize, device: &Device) -> Self {
        Self {
            weight: Initializer::Ones.init([channels], device),
            bias: Initializer::Zeros.init([channels], device),
            running_mean: RunningState::new(Tensor::zeros([channels], device)),
            running_var: RunningState::new(Tensor::ones([channels], device)),
            training: Param::from_bool(true),
        }
    }

    /// `[batch, channel, height, width]` to the same shape.
    pub(super) fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.forward_then(input, After::default())
    }

    /// [`Self::forward`] followed by a ReLU, in one pass.
    pub(super) fn forward_relu(&self, input: Tensor<4>) -> Tensor<4> {
        self.forward_then(input, After { relu: true, ..After::default() })
    }

    /// [`Self::forward`] followed by the sum with another map and a ReLU, in one pass.
    pub(super) fn forward_add_relu(&self, input: Tensor<4>, added: Tensor<4>) -> Tensor<4> {
        self.forward_then(input, After { added: Some(added), relu: true })
    }

    fn forward_then(&self, input: Tensor<4>, after: After) -> Tensor<4> {
        let parameters = [self.weight.val(), self.bias.val()];
        if !(input.device().is_autodiff() && self.training.is_enabled()) {
            let statistics = [self.running_mean.value(), self.running_var.value()];
            return batch_norm(input, parameters, statistics, EPSILON, after);
        }
        let [batch, _, height, width] = input.dims();
        let normalised = batch_norm_train(input, parameters, EPSILON, after);
        let count = (batch * height * width) as f64;
        // One value per channel has no variance, so it says nothing about other images.
        if count > 1.0 {
            let unbiased = normalised.variance.mul_scalar(count / (count - 1.0));
            advance(&self.running_mean, normalised.mean);
            advance(&self.running_var, unbiased);
        }
        normalised.output
    }
}

fn advance(running: &RunningState<Tensor<1>>, batch: Tensor<1>) {
    let value = running.value().mul_scalar(1.0 - MOMENTUM) + batch.mul_scalar(MOMENTUM);
    running.update(value.detach());
    // Burn applies an update with the next one; a module saved between them would lack it.
    running.value_sync();
}

//! Losses of a binary segmentation, from logits. Source: `DiceLoss` of segmentation_models_pytorch (mode binary, smooth
//! 0) and PyTorch's `BCEWithLogitsLoss`.
//!
//! - `"dice"`: 1 − 2 Σ p t / (Σ p + Σ t) with p = sigmoid of the logits and t the mask, summed over all pixels of all
//!   images of the batch; 0, like its gradient, if no image of the batch has a mask.
//! - `"bce"`: binary cross-entropy, the mean over pixels.
//! - `"dice+bce"`: their sum.

use burn::tensor::Tensor;
use burn::tensor::activation::{log_sigmoid, sigmoid};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The smallest denominator, as in segmentation_models_pytorch.
const EPSILON: f64 = 1e-7;

/// The loss of a segmentation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Loss {
    /// 1 − Dice coefficient of the batch.
    #[default]
    Dice,
    /// Binary cross-entropy.
    Bce,
    /// The sum of both.
    #[serde(rename = "dice+bce")]
    DiceBce,
}

impl Loss {
    /// Computes the loss of a batch.
    ///
    /// - `logits`: `[batch, 1, height, width]`
    /// - `truth`: 0 or 1, the same shape
    pub fn forward(self, logits: Tensor<4>, truth: Tensor<4>) -> Tensor<1> {
        match self {
            Self::Dice => dice(logits, truth),
            Self::Bce => cross_entropy(logits, truth),
            Self::DiceBce => dice(logits.clone(), truth.clone()) + cross_entropy(logits, truth),
        }
    }
}

fn dice(logits: Tensor<4>, truth: Tensor<4>) -> Tensor<1> {
    let predicted = sigmoid(logits);
    let overlap = sum(predicted.clone() * truth.clone());
    let truth = sum(truth);
    let half = ((sum(predicted) + truth.clone()) / 2.0).clamp_min(EPSILON);
    let any = truth.greater_elem(0.0).float();
    (1.0 - overlap / half) * any
}

fn cross_entropy(logits: Tensor<4>, truth: Tensor<4>) -> Tensor<1> {
    let pixels = logits.shape().num_elements() as f64;
    let background: Tensor<4> = 1.0 - truth;
    sum(background * logits.clone() - log_sigmoid(logits)) / pixels
}

/// Sums all values, image by image: Burn may split one long sum among threads, and the rounding would depend on their
/// number.
fn sum(values: Tensor<4>) -> Tensor<1> {
    let [batch, channels, height, width] = values.dims();
    let images: Tensor<2> = values.reshape([batch, channels * height * width]);
    images.sum_dim(1).sum()
}

/// Sums over many batches, from which their common loss follows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    overlap: f64,
    predicted: f64,
    truth: f64,
    entropy: f64,
    pixels: usize,
}

impl Tally {
    /// Adds an image, from its logits and its mask, 0 or 1, row by row.
    pub(super) fn add(&mut self, logits: &[f32], truth: &[u8]) {
        for (&logit, &truth) in logits.iter().zip(truth) {
            let (logit, truth) = (f64::from(logit), f64::from(truth));
            let predicted = 1.0 / (1.0 + (-logit).exp());
            self.overlap += predicted * truth;
            self.predicted += predicted;
            self.truth += truth;
            self.entropy += logit.max(0.0) - logit * truth + (-logit.abs()).exp().ln_1p();
        }
        self.pixels += logits.len();
    }

    /// Returns the loss of all added images, as if they were one batch.
    pub(super) fn loss(&self, loss: Loss) -> f64 {
        let half = (self.predicted + self.truth) / 2.0;
        // NaN stays NaN, so that a diverged network is noticed.
        let dice = if self.truth > 0.0 || half.is_nan() { 1.0 - self.overlap / half } else { 0.0 };
        let entropy = self.entropy / self.pixels.max(1) as f64;
        match loss {
            Loss::Dice => dice,
            Loss::Bce => entropy,
            Loss::DiceBce => dice + entropy,
        }
    }
}

//! Optimisers with PyTorch's constants.

use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{ModuleOptimizer, SgdConfig};
use orchestrate_convolution::{Adam, AdamW};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// PyTorch's ε; Burn's default is 1e-5.
const EPSILON: f32 = 1e-8;

/// The rule that turns gradients into steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// Adam. Source: Kingma and Ba 2015, arXiv 1412.6980.
    #[default]
    Adam,
    /// Adam with decoupled weight decay. Source: Loshchilov and Hutter 2019, arXiv 1711.05101.
    AdamW,
    /// Stochastic gradient descent with momentum.
    Sgd,
}

/// Returns an optimiser before its first step; only SGD uses `momentum`.
pub(crate) fn optimizer(kind: OptimizerKind, weight_decay: f64, momentum: f64) -> ModuleOptimizer {
    let decay = weight_decay as f32;
    match kind {
        OptimizerKind::Adam => Adam::new(EPSILON, decay).into(),
        OptimizerKind::AdamW => AdamW::new(EPSILON, decay).into(),
        OptimizerKind::Sgd => {
            let penalty = (decay > 0.0).then(|| WeightDecayConfig::new(decay));
            let momentum = MomentumConfig::new().with_momentum(momentum).with_dampening(0.0);
            SgdConfig::new().with_weight_decay(penalty).with_momentum(Some(momentum)).init()
        }
    }
}

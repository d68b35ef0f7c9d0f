//! Optimisers with PyTorch's constants.

use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamConfig, AdamWConfig, ModuleOptimizer, SgdConfig};

use crate::train::OptimizerKind;

/// PyTorch's ε; Burn's default is 1e-5.
const EPSILON: f32 = 1e-8;

/// The optimiser of a training, before its first step; `momentum` is that of SGD.
pub(crate) fn optimizer(kind: OptimizerKind, weight_decay: f64, momentum: f64) -> ModuleOptimizer {
    let decay = weight_decay as f32;
    let penalty = (decay > 0.0).then(|| WeightDecayConfig::new(decay));
    match kind {
        OptimizerKind::Adam => AdamConfig::new().with_epsilon(EPSILON).with_weight_decay(penalty).init(),
        OptimizerKind::AdamW => AdamWConfig::new().with_epsilon(EPSILON).with_weight_decay(decay).init(),
        OptimizerKind::Sgd => {
            let momentum = MomentumConfig::new().with_momentum(momentum).with_dampening(0.0);
            SgdConfig::new().with_weight_decay(penalty).with_momentum(Some(momentum)).init()
        }
    }
}

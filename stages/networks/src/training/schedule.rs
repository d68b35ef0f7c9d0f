//! The learning rate over epochs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A rule for the learning rate of each epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Schedule {
    /// The same rate in every epoch.
    #[default]
    Constant,
    /// Half a cosine from the first epoch's rate down to 0 after the last.
    Cosine,
    /// Multiplied by a factor at regular intervals.
    Step {
        /// Epochs between changes.
        #[schemars(example = 10)]
        every: u32,
        /// The factor of each change.
        #[schemars(example = 0.1)]
        factor: f64,
    },
}

impl Schedule {
    /// Returns the learning rate of an epoch, counted from 1, of `epochs`.
    pub fn learning_rate(self, first: f64, epoch: u32, epochs: u32) -> f64 {
        let done = epoch.saturating_sub(1);
        match self {
            Self::Constant => first,
            Self::Cosine => {
                let share = f64::from(done) / f64::from(epochs.max(1));
                first * 0.5 * (1.0 + (std::f64::consts::PI * share).cos())
            }
            Self::Step { every, factor } => first * factor.powi((done / every.max(1)).min(i32::MAX as u32) as i32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learning_rates_follow_the_schedule() {
        let rates = |schedule: Schedule| [1, 2, 3, 4].map(|epoch| schedule.learning_rate(0.1, epoch, 4));
        assert_eq!(rates(Schedule::Constant), [0.1; 4]);
        assert_eq!(rates(Schedule::Step { every: 2, factor: 0.5 }), [0.1, 0.1, 0.05, 0.05]);
        // torch.optim.lr_scheduler.CosineAnnealingLR(T_max=4) from 0.1, PyTorch 2.15.0.
        let torch = [0.1, 0.085_355_339_059_327_38, 0.05, 0.014_644_660_940_672_627];
        for (ours, theirs) in rates(Schedule::Cosine).into_iter().zip(torch) {
            assert!((ours - theirs).abs() < 1e-12, "{ours} {theirs}");
        }
    }
}

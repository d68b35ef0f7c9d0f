//! From logits to a mask.

/// The smallest logit of a foreground pixel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Level(f64);

impl Level {
    /// The level of probability ½.
    pub(crate) const HALF: Self = Self(0.0);

    /// Returns the level of a probability p between 0 and 1, ln(p / (1 − p)): no sigmoid of a logit is rounded.
    pub(crate) fn of(probability: f64) -> Self {
        Self((probability / (1.0 - probability)).ln())
    }

    /// Returns true if a pixel with that logit is foreground.
    pub(crate) fn reached_by(self, logit: f32) -> bool {
        f64::from(logit) >= self.0
    }
}

/// Computes intersection over union of the predicted and the true mask (0 or 1); `None` if the latter is empty.
pub(super) fn iou(logits: &[f32], truth: &[u8], level: Level) -> Option<f64> {
    let (mut both, mut either, mut any) = (0_u32, 0_u32, false);
    for (&logit, &truth) in logits.iter().zip(truth) {
        let (predicted, truth) = (level.reached_by(logit), truth != 0);
        both += u32::from(predicted && truth);
        either += u32::from(predicted || truth);
        any |= truth;
    }
    any.then(|| f64::from(both) / f64::from(either))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Predicted 1 1 0 0, true 0 1 1 0: one pixel in both, three in either.
    #[test]
    fn iou_worked_by_hand() {
        assert_eq!(iou(&[0.0, 2.0, -0.1, -3.0], &[0, 1, 1, 0], Level::HALF), Some(1.0 / 3.0));
        assert_eq!(iou(&[-1.0, -1.0], &[0, 1], Level::HALF), Some(0.0), "an empty mask");
        assert_eq!(iou(&[1.0, 1.0], &[0, 0], Level::HALF), None, "no truth");
    }

    #[test]
    fn a_level_is_the_logit_of_its_probability() {
        assert_eq!(Level::of(0.5), Level::HALF);
        // sigmoid(1) = 0.7311.
        assert!(Level::of(0.731).reached_by(1.0) && !Level::of(0.732).reached_by(1.0));
        assert!(!Level::of(0.5).reached_by(-1e-9) && Level::of(0.5).reached_by(-0.0));
        assert!(!Level::HALF.reached_by(f32::NAN));
    }
}

//! What `train` and `segment` give beside the weights: how the training went.

use orchestrate_engine::stage::StageError;

use super::{Columns, Rows, Table};

/// One row an epoch.
///
/// Columns: `epoch`, `learning_rate`, `train_loss`, `validation_loss`, `validation_accuracy`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// The epochs in order.
    pub epochs: Vec<Epoch>,
}

/// One pass over the training images, and a look at the validation images after it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epoch {
    /// Its number, from 1.
    pub epoch: u32,
    /// The learning rate of its batches.
    pub learning_rate: f64,
    /// Mean of the loss over its training images, each at the time of its batch.
    pub train_loss: f64,
    /// Mean of the loss over the validation images, with the same class weights.
    pub validation_loss: f64,
    /// Share of the validation images whose class is predicted, 0..=1.
    pub validation_accuracy: f64,
}

impl Table for Curve {
    const OUTPUT: &'static str = "curve";

    fn columns(&self) -> Result<Columns<'_>, StageError> {
        let float = |value: fn(&Epoch) -> f64| self.epochs.iter().map(value);
        Ok(Columns::new()
            .integer("epoch", self.epochs.iter().map(|row| i64::from(row.epoch)))
            .float("learning_rate", float(|row| row.learning_rate))
            .float("train_loss", float(|row| row.train_loss))
            .float("validation_loss", float(|row| row.validation_loss))
            .float("validation_accuracy", float(|row| row.validation_accuracy)))
    }

    fn from_rows(rows: &Rows) -> Result<Self, StageError> {
        let epochs = rows.unsigned::<u32>("epoch")?;
        let learning_rate = rows.float("learning_rate")?;
        let train_loss = rows.float("train_loss")?;
        let validation_loss = rows.float("validation_loss")?;
        let validation_accuracy = rows.float("validation_accuracy")?;
        let epochs = epochs.into_iter().enumerate().map(|(row, epoch)| Epoch {
            epoch,
            learning_rate: learning_rate[row],
            train_loss: train_loss[row],
            validation_loss: validation_loss[row],
            validation_accuracy: validation_accuracy[row],
        });
        Ok(Self { epochs: epochs.collect() })
    }
}

/// One row an epoch of a segmentation network.
///
/// Columns: `epoch`, `learning_rate`, `train_loss`, `validation_loss`, `validation_iou` (may be missing).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SegmentCurve {
    /// The epochs in order.
    pub epochs: Vec<SegmentEpoch>,
}

/// One pass over the training images, and a look at the validation images after it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SegmentEpoch {
    /// Its number, from 1.
    pub epoch: u32,
    /// The learning rate of its batches.
    pub learning_rate: f64,
    /// Mean of the loss over its batches, weighted by their images, each before the step of its batch.
    pub train_loss: f64,
    /// The loss of all validation images together, as if they were one batch.
    pub validation_loss: f64,
    /// Mean IoU over the validation images that have a mask, 0..=1, cut at ½; `None` where none has one.
    pub validation_iou: Option<f64>,
}

impl Table for SegmentCurve {
    const OUTPUT: &'static str = "curve";

    fn columns(&self) -> Result<Columns<'_>, StageError> {
        let float = |value: fn(&SegmentEpoch) -> f64| self.epochs.iter().map(value);
        Ok(Columns::new()
            .integer("epoch", self.epochs.iter().map(|row| i64::from(row.epoch)))
            .float("learning_rate", float(|row| row.learning_rate))
            .float("train_loss", float(|row| row.train_loss))
            .float("validation_loss", float(|row| row.validation_loss))
            .optional_float("validation_iou", self.epochs.iter().map(|row| row.validation_iou)))
    }

    fn from_rows(rows: &Rows) -> Result<Self, StageError> {
        let epochs = rows.unsigned::<u32>("epoch")?;
        let learning_rate = rows.float("learning_rate")?;
        let train_loss = rows.float("train_loss")?;
        let validation_loss = rows.float("validation_loss")?;
        let validation_iou = rows.optional_float("validation_iou")?;
        let epochs = epochs.into_iter().enumerate().map(|(row, epoch)| SegmentEpoch {
            epoch,
            learning_rate: learning_rate[row],
            train_loss: train_loss[row],
            validation_loss: validation_loss[row],
            validation_iou: validation_iou[row],
        });
        Ok(Self { epochs: epochs.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_curve_survives_parquet_also_without_an_iou() {
        let row = |epoch, validation_iou| SegmentEpoch {
            epoch,
            learning_rate: 1e-4,
            train_loss: 2.0 / 3.0,
            validation_loss: 0.1 + 0.2,
            validation_iou,
        };
        let curve = SegmentCurve { epochs: vec![row(1, None), row(2, Some(1.0 / 3.0))] };
        let bytes = curve.encode().expect("floats have columns");
        assert_eq!(SegmentCurve::decode(&bytes).expect("it was just written"), curve);
    }

    #[test]
    fn curve_survives_parquet_to_the_last_bit() {
        let row = |epoch: u32| Epoch {
            epoch,
            learning_rate: 0.1 / f64::from(epoch),
            train_loss: 1.0 / 3.0,
            validation_loss: 0.1 + 0.2,
            validation_accuracy: 2.0 / 3.0,
        };
        let curve = Curve { epochs: vec![row(1), row(2)] };
        let bytes = curve.encode().expect("floats have columns");
        assert_eq!(Curve::decode(&bytes).expect("it was just written"), curve);
        assert_eq!(Curve::default(), Curve::decode(&Curve::default().encode().expect("no rows")).expect("no rows"));
    }
}

//! The output of `train` and `segment` beside the weights: a table of epochs.

use orchestrate_engine::stage::{ArtifactFacts, StageError};

use super::{Columns, Rows, Table, described};

/// The curve of a classifier; its figure is the accuracy.
pub type Curve = Epochs<f64>;

/// The curve of a segmentation network; its figure is the mean intersection over union.
pub type SegmentCurve = Epochs<Option<f64>>;

/// One row per epoch of a training.
///
/// Columns: `epoch`, `learning_rate`, `train_loss`, `validation_loss`, and the figure's, see [`Figure`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Epochs<F> {
    /// The epochs in order.
    pub epochs: Vec<Epoch<F>>,
}

/// One pass over the training images, then one over the validation images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epoch<F> {
    /// Its number, from 1.
    pub epoch: u32,
    /// The learning rate of its batches.
    pub learning_rate: f64,
    /// The mean loss of its training images, each before the step of its batch.
    pub train_loss: f64,
    /// The loss of all validation images together, after the epoch.
    pub validation_loss: f64,
    /// The figure of the validation images.
    pub figure: F,
}

/// A figure of the validation images, in a column of its own.
pub trait Figure: Copy {
    /// Adds the column.
    fn append<'a>(columns: Columns<'a>, figures: impl Iterator<Item = Self>) -> Columns<'a>;

    /// Reads the column.
    fn read(rows: &Rows) -> Result<Vec<Self>, StageError>;
}

/// The share of images whose class is predicted, 0..=1: column `validation_accuracy`.
impl Figure for f64 {
    fn append<'a>(columns: Columns<'a>, figures: impl Iterator<Item = Self>) -> Columns<'a> {
        columns.float("validation_accuracy", figures)
    }

    fn read(rows: &Rows) -> Result<Vec<Self>, StageError> {
        rows.float("validation_accuracy")
    }
}

/// The mean IoU of images that have a mask, 0..=1, with predictions cut at ½; `None` without such images: column
/// `validation_iou`.
impl Figure for Option<f64> {
    fn append<'a>(columns: Columns<'a>, figures: impl Iterator<Item = Self>) -> Columns<'a> {
        columns.optional_float("validation_iou", figures)
    }

    fn read(rows: &Rows) -> Result<Vec<Self>, StageError> {
        rows.optional_float("validation_iou")
    }
}

impl<F: Figure> Table for Epochs<F> {
    const FACTS: &'static ArtifactFacts = &described::CURVE;

    fn columns(&self) -> Result<Columns<'_>, StageError> {
        let float = |value: fn(&Epoch<F>) -> f64| self.epochs.iter().map(value);
        let columns = Columns::new()
            .integer("epoch", self.epochs.iter().map(|row| i64::from(row.epoch)))
            .float("learning_rate", float(|row| row.learning_rate))
            .float("train_loss", float(|row| row.train_loss))
            .float("validation_loss", float(|row| row.validation_loss));
        Ok(F::append(columns, self.epochs.iter().map(|row| row.figure)))
    }

    fn from_rows(rows: &Rows) -> Result<Self, StageError> {
        let epochs = rows.unsigned::<u32>("epoch")?;
        let learning_rate = rows.float("learning_rate")?;
        let train_loss = rows.float("train_loss")?;
        let validation_loss = rows.float("validation_loss")?;
        let figure = F::read(rows)?;
        let epochs = epochs.into_iter().enumerate().map(|(row, epoch)| Epoch {
            epoch,
            learning_rate: learning_rate[row],
            train_loss: train_loss[row],
            validation_loss: validation_loss[row],
            figure: figure[row],
        });
        Ok(Self { epochs: epochs.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_curve_survives_parquet_also_without_an_iou() {
        let row = |epoch, figure| Epoch {
            epoch,
            learning_rate: 1e-4,
            train_loss: 2.0 / 3.0,
            validation_loss: 0.1 + 0.2,
            figure,
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
            figure: 2.0 / 3.0,
        };
        let curve = Curve { epochs: vec![row(1), row(2)] };
        let bytes = curve.encode().expect("floats have columns");
        assert_eq!(Curve::decode(&bytes).expect("it was just written"), curve);
        assert_eq!(Curve::default(), Curve::decode(&Curve::default().encode().expect("no rows")).expect("no rows"));
    }
}

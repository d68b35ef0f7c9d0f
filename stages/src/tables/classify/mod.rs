//! How well the classes were predicted. Source: Kang et al. 2021, Eq. 4–7, as scikit-learn computes them.

use orchestrate_engine::params;
use orchestrate_engine::stage::{Action, Context, Facts, Item, Label, Output, Port, StageError};
use serde::{Deserialize, Serialize};

use crate::artifact::{ALL, AxisColumns, Confusion, Metrics, Predictions, Table, is_synthetic};
use crate::typed::{Adaptor, Typed};

/// Parameters of `kind = "classify"`: none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {}

impl params::Params for Params {}

/// The labels of gathered axes of one input, in the order of the axes.
pub type AxisLabels = Vec<Label>;

/// Accuracy, and precision, recall and F1 by class and averaged over classes, of each input on its own.
///
/// - `inputs`: labels of the gathered axes (a fold, say) and one prediction an image
/// - returns: [`Metrics`] and [`Confusion`], input after input
///
/// The average is over the classes that occur among labels or predictions of that input; zero division is 0. Errors: a
/// class that is named `all`.
pub fn run(inputs: &[(AxisLabels, Predictions)]) -> Result<(Metrics, Confusion), StageError> {
    let classes = classes(inputs)?;
    let mut metrics = Metrics {
        axes: axes(inputs),
        metrics: Vec::new(),
        labels: Vec::new(),
        values: Vec::new(),
        counts: Vec::new(),
        classes: classes.clone(),
        synthetic: inputs.iter().any(|(_, predictions)| is_synthetic(&predictions.names)),
    };
    let mut confusion = Confusion {
        axes: metrics.axes.clone(),
        labels: Vec::new(),
        predicted: Vec::new(),
        counts: Vec::new(),
        classes: classes.clone(),
    };
    for (labels, predictions) in inputs {
        let counts = Counts::of(predictions, &classes);
        for (metric, class, value, n) in counts.figures() {
            push_labels(&mut metrics.axes, labels);
            metrics.metrics.push(metric.to_owned());
            metrics.labels.push(class.map_or_else(|| ALL.to_owned(), |class| classes[class].clone()));
            metrics.values.push(value);
            metrics.counts.push(n);
        }
        for label in 0..classes.len() {
            for predicted in 0..classes.len() {
                push_labels(&mut confusion.axes, labels);
                confusion.labels.push(label as u32);
                confusion.predicted.push(predicted as u32);
                confusion.counts.push(counts.0[label][predicted]);
            }
        }
    }
    Ok((metrics, confusion))
}

/// Images by true and predicted class.
struct Counts(Vec<Vec<u64>>);

impl Counts {
    fn of(predictions: &Predictions, classes: &[String]) -> Self {
        // The order of classes may differ between inputs; their names do not.
        let index: Vec<usize> = predictions
            .classes
            .iter()
            .map(|class| classes.iter().position(|other| other == class).expect("BUG: `classes` has them all"))
            .collect();
        let mut counts = vec![vec![0; classes.len()]; classes.len()];
        for (&label, &predicted) in predictions.labels.iter().zip(&predictions.predicted) {
            counts[index[label as usize]][index[predicted as usize]] += 1;
        }
        Self(counts)
    }

    /// Metric, class (`None` for all), value and images of each figure.
    fn figures(&self) -> Vec<(&'static str, Option<usize>, Option<f64>, u64)> {
        let classes = 0..self.0.len();
        let total: u64 = self.0.iter().flatten().sum();
        let right: u64 = classes.clone().map(|class| self.0[class][class]).sum();
        let mut figures = vec![("accuracy", None, ratio(right, total), total)];
        for (metric, value) in
            [("precision", Self::precision as fn(&Self, usize) -> f64), ("recall", Self::recall), ("f1", Self::f1)]
        {
            let values: Vec<Option<f64>> =
                classes.clone().map(|class| self.occurs(class).then(|| value(self, class))).collect();
            let occurring: Vec<f64> = values.iter().copied().flatten().collect();
            let mean = occurring.iter().sum::<f64>() / occurring.len() as f64;
            figures.push((metric, None, (!occurring.is_empty()).then_some(mean), total));
            figures.extend(classes.clone().map(|class| (metric, Some(class), values[class], self.labelled(class))));
        }
        figures
    }

    fn labelled(&self, class: usize) -> u64 {
        self.0[class].iter().sum()
    }

    fn predicted(&self, class: usize) -> u64 {
        self.0.iter().map(|row| row[class]).sum()
    }

    fn occurs(&self, class: usize) -> bool {
        self.labelled(class) + self.predicted(class) > 0
    }

    fn precision(&self, class: usize) -> f64 {
        ratio(self.0[class][class], self.predicted(class)).unwrap_or(0.0)
    }

    fn recall(&self, class: usize) -> f64 {
        ratio(self.0[class][class], self.labelled(class)).unwrap_or(0.0)
    }

    fn f1(&self, class: usize) -> f64 {
        ratio(2 * self.0[class][class], self.labelled(class) + self.predicted(class)).unwrap_or(0.0)
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Class names of all inputs, in the order in which they appear.
fn classes(inputs: &[(AxisLabels, Predictions)]) -> Result<Vec<String>, StageError> {
    let mut classes: Vec<String> = Vec::new();
    for class in inputs.iter().flat_map(|(_, predictions)| &predictions.classes) {
        if class == ALL {
            return Err(StageError::new("a class is named `all`, which stands for all classes together; rename it"));
        }
        if !classes.contains(class) {
            classes.push(class.clone());
        }
    }
    Ok(classes)
}

/// The gathered axes of all inputs, in the order in which they appear, without rows.
fn axes(inputs: &[(AxisLabels, Predictions)]) -> AxisColumns {
    let mut axes: AxisColumns = Vec::new();
    for (axis, _) in inputs.iter().flat_map(|(labels, _)| labels) {
        if axes.iter().all(|(other, _)| **other != **axis) {
            axes.push((axis.to_string(), Vec::new()));
        }
    }
    axes
}

/// Adds a row; an axis that the input does not have is empty.
fn push_labels(axes: &mut AxisColumns, labels: &AxisLabels) {
    for (axis, column) in axes {
        let label = labels.iter().find(|(other, _)| **other == **axis).map(|(_, label)| label.to_string());
        column.push(label.unwrap_or_default());
    }
}

pub(crate) struct Classify;

pub(crate) static STAGE: Adaptor<Classify> = Adaptor::new();

impl Typed for Classify {
    const FACTS: Facts = Facts {
        ports: &[Port { name: "predictions", reads: &[Predictions::OUTPUT], optional: false, many: true }],
        outputs: &[Metrics::OUTPUT, Confusion::OUTPUT],
        ..Facts::new(
            "classify",
            1,
            "measures how well the classes were predicted: accuracy, macro precision, recall, F1, confusion",
        )
    };
    type Params = Params;

    fn run(_context: &Context<'_>, batch: &[(Params, &Action)]) -> Vec<Result<Vec<Output>, StageError>> {
        batch.iter().map(|(_, action)| outputs(action)).collect()
    }
}

fn outputs(action: &Action) -> Result<Vec<Output>, StageError> {
    let input = action.input("predictions").ok_or_else(|| StageError::input("predictions", "nothing is connected"))?;
    let read = |item: &Item| Ok((item.labels.clone(), Predictions::from_item(item)?));
    let inputs = input.items.iter().map(read).collect::<Result<Vec<_>, StageError>>()?;
    let (metrics, confusion) = run(&inputs)?;
    Ok(vec![metrics.output()?, confusion.output()?])
}

#[cfg(test)]
mod tests;

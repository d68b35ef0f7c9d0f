//! Metrics of predicted classes. Source: Kang et al. 2021, Eq. 4–7, as scikit-learn computes them.

use orchestrate_cache::Digest;
use orchestrate_engine::params;
use orchestrate_engine::stage::{
    Action, Context, Facts, InputProblem, Item, Label, Output, PlannedNode, Port, StageError,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::{ALL, AxisColumns, Confusion, Metrics, Predictions, Table, is_synthetic};
use crate::tables::first_seen::{index_or_push, push_once};
use crate::tables::table::mean_sd;
use crate::typed::{Adaptor, Typed};

/// Parameters of `kind = "classify"`: none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {}

impl params::Params for Params {}

/// The name of the kind.
pub(crate) const KIND: &str = "classify";

/// The labels of gathered axes of one input, in the order of the axes.
pub type AxisLabels = Vec<Label>;

/// Measures accuracy, and precision, recall and F1 by class and averaged over classes, of each input on its own.
///
/// - `inputs`: labels of the gathered axes (a fold, say) and one prediction an image
/// - returns: [`Metrics`] and [`Confusion`], input after input
///
/// The average is over the classes that occur among labels or predictions of that input; zero division is 0. A class
/// predicted for every image, or for none, is a warning of the metrics. Errors: a class named `all`.
pub fn run(inputs: &[(AxisLabels, Predictions)]) -> Result<(Metrics, Confusion), StageError> {
    let classes = classes(inputs)?;
    let (axes, synthetic) = (axes(inputs), inputs.iter().any(|(_, predictions)| is_synthetic(&predictions.names)));
    let mut confusion = Confusion { axes: axes.clone(), classes: classes.clone(), ..Confusion::default() };
    let mut metrics = Metrics { axes, classes: classes.clone(), synthetic, ..Metrics::default() };
    for (labels, predictions) in inputs {
        let counts = Counts::of(predictions, &classes);
        let image_hash =
            predictions.names.iter().map(|name| image_hash(name)).fold(0, u64::wrapping_add) & (u64::MAX >> 1);
        for (metric, class, value, n) in counts.figures() {
            metrics.predicted.push(class.map_or(n, |class| counts.predicted(class)));
            metrics.image_hashes.push(image_hash);
            push_labels(&mut metrics.axes, labels);
            metrics.metrics.push(metric.to_owned());
            metrics.labels.push(class.map_or_else(|| ALL.to_owned(), |class| classes[class].clone()));
            metrics.values.push(value);
            metrics.counts.push(n);
        }
        for (label, row) in (0..).zip(&counts.0) {
            for (predicted, count) in (0..).zip(row) {
                push_labels(&mut confusion.axes, labels);
                confusion.labels.push(label);
                confusion.predicted.push(predicted);
                confusion.counts.push(*count);
            }
        }
    }
    Ok((metrics, confusion))
}

/// Returns the metrics of a node of this kind before it runs, without values.
pub(crate) fn planned(node: &dyn PlannedNode, classes: &[String]) -> Result<Metrics, InputProblem> {
    let items = node.items("predictions");
    let inputs = items.iter().map(|item| {
        let labels = item.labels.iter().map(|(axis, label)| ((*axis).into(), (*label).into()));
        (labels.collect(), Predictions { classes: classes.to_vec(), ..Predictions::default() })
    });
    let problem = |error: StageError| InputProblem::port("predictions", error);
    let (metrics, confusion) = run(&inputs.collect::<Vec<_>>()).map_err(problem)?;
    metrics.columns().and_then(|columns| columns.check()).map_err(problem)?;
    confusion.columns().and_then(|columns| columns.check()).map_err(problem)?;
    Ok(metrics)
}

/// Returns a hash of the name of an image.
fn image_hash(name: &str) -> u64 {
    let digest = Digest::of(name.as_bytes());
    u64::from_le_bytes(*digest.as_bytes().first_chunk().expect("a digest has 32 bytes"))
}

/// Images by true and predicted class.
struct Counts(Vec<Vec<u64>>);

impl Counts {
    fn of(predictions: &Predictions, classes: &[String]) -> Self {
        // The order of classes may differ between inputs; their names do not.
        let index = |class| classes.iter().position(|other| other == class).expect("BUG: `classes` has them all");
        let index: Vec<usize> = predictions.classes.iter().map(index).collect();
        let mut counts = vec![vec![0; classes.len()]; classes.len()];
        for (&label, &predicted) in predictions.labels.iter().zip(&predictions.predicted) {
            counts[index[label as usize]][index[predicted as usize]] += 1;
        }
        Self(counts)
    }

    /// Returns the number of images that are predicted as a class.
    fn predicted(&self, class: usize) -> u64 {
        self.0.iter().map(|row| row[class]).sum()
    }

    /// Returns metric, class (`None` for all), value and images of each figure.
    fn figures(&self) -> Vec<(&'static str, Option<usize>, Option<f64>, u64)> {
        let classes = 0..self.0.len();
        let hits: Vec<u64> = classes.clone().map(|class| self.0[class][class]).collect();
        let labelled: Vec<u64> = self.0.iter().map(|row| row.iter().sum()).collect();
        let predicted: Vec<u64> = classes.clone().map(|class| self.predicted(class)).collect();
        let total: u64 = labelled.iter().sum();
        let ratio = |part: u64, whole: u64| if whole > 0 { part as f64 / whole as f64 } else { 0.0 };
        let value = |metric: &str, class: usize| match metric {
            "precision" => ratio(hits[class], predicted[class]),
            "recall" => ratio(hits[class], labelled[class]),
            _ => ratio(2 * hits[class], labelled[class] + predicted[class]),
        };
        let mut figures = vec![("accuracy", None, (total > 0).then(|| ratio(hits.iter().sum(), total)), total)];
        for metric in ["precision", "recall", "f1"] {
            let of_class = |class| (labelled[class] + predicted[class] > 0).then(|| value(metric, class));
            let values: Vec<Option<f64>> = classes.clone().map(of_class).collect();
            let (mean, _) = mean_sd(&values.iter().copied().flatten().collect::<Vec<_>>());
            figures.push((metric, None, mean, total));
            figures.extend(classes.clone().map(|class| (metric, Some(class), values[class], labelled[class])));
        }
        figures
    }
}

/// Returns the class names of all inputs, in the order in which they appear.
fn classes(inputs: &[(AxisLabels, Predictions)]) -> Result<Vec<String>, StageError> {
    let mut classes: Vec<String> = Vec::new();
    for class in inputs.iter().flat_map(|(_, predictions)| &predictions.classes) {
        if class == ALL {
            return Err(StageError::new("a class is named `all`, which stands for all classes together; rename it"));
        }
        push_once(&mut classes, class);
    }
    Ok(classes)
}

/// Returns the gathered axes of all inputs, in the order in which they appear, without rows.
fn axes(inputs: &[(AxisLabels, Predictions)]) -> AxisColumns {
    let mut axes: AxisColumns = Vec::new();
    for (axis, _) in inputs.iter().flat_map(|(labels, _)| labels) {
        index_or_push(&mut axes, |(other, _)| **other == **axis, || (axis.to_string(), Vec::new()));
    }
    axes
}

/// Adds a row; an axis that the input lacks is empty.
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
        artifacts: &[Metrics::FACTS, Confusion::FACTS],
        check_inputs: Some(|node| planned(node, &[]).err().into_iter().collect()),
        ..Facts::new(
            KIND,
            2,
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

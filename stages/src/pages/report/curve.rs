//! How trainings went: loss and accuracy by epoch, one line a fold.

use maud::{Markup, html};
use orchestrate_engine::stage::{Item, StageError};

use super::Params;
use super::chart::{Axes, Chart, Look, round_above, ticks};
use super::study::Place;
use crate::artifact::{Curve, Rows, Table};

/// One training.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Training {
    /// Where it belongs.
    pub(super) place: Place,
    /// Number of each epoch, from 1.
    pub(super) epochs: Vec<f64>,
    /// Mean loss over training images.
    pub(super) train_loss: Vec<f64>,
    /// Mean loss over validation images.
    pub(super) validation_loss: Vec<f64>,
    /// What else was measured on validation images: `accuracy` or `iou`, 0..=1.
    pub(super) measure: Option<(String, Vec<Option<f64>>)>,
}

impl Training {
    /// Reads a curve, of a classifier or of a network that predicts masks.
    pub(super) fn read(params: &Params, item: &Item) -> Result<Self, StageError> {
        let rows: Rows = Curve::open(item)?;
        let names = rows.names();
        let column = names.iter().find_map(|name| name.strip_prefix("validation_").filter(|rest| *rest != "loss"));
        let measure = match column {
            Some(name) => Some((name.to_owned(), rows.optional_float(&format!("validation_{name}"))?)),
            None => None,
        };
        Ok(Self {
            place: Place::of(params, &item.labels),
            epochs: rows.float("epoch")?,
            train_loss: rows.float("train_loss")?,
            validation_loss: rows.float("validation_loss")?,
            measure,
        })
    }
}

/// The charts of one series: loss, and what else was measured.
pub(super) fn charts(series: &str, trainings: &[&Training], look: Look) -> Vec<(String, Chart)> {
    let epochs = trainings.iter().flat_map(|training| &training.epochs).fold(1.0, |max: f64, &epoch| max.max(epoch));
    let folds = trainings.len();
    let axes = |y_label: String, y: (f64, f64), name: String| Axes {
        name,
        x_label: "epoch".to_owned(),
        y_label,
        x: (1.0_f64.min(epochs - 1.0), epochs),
        y,
        x_ticks: ticks((1.0_f64.min(epochs - 1.0), epochs))
            .into_iter()
            .filter(|(value, _)| value.fract() == 0.0 && *value >= 1.0)
            .map(|(value, _)| (value, format!("{value}")))
            .collect(),
    };
    let line = |axes: &Axes, training: &Training, values: &[Option<f64>], class: &str, dash: Option<&str>| -> Markup {
        let points = training.epochs.iter().zip(values).filter_map(|(epoch, value)| Some((*epoch, (*value)?)));
        let points: Vec<_> = points.collect();
        let fold =
            if training.place.group.is_empty() { String::new() } else { format!(", fold {}", training.place.group) };
        let last = points.last().map(|(_, value)| format!(", {value:.3} at the end")).unwrap_or_default();
        html! { g { title { (class) (fold) (last) } (axes.line(&points, look, class, dash)) } }
    };
    let losses = trainings.iter().flat_map(|training| training.train_loss.iter().chain(&training.validation_loss));
    let top = round_above(losses.copied(), 0.1);
    let loss = axes("loss".to_owned(), (0.0, top), format!("Loss of {series} by epoch, {folds} trainings"));
    let marks = html! {
        @for training in trainings {
            (line(&loss, training, &some(&training.train_loss), "training", Some("2 3")))
            (line(&loss, training, &some(&training.validation_loss), "validation", Some("")))
        }
    };
    let mut charts = vec![("loss".to_owned(), Chart { axes: loss, marks, legend: Vec::new() })];
    if let Some((measure, _)) = trainings.iter().find_map(|training| training.measure.as_ref()) {
        let word = if measure == "iou" { "IoU" } else { measure };
        let axes = axes(
            format!("validation {word}"),
            (0.0, 1.0),
            format!("Validation {word} of {series} by epoch, {folds} trainings"),
        );
        let marks = html! {
            @for training in trainings {
                @if let Some((_, values)) = &training.measure { (line(&axes, training, values, "validation", Some(""))) }
            }
        };
        charts.push((measure.clone(), Chart { axes, marks, legend: Vec::new() }));
    }
    charts
}

fn some(values: &[f64]) -> Vec<Option<f64>> {
    values.iter().copied().map(Some).collect()
}

#[cfg(test)]
mod tests {
    use super::super::study::tests::params;
    use super::*;
    use crate::artifact::Epoch;
    use crate::testing::Bench;

    #[test]
    fn curves_of_all_folds_are_drawn_with_loss_and_accuracy() {
        let bench = Bench::new();
        let epoch = |epoch| Epoch {
            epoch,
            learning_rate: 0.1,
            train_loss: 2.0 / f64::from(epoch),
            validation_loss: 1.0,
            figure: 0.5,
        };
        let curve = Curve { epochs: vec![epoch(1), epoch(2)] };
        let read = |fold| {
            let item = bench.item(&curve, &[("model", "m"), ("fold", fold)]);
            Training::read(&params(serde_json::json!({})), &item).unwrap()
        };
        let trainings = [read("1"), read("2")];
        assert_eq!(trainings[1].place.group, "2");
        assert_eq!(trainings[0].train_loss, [2.0, 1.0]);
        assert_eq!(trainings[0].measure, Some(("accuracy".to_owned(), vec![Some(0.5); 2])));
        let charts = charts("m", &[&trainings[0], &trainings[1]], Look(0));
        let lines: Vec<_> = charts
            .iter()
            .map(|(name, chart)| (name.as_str(), chart.inline().into_string().matches("<polyline").count()))
            .collect();
        assert_eq!(lines, [("loss", 4), ("accuracy", 2)]);
    }
}

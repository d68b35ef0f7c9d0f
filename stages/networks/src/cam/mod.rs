//! `kind = "cam"`: class activation maps of the predicted class. Source: Kang et al. 2021, Eq. 1–2; Zhou et al. 2016,
//! arXiv 1512.04150.
//!
//! The score of class c is Σₖ wₖᶜ · mean of Aᵏ + bias, with A the feature map before global average pooling. So the map
//! is S = Σₖ wₖᶜ Aᵏ at the native size of A. It contains no bias, and has no ReLU.

use burn::tensor::activation::softmax;
use burn::tensor::{Int, Tensor, TensorData};
use orchestrate_engine::bounds::Bounds;
use orchestrate_engine::params;
use orchestrate_engine::stage::{Action, Context, Facts, Output, Port, StageError, Weight};
use orchestrate_stages::artifact::{Cams, Predictions, Table};
use orchestrate_stages::threads::with_threads;
use orchestrate_stages::typed::{Adaptor, Typed};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::device::DEVICE_USE;
use crate::inference::{Inference, RANGES, Which, check_inputs};
use crate::model::{Classifier, ModelCard, Precision, numbers, pool};

/// Parameters of `kind = "cam"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The fold whose images are mapped; default: the fold that the weights have not seen, the only one
    /// allowed.
    #[serde(default)]
    #[schemars(example = 1)]
    pub fold: Option<u32>,
    /// The images that go through the network.
    #[serde(default)]
    pub images: Which,
    /// Images per batch.
    #[serde(default = "batch_size")]
    #[schemars(example = 16)]
    pub batch_size: usize,
    /// The type of the numbers in the trunk; maps are computed in 32 bits in any case.
    #[serde(default)]
    pub precision: Precision,
}

fn batch_size() -> usize {
    32
}

impl params::Params for Params {
    const RANGES: &'static [(&'static str, Bounds)] = RANGES;
}

/// `kind = "cam"`.
pub(crate) static STAGE: Adaptor<Cam> = Adaptor::new();

/// The stage; see the module.
pub(crate) struct Cam;

impl Typed for Cam {
    const FACTS: Facts = Facts {
        ports: &[
            Port { name: "images", reads: &["images"], optional: false, many: false },
            Port { name: "split", reads: &["split"], optional: false, many: false },
            Port { name: "weights", reads: &["weights"], optional: false, many: false },
        ],
        outputs: &["cams", "predictions"],
        artifacts: &[Cams::FACTS, Predictions::FACTS],
        weight: Weight::Heavy,
        device: Some(DEVICE_USE),
        check_inputs: Some(check_inputs),
        ..Facts::new("cam", 2, "makes the class activation map of the predicted class of each validation image")
    };
    type Params = Params;

    fn run(context: &Context<'_>, batch: &[(Params, &Action)]) -> Vec<Result<Vec<Output>, StageError>> {
        let one = |(params, action): &(Params, &Action)| {
            let inference = Inference::open(action, context)?;
            let cams = with_threads(context.threads, || run(params, &inference))?;
            Ok(vec![cams.output()?, predictions(&cams).output()?])
        };
        batch.iter().map(one).collect()
    }
}

/// Computes the maps of images in data set order.
///
/// Errors: images or classes that the network was not trained on; a fold that it was trained on; a network that gives
/// NaN or infinity, with the name of the image.
fn run(params: &Params, inference: &Inference<'_, ModelCard>) -> Result<Cams, StageError> {
    let Inference { device, images, split, weights, .. } = inference;
    check_classes(&weights.card.classes, &split.classes)?;
    let fold = inference.fold(params.fold)?;
    let indices = params.images.indices(split, fold);
    if indices.is_empty() {
        return Err(StageError::new(format!("fold {fold} of the split has no images")));
    }
    params.precision.check(device, weights.tensors.keys())?;
    let classifier = weights.network(device)?.with_precision(params.precision);
    let mut cams = Cams {
        names: indices.iter().map(|&image| images.names[image].clone()).collect(),
        labels: indices.iter().map(|&image| split.labels[image]).collect(),
        predicted: Vec::new(),
        classes: split.classes.clone(),
        probabilities: Vec::new(),
        height: 0,
        width: 0,
        input_height: images.height,
        input_width: images.width,
        maps: Vec::new(),
    };
    inference.each_batch(&indices, params.batch_size, |batch, tensor| {
        let mapped = map(&classifier, tensor)?;
        if let Some(bad) = mapped.first_not_finite() {
            return Err(inference.not_finite(batch[bad]));
        }
        (cams.height, cams.width) = (mapped.height, mapped.width);
        cams.predicted.extend(mapped.predicted);
        cams.probabilities.extend(mapped.probabilities);
        cams.maps.extend(mapped.maps);
        Ok(())
    })?;
    Ok(cams)
}

/// Fails unless a network and a split have the same classes in the same order.
fn check_classes(network: &[String], split: &[String]) -> Result<(), StageError> {
    if network == split {
        return Ok(());
    }
    let (network, split) = (network.join(", "), split.join(", "));
    Err(StageError::input("weights", format!("the network knows the classes {network}, but the split has {split}")))
}

/// The results of one batch.
struct Mapped {
    /// Class index of each image.
    predicted: Vec<u32>,
    /// `[image, class]`.
    probabilities: Vec<f32>,
    height: usize,
    width: usize,
    /// `[image, height, width]`.
    maps: Vec<f32>,
}

impl Mapped {
    /// Returns the first image with a probability or a value of its map that is not finite.
    fn first_not_finite(&self) -> Option<usize> {
        let images = self.predicted.len();
        let bad = |values: &[f32]| {
            let size = values.len() / images.max(1);
            values.iter().position(|value| !value.is_finite()).map(|index| index / size.max(1))
        };
        bad(&self.probabilities).into_iter().chain(bad(&self.maps)).min()
    }
}

fn map(classifier: &Classifier, images: Tensor<4>) -> Result<Mapped, StageError> {
    let features = classifier.features(images);
    let [batch, _, height, width] = features.dims();
    let logits = classifier.head().forward(pool(features.clone()));
    let [_, classes] = logits.dims();
    let probabilities = numbers(softmax(logits, 1))?;
    let predicted: Vec<u32> = probabilities.chunks_exact(classes).map(largest).collect();
    let maps = numbers(class_activation_map(features, classifier.head().class_weights(), &predicted))?;
    debug_assert_eq!(predicted.len(), batch);
    Ok(Mapped { predicted, probabilities, height, width, maps })
}

/// Computes S = Σₖ wₖᶜ Aᵏ for one class per image.
///
/// - `features`: A, `[batch, feature, height, width]`
/// - `class_weights`: w, `[class, feature]`
/// - `classes`: class index c of each image
/// - returns: `[batch, height, width]`
pub fn class_activation_map(features: Tensor<4>, class_weights: Tensor<2>, classes: &[u32]) -> Tensor<3> {
    let [batch, channels, height, width] = features.dims();
    let classes: Vec<i64> = classes.iter().map(|&class| i64::from(class)).collect();
    let classes = Tensor::<1, Int>::from_data(TensorData::new(classes, [batch]), &features.device());
    let rows: Tensor<3> = class_weights.select(0, classes).reshape([batch, 1, channels]);
    let places: Tensor<3> = features.reshape([batch, channels, height * width]);
    rows.matmul(places).reshape([batch, height, width])
}

/// Returns the index of the largest value, the first of equal ones.
fn largest(values: &[f32]) -> u32 {
    let best = (0..values.len()).reduce(|best, index| if values[index] > values[best] { index } else { best });
    best.unwrap_or(0) as u32
}

fn predictions(cams: &Cams) -> Predictions {
    Predictions {
        names: cams.names.clone(),
        labels: cams.labels.clone(),
        predicted: cams.predicted.clone(),
        classes: cams.classes.clone(),
        probabilities: cams.probabilities.clone(),
    }
}

#[cfg(test)]
mod tests;

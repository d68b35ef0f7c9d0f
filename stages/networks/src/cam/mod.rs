//! Class activation maps of the predicted class. Source: Kang et al. 2021, Eq. 1–2; Zhou et al. 2016, arXiv 1512.04150.
//!
//! The score of class c is Σₖ wₖᶜ · mean of Aᵏ + bias, with A the feature map before global average pooling; so the map is
//! S = Σₖ wₖᶜ Aᵏ at the native size of A. The bias is not in the map, and there is no ReLU.

use burn::tensor::activation::softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use orchestrate_engine::params;
use orchestrate_engine::stage::{Action, Context, Facts, Output, Port, Progress, StageError, Weight};
use serde::{Deserialize, Serialize};

use crate::model::{Classifier, DEVICE_USE, Precision, Weights, device, image_data, pool};
use crate::train::check_names;
use crate::training::ahead;
use orchestrate_stages::artifact::{Cams, ImageReader, Predictions, Split, Table};
use orchestrate_stages::threads::with_threads;
use orchestrate_stages::typed::{Adaptor, Typed};

/// Parameters of `kind = "cam"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The fold whose images are mapped, from 1; default: the fold that the weights have not seen, and no other is taken.
    #[serde(default)]
    pub fold: Option<u32>,
    /// `"validation"` (default), the images of the fold, or `"all"`, training images too.
    #[serde(default)]
    pub images: Which,
    /// Images that go through the network at a time, at least 1; default 32.
    #[serde(default = "batch_size")]
    pub batch_size: usize,
    /// The type of the numbers in the trunk: `"f32"` (default), `"bf16"` or `"f16"`; the maps are made in f32 in any case.
    #[serde(default)]
    pub precision: Precision,
}

fn batch_size() -> usize {
    32
}

/// Which images are mapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Which {
    /// The images of the fold.
    #[default]
    Validation,
    /// All images; the network was trained on most of them.
    All,
}

impl params::Params for Params {
    fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.fold == Some(0) {
            problems.push(("fold", "fold counts from 1".to_owned()));
        }
        if self.batch_size == 0 {
            problems.push(("batch_size", "batch_size must be at least 1".to_owned()));
        }
        problems
    }
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
        weight: Weight::Heavy,
        device: Some(DEVICE_USE),
        ..Facts::new("cam", 2, "makes the class activation map of the predicted class of each validation image")
    };
    type Params = Params;

    fn run(context: &Context<'_>, batch: &[(Params, &Action)]) -> Vec<Result<Vec<Output>, StageError>> {
        let one = |(params, action): &(Params, &Action)| {
            let images = ImageReader::from_item(action.one("images")?)?;
            let split = Split::from_item(action.one("split")?)?;
            let weights = Weights::from_item(action.one("weights")?)?;
            let device = device(context.device)?;
            let cams = with_threads(context.threads, || run(params, &images, &split, &weights, &device, context))?;
            Ok(vec![cams.output()?, predictions(&cams).output()?])
        };
        batch.iter().map(one).collect()
    }
}

/// Maps images in data set order.
///
/// Errors: a split or images that the weights were not trained on; a fold that they have seen; a network that gives NaN or
/// infinity, with the name of the image.
fn run(
    params: &Params,
    images: &ImageReader,
    split: &Split,
    weights: &Weights,
    device: &Device,
    context: &Context<'_>,
) -> Result<Cams, StageError> {
    let fold = check(params, images, split, weights)?;
    let wanted = |&image: &usize| params.images == Which::All || split.folds[image] == fold;
    let indices: Vec<usize> = (0..images.names.len()).filter(wanted).collect();
    if indices.is_empty() {
        return Err(StageError::new(format!("fold {fold} of the split has no images")));
    }
    params.precision.check(device, weights.tensors.keys())?;
    let classifier = weights.classifier(device)?.with_precision(params.precision);
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
    let prepared = indices.chunks(params.batch_size).map(|batch| {
        let data = |pixels: Vec<u8>| image_data(&pixels, images.height, images.width, &weights.card.normalisation);
        (batch, images.batch(batch).map(data))
    });
    ahead(prepared, |(batch, input)| {
        if (context.cancelled)() {
            return Err(StageError::Cancelled);
        }
        let mapped = map(&classifier, Tensor::from_data(input?, device))?;
        if let Some(bad) = mapped.first_not_finite() {
            let name = &images.names[batch[bad]];
            return Err(StageError::new(format!(
                "the network gives NaN or infinity for image `{name}`; train it again with a lower learning_rate"
            )));
        }
        (cams.height, cams.width) = (mapped.height, mapped.width);
        cams.predicted.extend(mapped.predicted);
        cams.probabilities.extend(mapped.probabilities);
        cams.maps.extend(mapped.maps);
        let (done, total) = (cams.predicted.len() as u64, indices.len() as u64);
        (context.progress)(Progress { done, total, message: format!("image {done}/{total}") });
        Ok(())
    })?;
    Ok(cams)
}

/// The fold to map, once everything fits together.
fn check(params: &Params, images: &ImageReader, split: &Split, weights: &Weights) -> Result<u32, StageError> {
    check_names(images, split)?;
    let card = &weights.card;
    if card.classes != split.classes {
        return Err(StageError::input(
            "weights",
            format!(
                "the network knows the classes {}, but the split has {}",
                card.classes.join(", "),
                split.classes.join(", ")
            ),
        ));
    }
    if (card.height, card.width) != (images.height, images.width) {
        return Err(StageError::input(
            "weights",
            format!(
                "the network was trained on {}×{} pixels, but the images are {}×{}; connect the data set of the training",
                card.height, card.width, images.height, images.width
            ),
        ));
    }
    match params.fold {
        Some(fold) if fold != card.fold => Err(StageError::new(format!(
            "fold = {fold}, but the weights have not seen fold {}: they were trained on the images of fold {fold}, so the maps would \
             leak; vary `train` and `cam` over the same axis `fold`",
            card.fold
        ))),
        _ => Ok(card.fold),
    }
}

/// What a network says of a batch.
struct Mapped {
    predicted: Vec<u32>,
    /// `[image, class]`.
    probabilities: Vec<f32>,
    height: usize,
    width: usize,
    /// `[image, height, width]`.
    maps: Vec<f32>,
}

impl Mapped {
    /// The first image with a probability or a place of its map that is no finite number.
    fn first_not_finite(&self) -> Option<usize> {
        let images = self.predicted.len();
        let bad = |values: &[f32]| {
            let width = values.len() / images.max(1);
            values.iter().position(|value| !value.is_finite()).map(|place| place / width.max(1))
        };
        bad(&self.probabilities).into_iter().chain(bad(&self.maps)).min()
    }
}

fn map(classifier: &Classifier, images: Tensor<4>) -> Result<Mapped, StageError> {
    let features = classifier.features(images);
    let [batch, _, height, width] = features.dims();
    let logits = classifier.head().forward(pool(features.clone()));
    let [_, classes] = logits.dims();
    let probabilities = read(softmax(logits, 1))?;
    let predicted: Vec<u32> = probabilities.chunks_exact(classes).map(largest).collect();
    let maps = read(class_activation_map(features, classifier.head().class_weights(), &predicted))?;
    debug_assert_eq!(predicted.len(), batch);
    Ok(Mapped { predicted, probabilities, height, width, maps })
}

/// S = Σₖ wₖᶜ Aᵏ for one class an image.
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

/// Index of the largest value, the first of several.
fn largest(values: &[f32]) -> u32 {
    let best = (0..values.len()).reduce(|best, index| if values[index] > values[best] { index } else { best });
    best.unwrap_or(0) as u32
}

fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, StageError> {
    tensor
        .into_data()
        .try_into_vec_as()
        .map_err(|error| StageError::new(format!("a tensor cannot be read from the device: {error}")))
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

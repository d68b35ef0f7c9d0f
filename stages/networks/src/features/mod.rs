//! `kind = "features"`: the features of all images by a pretrained trunk, once for every training of a linear layer.
//!
//! A training with `freeze = "trunk"` and without augmentation sees the same pooled features in every epoch, and so do
//! those of all folds, seeds and learning rates. `train` takes them at its port `features` in place of its own.

mod params;
mod pooled;

#[cfg(test)]
pub(crate) mod tests;

use orchestrate_engine::stage::{Action, Content, Context, Facts, InputProblem, Output, PlannedNode, Port, Progress};
use orchestrate_engine::stage::{FileName, StageError, Weight};
use orchestrate_stages::artifact::{Features, ImageReader, Images, Origin, TEXT, Table};
use orchestrate_stages::planned_size::{at_port, planned_size};
use orchestrate_stages::threads::with_threads;
use orchestrate_stages::typed::{Adaptor, Typed};

use crate::device::{DEVICE_USE, device};
use crate::model::{Classifier, ModelName, digest};
use crate::training::{INIT_WEIGHTS, Init, told};

pub use params::{Params, Source};
pub(crate) use pooled::Pooled;

/// `kind = "features"`.
pub(crate) static STAGE: Adaptor<OfTrunk> = Adaptor::new();

/// The stage; see the module.
pub(crate) struct OfTrunk;

impl Typed for OfTrunk {
    const FACTS: Facts = Facts {
        ports: &[Port { name: "images", reads: &[Images::OUTPUT], optional: false, many: false }],
        outputs: &[Features::OUTPUT],
        artifacts: &[Features::FACTS],
        weight: Weight::Heavy,
        device: Some(DEVICE_USE),
        path_fields: &[INIT_WEIGHTS],
        check_inputs: Some(check_inputs),
        ..Facts::new(
            "features",
            1,
            "computes features of all images by a pretrained trunk, for trainings that freeze it",
        )
    };
    type Params = Params;

    fn files(params: &Params) -> Result<Vec<FileName>, Vec<String>> {
        Init::from(&params.init).files()
    }

    fn run(context: &Context<'_>, batch: &[(Params, &Action)]) -> Vec<Result<Vec<Output>, StageError>> {
        batch.iter().map(|(params, action)| run(params, context, action)).collect()
    }
}

/// Finds images that are too small before anything runs.
fn check_inputs(node: &dyn PlannedNode) -> Vec<InputProblem> {
    let params = serde_json::from_value::<Params>(node.params().clone()).ok();
    let Some((size, params)) = planned_size(node, "images").zip(params) else { return Vec::new() };
    at_port("images", params.model.check_size(size, size))
}

/// Computes the features of images in data set order.
///
/// Errors: images that are too small; weights that do not fit, or lack a part of the trunk; a trunk that gives NaN or
/// infinity, with the name of the image.
fn run(params: &Params, context: &Context<'_>, action: &Action) -> Result<Vec<Output>, StageError> {
    let item = action.one("images")?;
    let images = ImageReader::from_item(item)?;
    let Params { model, precision, batch_size, .. } = *params;
    model.check_size(images.height, images.width)?;
    let normalisation = params.normalisation()?;
    let trunk = Init::read(action, |name| model.is_of_trunk(name))?;
    let trunk = trunk.ok_or_else(|| StageError::new(format!("no file is given as `{INIT_WEIGHTS}`")))?;
    let device = device(context.device)?;
    precision.check(&device, trunk.tensors.keys())?;
    let network = Classifier::of_trunk(model, &trunk.tensors, &device).map_err(|error| misfit(model, &error))?;
    let network = network.with_precision(precision);
    let total = images.names.len();
    let each = |done: usize| {
        let message = format!("image {done}/{total}");
        (context.progress)(Progress { done: done as u64, total: total as u64, message });
    };
    let pooled = with_threads(context.threads, || {
        Pooled::compute(&network, &images, &normalisation, batch_size, &device, context.cancelled, each)
    })?;
    if let Some(bad) = pooled.values.iter().position(|value| !value.is_finite()) {
        let name = &images.names[bad / pooled.width];
        return Err(StageError::new(format!(
            "the trunk gives NaN or infinity for image `{name}`; check `{INIT_WEIGHTS}`, or take precision = \"f32\""
        )));
    }
    let origin = Origin {
        images: Origin::images_of(item)?,
        model: model.to_string(),
        trunk: digest(&trunk.tensors).to_string(),
        precision: precision.to_string(),
        normalisation: serde_json::to_string(&normalisation)
            .map_err(|error| StageError::new(format!("the normalisation cannot be written: {error}")))?,
    };
    let Pooled { values, width } = pooled;
    let mut output = Features { names: images.names, values, width, origin }.output()?;
    output.files.extend(told(&trunk).map(|told| (TEXT.to_owned(), Content::Bytes(format!("{told}\n").into_bytes()))));
    Ok(vec![output])
}

/// The error of weights that do not fit a trunk.
fn misfit(model: ModelName, error: &str) -> StageError {
    let added = if error.contains("`added.") {
        "; a training draws the convolutions that a file lacks and trains them, so their features are not fixed: give \
         the weights of a training, or take the model without them"
    } else {
        ""
    };
    StageError::new(format!("{INIT_WEIGHTS} does not fit model `{model}`: {error}{added}"))
}

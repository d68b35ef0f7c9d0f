//! Classifiers: a trunk with a head.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use orchestrate_stages::random::Seed;

use super::architecture::ModelName;
use super::head::{Head, pool};
use super::precision::Precision;
use super::tensors::{self, Tensors};
use super::trunk::Trunk;

/// Trunk → global average pooling → linear layer.
#[derive(Module, Debug)]
pub struct Classifier {
    trunk: Trunk,
    head: Head,
    #[module(skip)]
    precision: Precision,
}

impl Classifier {
    /// A classifier with zero weights.
    pub(super) fn zero(model: ModelName, classes: usize, device: &Device) -> Self {
        let architecture = model.architecture();
        let trunk = (architecture.trunk)(device);
        Self { trunk, head: Head::new(classes, architecture.features, device), precision: Precision::F32 }
    }

    /// A classifier with drawn weights: convolutions after He et al. 2015 (uniform, ±√(6 / fan-in)), the head uniform
    /// in ±√(1 / fan-in), biases zero; batch normalisation with scale 1, shift 0, running mean 0 and running variance
    /// 1.
    ///
    /// See `tensors::draw` for the streams of random numbers.
    pub fn drawn(model: ModelName, classes: usize, seed: &Seed, device: &Device) -> Self {
        tensors::draw(Self::zero(model, classes, device), seed, |name, [fan_in, _]| {
            let variance = if is_head(name) { 1.0 } else { 6.0 };
            variance / fan_in
        })
    }

    /// A classifier with all its tensors given; the error names tensors that do not fit.
    pub fn from_tensors(model: ModelName, classes: usize, tensors: &Tensors, device: &Device) -> Result<Self, String> {
        tensors::load(Self::zero(model, classes, device), tensors, |_| false, |_| false)
    }

    /// A pretrained trunk, whole, with a head of one class and zero weights; the error names tensors that do not fit.
    pub(crate) fn of_trunk(model: ModelName, tensors: &Tensors, device: &Device) -> Result<Self, String> {
        tensors::load(Self::zero(model, 1, device), tensors, is_head, |name| !model.is_of_trunk(name))
    }

    /// Replaces the trunk's weights by pretrained ones, or by those of another training; the head stays.
    ///
    /// A head among the tensors is ignored. Layers that a modified network adds stay as drawn, unless the tensors cover
    /// them. The error names tensors that are missing, misshapen or unexpected.
    pub fn with_trunk(self, model: ModelName, tensors: &Tensors) -> Result<Self, String> {
        let drawn = |name: &str| is_head(name) || (is_added(name) && !has_added(tensors));
        tensors::load(self, tensors, drawn, |name| !model.is_of_trunk(name))
    }

    /// Stops the training of the layers that [`Self::with_trunk`] took from these tensors.
    pub fn freeze_trunk(self, tensors: &Tensors) -> Self {
        let trunk = if has_added(tensors) { self.trunk.freeze() } else { self.trunk.freeze_pretrained() };
        Self { trunk, ..self }
    }

    /// Returns true if no layer of the trunk is trained.
    pub fn is_trunk_frozen(&self) -> bool {
        !tensors::is_trained(&self.trunk)
    }

    /// Sets the type in which the trunk is computed; its weights stay f32.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The feature map before pooling.
    ///
    /// - `images`: `[batch, channel, height, width]`, normalised
    /// - returns: `[batch, feature, h, w]`, f32 whatever the precision
    pub fn features(&self, images: Tensor<4>) -> Tensor<4> {
        self.precision.forward(&self.trunk, images, Trunk::forward)
    }

    /// Returns the layer from pooled features to classes.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Class scores before softmax, `[batch, class]`, for images `[batch, channel, height, width]`.
    pub fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        self.head.forward(pool(self.features(images)))
    }

    /// Returns all tensors by name.
    pub fn tensors(&self) -> Tensors {
        tensors::collect(self)
    }
}

fn is_head(name: &str) -> bool {
    name.starts_with("head.")
}

/// Returns true for tensors of the layers that a modified network adds.
fn is_added(name: &str) -> bool {
    name.starts_with("added.")
}

fn has_added(tensors: &Tensors) -> bool {
    tensors.keys().any(|name| is_added(name))
}

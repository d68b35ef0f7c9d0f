//! A trunk with a head.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::architecture::ModelName;
use super::head::{Head, pool};
use super::precision::Precision;
use super::tensors::{self, Tensors};
use super::{AlexNet, DenseNet, ResNet, SqueezeNet, Tiny, Vgg};
use orchestrate_stages::random::Seed;

/// Trunk → global average pooling → linear layer.
#[derive(Module, Debug)]
pub struct Classifier {
    trunk: Trunk,
    head: Head,
    #[module(skip)]
    precision: Precision,
}

/// The convolutional part of a classifier, by family.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "a classifier has one")]
pub enum Trunk {
    /// `tiny` and `tiny-modified`.
    Tiny(Tiny),
    /// `squeezenet1_1`.
    SqueezeNet(SqueezeNet),
    /// `vgg16`, `vgg19`, their modified ones, `vgg16_bn` and `vgg19_bn`.
    Vgg(Vgg),
    /// `resnet18`, `resnet34` and `resnet50`.
    ResNet(ResNet),
    /// `alexnet` and `modified-alexnet`.
    AlexNet(AlexNet),
    /// `densenet121`.
    DenseNet(DenseNet),
}

impl Trunk {
    fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Tiny(trunk) => trunk.forward(images),
            Self::SqueezeNet(trunk) => trunk.forward(images),
            Self::Vgg(trunk) => trunk.forward(images),
            Self::ResNet(trunk) => trunk.forward(images),
            Self::AlexNet(trunk) => trunk.forward(images),
            Self::DenseNet(trunk) => trunk.forward(images),
        }
    }

    /// Freezes all but what a modified network adds to the published one.
    fn freeze_published(self) -> Self {
        match self {
            Self::AlexNet(trunk) => Self::AlexNet(trunk.freeze_published()),
            Self::Vgg(trunk) => Self::Vgg(trunk.freeze_published()),
            other => other.freeze(),
        }
    }
}

impl Classifier {
    /// A classifier whose weights are zero.
    pub(super) fn zero(model: ModelName, classes: usize, device: &Device) -> Self {
        let architecture = model.architecture();
        let trunk = (architecture.trunk)(device);
        Self { trunk, head: Head::new(classes, architecture.features, device), precision: Precision::F32 }
    }

    /// A classifier whose weights are drawn: convolutions after He et al. 2015 (uniform, ±√(6 / fan-in)), the head uniform in
    /// ±√(1 / fan-in), biases zero; batch normalisation with scale 1, shift 0, running mean 0 and running variance 1.
    ///
    /// Every tensor has its own stream of random numbers, named after it: no other tensor, thread or training moves it.
    pub fn drawn(model: ModelName, classes: usize, seed: &Seed, device: &Device) -> Self {
        tensors::fill(Self::zero(model, classes, device), |name, shape| {
            // Vectors are biases, or scales and shifts of normalisation: their layers set them.
            let fan_in: usize = shape.get(1..).filter(|rest| !rest.is_empty())?.iter().product();
            let variance = if name.starts_with("head.") { 1.0 } else { 6.0 };
            let bound = (variance / fan_in as f64).sqrt();
            let mut generator = seed.generator("weights", name);
            let values = (0..shape.iter().product()).map(|_| ((2.0 * generator.unit() - 1.0) * bound) as f32);
            Some(values.collect())
        })
    }

    /// A classifier with all its tensors given; the error names every tensor that is missing, unexpected or misshapen.
    pub fn from_tensors(model: ModelName, classes: usize, tensors: &Tensors, device: &Device) -> Result<Self, String> {
        tensors::load(Self::zero(model, classes, device), tensors, |_| false, |_| false)
    }

    /// Replaces the trunk's weights by published ones, or by those of another training; the head stays.
    ///
    /// The file may have a head, which is passed over. What a modified network adds to the published one stays as drawn,
    /// unless the file has it. The error names every tensor that is missing, unexpected or misshapen.
    pub fn with_trunk(self, model: ModelName, tensors: &Tensors) -> Result<Self, String> {
        let drawn = |name: &str| is_head(name) || (is_added(name) && !has_added(tensors));
        tensors::load(self, tensors, drawn, |name| !model.is_of_trunk(name))
    }

    /// Stops from being trained what [`Self::with_trunk`] took from those tensors.
    pub fn freeze_trunk(self, tensors: &Tensors) -> Self {
        let trunk = if has_added(tensors) { self.trunk.freeze() } else { self.trunk.freeze_published() };
        Self { trunk, ..self }
    }

    /// Whether nothing of the trunk is trained.
    pub fn is_trunk_frozen(&self) -> bool {
        !tensors::is_trained(&self.trunk)
    }

    /// Computes the trunk in another type from now on; its weights stay f32.
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

    /// The layer from pooled features to classes.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Class scores before softmax, `[batch, class]`, for images `[batch, channel, height, width]`.
    pub fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        self.head.forward(pool(self.features(images)))
    }

    /// All tensors by name.
    pub fn tensors(&self) -> Tensors {
        tensors::collect(self)
    }
}

fn is_head(name: &str) -> bool {
    name.starts_with("head.")
}

/// Whether a tensor is one that a modified network adds to the published one.
fn is_added(name: &str) -> bool {
    name.starts_with("added.")
}

fn has_added(tensors: &Tensors) -> bool {
    tensors.keys().any(|name| is_added(name))
}

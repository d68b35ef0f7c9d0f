//! The registry of models: their names, and the facts about each that are known before it is built.

use std::borrow::Cow;
use std::fmt;

use burn::tensor::Device;
use orchestrate_engine::nearest;
use orchestrate_engine::stage::StageError;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::input::Normalisation;
use super::named::named;
use super::trunk::Trunk;
use super::{alexnet, densenet, resnet, squeezenet, tiny, vgg};

/// Every model, in the order in which error messages list them.
pub(super) static ARCHITECTURES: &[Architecture] = &[
    tiny::TINY,
    tiny::TINY_MODIFIED,
    squeezenet::SQUEEZENET1_1,
    alexnet::ALEXNET,
    vgg::VGG16,
    vgg::VGG19,
    alexnet::MODIFIED_ALEXNET,
    vgg::MODIFIED_VGG16,
    vgg::MODIFIED_VGG19,
    vgg::VGG16_BN,
    vgg::VGG19_BN,
    resnet::RESNET18,
    resnet::RESNET34,
    resnet::RESNET50,
    densenet::DENSENET121,
];

/// The architecture of a classifier.
#[derive(Debug)]
pub struct Architecture {
    /// The name of the model, as in `model = "tiny"`.
    pub name: &'static str,
    /// Channels of an input image: 1, or 3 for a trunk made for RGB images, with the grey level in each channel.
    pub channels: usize,
    /// Channels of the last feature map, before global average pooling.
    pub features: usize,
    /// The smallest height and width of an image, in pixels.
    pub size_min: usize,
    /// The input normalisation that the pretrained weights expect; `None`: mean and sd of the training images.
    pub normalisation: Option<fn() -> Normalisation>,
    /// The prefix of the head's tensors in a file of pretrained weights, to tell them from the trunk's.
    pub pretrained_head: &'static str,
    /// Builds the trunk with zero weights.
    pub trunk: fn(&Device) -> Trunk,
}

/// Facts that most of torchvision's networks, trained on ImageNet, share; an entry adds its name and its trunk.
pub(super) const IMAGE_NET: Architecture = Architecture {
    name: "",
    channels: 3,
    features: 512,
    size_min: 32,
    normalisation: Some(Normalisation::image_net),
    pretrained_head: "classifier.",
    trunk: |_| unreachable!("BUG: an architecture without a trunk"),
};

/// The name of a registered model.
#[derive(Clone, Copy, Debug)]
pub struct ModelName(&'static Architecture);

impl ModelName {
    /// Finds a model by name; the error lists the names and the nearest one.
    pub fn new(name: &str) -> Result<Self, String> {
        ARCHITECTURES.iter().find(|architecture| architecture.name == name).map(Self).ok_or_else(|| {
            let names: Vec<_> = ARCHITECTURES.iter().map(|architecture| architecture.name).collect();
            let hint = nearest(name, names.iter().copied()).map(|near| format!("; did you mean `{near}`?"));
            format!("unknown model `{name}`; models: {}{}", names.join(", "), hint.unwrap_or_default())
        })
    }

    /// Returns the facts about the model.
    pub fn architecture(&self) -> &'static Architecture {
        self.0
    }

    /// Returns true if the tensor `name` in a file of weights belongs to the trunk: neither to our own head nor to a
    /// pretrained one.
    pub fn is_of_trunk(self, name: &str) -> bool {
        !name.starts_with("head.") && !name.starts_with(self.0.pretrained_head)
    }

    /// Fails unless the model can take images of this size, in pixels.
    pub(crate) fn check_size(self, height: usize, width: usize) -> Result<(), StageError> {
        let min = self.0.size_min;
        if height.min(width) >= min {
            return Ok(());
        }
        Err(StageError::input(
            "images",
            format!("they are {height}×{width} pixels, but `{self}` needs at least {min}×{min}; raise `size`"),
        ))
    }
}

impl From<&'static Architecture> for ModelName {
    fn from(architecture: &'static Architecture) -> Self {
        Self(architecture)
    }
}

impl PartialEq for ModelName {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl JsonSchema for ModelName {
    fn schema_name() -> Cow<'static, str> {
        "ModelName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let about = |architecture: &Architecture| {
            let Architecture { features, size_min, .. } = architecture;
            format!("{features} maps before pooling; images of at least {size_min} × {size_min} pixels.")
        };
        let models = ARCHITECTURES.iter();
        let models = models.map(|model| serde_json::json!({ "const": model.name, "description": about(model) }));
        json_schema!({ "oneOf": models.collect::<Vec<_>>() })
    }
}

impl Serialize for ModelName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name)
    }
}

impl<'de> Deserialize<'de> for ModelName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        named(deserializer, "the name of a model", Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::ModelName;

    #[test]
    fn unknown_model_is_answered_with_all_names_and_the_nearest() {
        let error = serde_json::from_str::<ModelName>("\"tinny\"").expect_err("there is no tinny").to_string();
        let expected = "unknown model `tinny`; models: tiny, tiny-modified, squeezenet1_1, ";
        assert!(error.starts_with(expected) && error.contains("; did you mean `tiny`?"), "{error}");
    }

    #[test]
    fn names_survive_json() {
        let name = ModelName::new("squeezenet1_1").expect("it exists");
        let json = serde_json::to_string(&name).expect("a name is a text");
        assert_eq!(serde_json::from_str::<ModelName>(&json).expect("it was just written"), name);
    }
}

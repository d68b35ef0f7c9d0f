//! Mixed precision: the numbers of a network have 32 bits, or 16 bits in its trunk.
//!
//! With 16 bits, the images, every map of the trunk and a copy of its weights are rounded. All else stays f32: the
//! weights that the optimiser changes and that are stored, pooling, the linear layer, the loss and class activation
//! maps. Source: Micikevicius et al. 2018, Mixed precision training, arXiv 1710.03740.
//!
//! The smallest f16 is 6e-8, and most gradients of a mean loss are near it, so the trunk multiplies them by
//! [`F16_GRADIENT_SCALE`]. bf16 has the range of f32 and needs no scale.

use std::fmt;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, FloatDType, Tensor};
use orchestrate_engine::stage::StageError;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::named::named;

/// The factor that lifts gradients above the smallest f16; a gradient of 60 still stays below the largest, 65,504.
const F16_GRADIENT_SCALE: f32 = 1024.0;

/// The type of the numbers in a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    F32,
    /// The upper half of a 32-bit float: its range, eight bits of precision.
    Bf16,
    /// IEEE half precision: eleven bits of precision, up to 65,504.
    F16,
}

impl Precision {
    /// All types.
    pub const ALL: [Self; 3] = [Self::F32, Self::Bf16, Self::F16];

    /// Returns whether a device computes in this type.
    pub fn is_supported(self, device: &Device) -> bool {
        self.half().is_none_or(|dtype| device.supports_dtype(dtype))
    }

    /// Fails unless a device can compute a network in this type; `names` are those of its tensors.
    pub fn check<'a>(self, device: &Device, names: impl IntoIterator<Item = &'a String>) -> Result<(), StageError> {
        if self == Self::F32 {
            return Ok(());
        }
        let refused = |why: &str| Err(StageError::new(format!("precision = \"{self}\": {why}; use \"f32\"")));
        if !self.is_supported(device) {
            return refused("the device does not compute in this type");
        }
        if names.into_iter().any(|name| name.contains("running_mean")) {
            return refused("the network has batch normalisation, whose running statistics need f32");
        }
        Ok(())
    }

    /// Computes `forward` in this type, from images and to a map in f32; gradients reach the f32 weights of `network`.
    pub(crate) fn forward<M: Module>(
        self,
        network: &M,
        images: Tensor<4>,
        forward: impl FnOnce(&M, Tensor<4>) -> Tensor<4>,
    ) -> Tensor<4> {
        let Some(dtype) = self.half() else { return forward(network, images) };
        let scale = (self == Self::F16 && images.device().is_autodiff()).then_some(F16_GRADIENT_SCALE);
        let rounded = network.clone().map(&mut Round { dtype, gradient: scale.map(f32::recip) });
        let map = forward(&rounded, images.cast(dtype)).cast(FloatDType::F32);
        with_gradient(map, scale)
    }

    fn half(self) -> Option<FloatDType> {
        match self {
            Self::F32 => None,
            Self::Bf16 => Some(FloatDType::BF16),
            Self::F16 => Some(FloatDType::F16),
        }
    }
}

/// Returns the same tensor, with a gradient that is multiplied by a factor.
fn with_gradient<const D: usize>(tensor: Tensor<D>, factor: Option<f32>) -> Tensor<D> {
    let Some(factor) = factor else { return tensor };
    // The difference is zero, to the last bit; its derivative is not.
    let difference = tensor.clone() - tensor.clone().detach();
    tensor + difference.mul_scalar(factor - 1.0)
}

/// Rounds every tensor of a copy of a network.
struct Round {
    dtype: FloatDType,
    gradient: Option<f32>,
}

impl ModuleMapper for Round {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| with_gradient(tensor, self.gradient).cast(self.dtype))
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        })
    }
}

impl<'de> Deserialize<'de> for Precision {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        named(deserializer, "the name of a type of numbers: \"f32\", \"bf16\" or \"f16\"", |name| match name {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            "f16" => Ok(Self::F16),
            other => Err(format!("unknown precision `{other}`; use \"f32\", \"bf16\" or \"f16\"")),
        })
    }
}

#[cfg(test)]
mod tests;

//! Values of PyTorch and torchvision that tests compare with, and the formula that gives both the same weights and
//! images.

use burn::tensor::{Device, Tensor};
use serde::Deserialize;

use crate::model::{Normalisation, Tensors, Values, image_data};

/// The tolerance for torchvision's logits, features and class maps.
pub(crate) const TOLERANCE: f32 = 1e-4;

/// Some values of a tensor, evenly spaced.
#[derive(Deserialize)]
pub(crate) struct Sample {
    shape: Vec<usize>,
    step: usize,
    values: Vec<f32>,
}

impl Sample {
    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Returns the values of a tensor of this shape at the indices of the sample.
    pub(crate) fn pick(&self, values: &[f32]) -> Vec<f32> {
        values.iter().step_by(self.step).copied().collect()
    }

    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    pub(crate) fn assert_close<const D: usize>(&self, tensor: Tensor<D>, what: &str) {
        assert_eq!(tensor.dims().to_vec(), self.shape, "shape of {what}");
        let values: Vec<f32> = tensor.into_data().try_into_vec_as().expect("f32");
        assert_close(&self.pick(&values), &self.values, self.tolerance(), what);
    }

    /// Returns [`TOLERANCE`], or more for large numbers: 32 bits round sums of numbers in the hundreds by about as
    /// much.
    ///
    /// PyTorch's own features of the cat, up to 304, differ by 2e-4 from those that it computes in 64 bits.
    fn tolerance(&self) -> f32 {
        TOLERANCE.max(5e-6 * self.values.iter().fold(0.0, |largest: f32, value| largest.max(value.abs())))
    }
}

pub(crate) fn assert_close(ours: &[f32], theirs: &[f32], tolerance: f32, what: &str) {
    assert_eq!(ours.len(), theirs.len(), "number of {what}");
    for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        assert!((ours - theirs).abs() <= tolerance, "{what} {index}: {ours} here, {theirs} in PyTorch");
    }
}

/// Returns numbers in -1..1, the same as in `tests/reference/formula.py`: SplitMix64 from the FNV-1a hash of the name.
fn uniform(name: &str) -> impl Iterator<Item = f64> {
    let hash = name
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325_u64, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3));
    (1..).map(move |index: u64| {
        let z = hash.wrapping_add(index.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let z = z ^ (z >> 31);
        2.0 * (z >> 11) as f64 / (1_u64 << 53) as f64 - 1.0
    })
}

/// Returns a tensor from the formula: He-uniform with two or more axes, scales and variances around a number above 0,
/// other vectors ±0.1.
pub(crate) fn formula_tensor(name: &str, shape: &[usize]) -> Values {
    let fan_in: usize = shape[1..].iter().product();
    let (middle, bound) = match shape {
        [_] if name.ends_with("weight") => (1.0, 0.5),
        [_] if name.ends_with("running_var") && name.starts_with("layer") => (6.0, 2.0),
        [_] if name.ends_with("running_var") => (1.5, 0.5),
        [_] => (0.0, 0.1),
        _ => (0.0, (6.0 / fan_in as f64).sqrt()),
    };
    let values = uniform(name).take(shape.iter().product()).map(|value| (middle + value * bound) as f32);
    Values { shape: shape.to_vec(), values: values.collect() }
}

/// Replaces all tensors by those of the formula.
pub(crate) fn formula_tensors(tensors: &Tensors) -> Tensors {
    tensors.iter().map(|(name, tensor)| (name.clone(), formula_tensor(name, &tensor.shape))).collect()
}

/// Returns grey levels from the formula.
pub(crate) fn formula_image(name: &str, height: usize, width: usize) -> Vec<u8> {
    uniform(name).take(height * width).map(|value| ((value + 1.0) * 128.0) as u8).collect()
}

/// Normalises grey images, `[batch, height, width]`, to `[batch, channel, height, width]` on a device.
pub(crate) fn image_tensor(
    pixels: &[u8],
    height: usize,
    width: usize,
    normalisation: &Normalisation,
    device: &Device,
) -> Tensor<4> {
    Tensor::from_data(image_data(pixels, height, width, normalisation), device)
}

/// Returns the two images of `squeezenet.json`, normalised.
pub(crate) fn formula_images() -> Tensor<4> {
    let pixels = ["image 0", "image 1"].map(|name| formula_image(name, 64, 64)).concat();
    image_tensor(&pixels, 64, 64, &Normalisation::image_net(), &Device::flex())
}

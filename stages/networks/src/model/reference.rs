//! Against torchvision: `tests/reference/squeezenet.py` made `squeezenet.json` and `squeezenet_imagenet.json`.

use std::path::Path;

use burn::tensor::{Device, Tensor};
use serde::Deserialize;

use super::{Normalisation, SqueezeNet1000, Tensors, Values, image_tensor, read_safetensors};

/// What torchvision's logits, features and class maps may differ by.
const TOLERANCE: f32 = 1e-4;

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

    /// The values of a tensor of this shape at the places of the sample.
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

    /// [`TOLERANCE`], and more where numbers are large: 32 bits round sums of numbers in the hundreds by about as much. PyTorch's
    /// own features of the cat, up to 304, are 2e-4 from those that it computes in 64 bits.
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

#[derive(Deserialize)]
struct Reference {
    features: Sample,
    class_map: Sample,
    logits: Sample,
}

impl Reference {
    fn check(&self, network: &SqueezeNet1000, images: Tensor<4>) {
        let features = network.trunk().forward(images);
        self.features.assert_close(features.clone(), "trunk features");
        self.class_map.assert_close(network.class_map(features.clone()), "class map before the last ReLU");
        self.logits.assert_close(network.logits(features), "logits");
    }
}

/// Numbers in -1..1, the same as in `tests/reference/formula.py`: SplitMix64 from the FNV-1a hash of the name.
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

/// A tensor from the formula: He-uniform where it has two or more axes, scales and variances about a number above 0, other
/// vectors ±0.1.
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

/// Grey levels from the formula.
pub(crate) fn formula_image(name: &str, height: usize, width: usize) -> Vec<u8> {
    uniform(name).take(height * width).map(|value| ((value + 1.0) * 128.0) as u8).collect()
}

/// The two images of `squeezenet.json`, normalised.
pub(crate) fn formula_images() -> Tensor<4> {
    let pixels = ["image 0", "image 1"].map(|name| formula_image(name, 64, 64)).concat();
    image_tensor(&pixels, 64, 64, &Normalisation::image_net(), &Device::flex())
}

#[test]
fn squeezenet_with_random_weights_gives_torchvisions_features_class_maps_and_logits() {
    let reference: Reference =
        serde_json::from_str(include_str!("../../tests/reference/squeezenet.json")).expect("the script wrote it");
    let mut tensors = super::tensors::collect(&super::SqueezeNet::new(&Device::flex()));
    for (name, shape) in [("classifier.1.weight", vec![1000, 512, 1, 1]), ("classifier.1.bias", vec![1000])] {
        tensors.insert(name.to_owned(), Values { shape, values: Vec::new() });
    }
    let network = SqueezeNet1000::from_state_dict(&formula_tensors(&tensors), &Device::flex()).expect("all names fit");
    reference.check(&network, formula_images());
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says why")]
fn squeezenet_with_imagenet_weights_sees_torchvisions_cat() {
    #[derive(Deserialize)]
    struct Best {
        classes: Vec<i64>,
        logits: Vec<f32>,
    }
    #[derive(Deserialize)]
    struct Cat {
        #[serde(flatten)]
        reference: Reference,
        cat: Sample,
        best: Best,
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("../../shared/weights/squeezenet1_1-imagenet.safetensors");
    let Ok(bytes) = std::fs::read(&path) else {
        eprintln!("skipped: there is no {}", path.display());
        return;
    };
    let cat: Cat = serde_json::from_str(include_str!("../../tests/reference/squeezenet_imagenet.json"))
        .expect("the script wrote it");
    let picture = image::load_from_memory(include_bytes!("../../tests/reference/squeezenet_chelsea.png"));
    let picture = picture.expect("the script wrote it").into_luma8();

    let tensors = read_safetensors(&bytes).expect("a safetensors file of f32");
    let network = SqueezeNet1000::from_state_dict(&tensors, &Device::flex()).expect("torchvision's names");
    let images = image_tensor(picture.as_raw(), 224, 224, &Normalisation::image_net(), &Device::flex());
    cat.reference.check(&network, images.clone());
    let features = network.trunk().forward(images);
    let map: Tensor<2> = network.class_map(features.clone()).slice([0..1, 285..286]).reshape([13, 13]);
    cat.cat.assert_close(map, "class map of the Egyptian cat");
    let (logits, classes) = network.logits(features).topk_with_indices(5, 1);
    let classes: Vec<i64> = classes.into_data_as::<i64>().try_into_vec().expect("i64");
    let logits: Vec<f32> = logits.into_data().try_into_vec_as().expect("f32");
    assert_eq!(classes, cat.best.classes);
    assert_close(&logits, &cat.best.logits, TOLERANCE, "best logits");
}

//! SqueezeNet against torchvision: `tests/reference/squeezenet.py` made `squeezenet.json` and
//! `squeezenet_imagenet.json`.

use std::path::Path;

use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use serde::Deserialize;

use crate::model::conv::{Conv, conv};
use crate::model::sequential::Sequential;
use crate::model::squeezenet::squeezenet;
use crate::model::{Normalisation, Tensors, Values, collect, pool, read_safetensors, tensors};
use crate::testing::reference::{Sample, TOLERANCE, assert_close, formula_images, formula_tensors, image_tensor};

#[derive(Deserialize)]
struct Reference {
    features: Sample,
    class_map: Sample,
    logits: Sample,
}

impl Reference {
    fn check(&self, network: &SqueezeNet1000, images: Tensor<4>) {
        let features = network.trunk.forward(images);
        self.features.assert_close(features.clone(), "trunk features");
        self.class_map.assert_close(network.class_map(features.clone()), "class map before the last ReLU");
        self.logits.assert_close(network.logits(features), "logits");
    }
}

/// SqueezeNet 1.1 with torchvision's own head: 1×1 convolution to 1,000 classes, ReLU, global average pooling.
#[derive(Module, Debug)]
struct SqueezeNet1000 {
    trunk: Sequential,
    classifier: Conv,
}

impl SqueezeNet1000 {
    /// Builds it from a full state dict under torchvision's names; the error names every tensor that does not fit.
    fn from_state_dict(tensors: &Tensors, device: &Device) -> Result<Self, String> {
        let network = Self { trunk: squeezenet(device), classifier: conv([512, 1000], 1, 1, 0, device) };
        // torchvision's classifier is dropout, convolution, ReLU and pooling; only the convolution has tensors.
        let renamed =
            tensors.iter().map(|(name, values)| (name.replace("classifier.1.", "classifier."), values.clone()));
        tensors::load(network, &renamed.collect(), |_| false, |_| false)
    }

    /// The map of each class before the last ReLU, bias included, `[batch, 1000, h, w]`, from the trunk's features.
    fn class_map(&self, features: Tensor<4>) -> Tensor<4> {
        self.classifier.forward(features)
    }

    /// Class scores before softmax, `[batch, 1000]`, from the trunk's features.
    fn logits(&self, features: Tensor<4>) -> Tensor<2> {
        pool(relu(self.class_map(features)))
    }
}

#[test]
fn squeezenet_with_random_weights_gives_torchvisions_features_class_maps_and_logits() {
    let reference: Reference =
        serde_json::from_str(include_str!("../../../tests/reference/squeezenet.json")).expect("the script wrote it");
    let mut tensors = collect(&squeezenet(&Device::flex()));
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
    let cat: Cat = serde_json::from_str(include_str!("../../../tests/reference/squeezenet_imagenet.json"))
        .expect("the script wrote it");
    let picture = image::load_from_memory(include_bytes!("../../../tests/reference/squeezenet_chelsea.png"));
    let picture = picture.expect("the script wrote it").into_luma8();

    let tensors = read_safetensors(&bytes).expect("a safetensors file of f32");
    let network = SqueezeNet1000::from_state_dict(&tensors, &Device::flex()).expect("torchvision's names");
    let images = image_tensor(picture.as_raw(), 224, 224, &Normalisation::image_net(), &Device::flex());
    cat.reference.check(&network, images.clone());
    let features = network.trunk.forward(images);
    let map: Tensor<2> = network.class_map(features.clone()).slice([0..1, 285..286]).reshape([13, 13]);
    cat.cat.assert_close(map, "class map of the Egyptian cat");
    let (logits, classes) = network.logits(features).topk_with_indices(5, 1);
    let classes: Vec<i64> = classes.into_data_as::<i64>().try_into_vec().expect("i64");
    let logits: Vec<f32> = logits.into_data().try_into_vec_as().expect("f32");
    assert_eq!(classes, cat.best.classes);
    assert_close(&logits, &cat.best.logits, TOLERANCE, "best logits");
}

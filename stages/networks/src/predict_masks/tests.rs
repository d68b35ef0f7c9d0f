use burn::tensor::Device;
use orchestrate_engine::stage::Item;
use serde_json::{Value, json};

use super::*;
use crate::model::{Classifier, EncoderName, InitialWeights, ModelCard, ModelName, Normalisation, Precision, Unet};
use crate::testing::reference::image_tensor;
use crate::testing::{Bench, blobs};
use orchestrate_stages::artifact::Masks;
use orchestrate_stages::random::Seed;

type Inputs = (Images, Split, Weights<UnetCard>);

/// Images of 32×32 in folds 1, 2, 3, 1, 2, 3 and a network of random weights that has not seen fold 2.
fn inputs() -> Inputs {
    let (images, _, split): (Images, Masks, Split) = blobs(6, 32);
    let encoder = EncoderName::Vgg16;
    let card = UnetCard {
        encoder,
        height: 32,
        width: 32,
        normalisation: encoder.normalisation(),
        fold: 2,
        seed: 0,
        precision: Precision::F32,
        init: InitialWeights::Random,
    };
    let tensors = Unet::drawn(encoder, &Seed::new("test", 0, &[]), &Device::flex()).tensors();
    (images, split, Weights { card, tensors })
}

/// The inputs of the ports.
struct Stored {
    bench: Bench,
    inputs: [(&'static str, [Item; 1]); 3],
}

impl Stored {
    fn new((images, split, weights): &Inputs) -> Self {
        let bench = Bench::new();
        let weights = Item { labels: Vec::new(), files: bench.store(weights.output().unwrap()) };
        let inputs =
            [("images", [bench.item(images, &[])]), ("split", [bench.item(split, &[])]), ("weights", [weights])];
        Self { bench, inputs }
    }

    fn action(&self, params: &Value) -> Action {
        let inputs = self.inputs.each_ref().map(|(port, items)| (*port, items.as_slice()));
        self.bench.action(&params.to_string(), &inputs)
    }

    fn masks(&self, params: &Value) -> Result<PredictedMasks, StageError> {
        let outcome = self.bench.run(&STAGE, &[self.action(params)]).remove(0)?;
        Ok(self.bench.table(Ok(outcome)))
    }
}

#[test]
fn masks_of_the_unseen_fold_are_where_the_sigmoid_reaches_the_cut() {
    let inputs = inputs();
    let stored = Stored::new(&inputs);
    let found = stored.masks(&json!({})).unwrap();
    assert_eq!(found.names, ["1.png", "4.png"]);
    assert_eq!((found.labels.as_slice(), found.height, found.width), (&[1, 0][..], 32, 32));

    let device = Device::flex();
    let pixels = [1, 4].map(|image| &inputs.0.pixels[image * 1024..(image + 1) * 1024]).concat();
    let tensor = image_tensor(&pixels, 32, 32, &Normalisation::image_net(), &device);
    let logits: Vec<f32> = inputs.2.network(&device).unwrap().logits(tensor).into_data().try_into_vec_as().unwrap();
    let expected: Vec<u8> =
        logits.iter().map(|&logit| u8::from(1.0 / (1.0 + (-f64::from(logit)).exp()) >= 0.5)).collect();
    assert_eq!(found.pixels, expected);
    assert!(found.pixels.contains(&0) && found.pixels.contains(&1), "the cut divides this network's pixels");

    let all = stored.masks(&json!({"images": "all", "batch_size": 4})).unwrap();
    assert_eq!((all.names, all.pixels.len()), (inputs.0.names, 6 * 1024));
    assert_eq!(all.pixels[1024..2048], found.pixels[..1024]);
}

#[test]
fn a_batch_gives_each_cut_what_it_gets_alone() {
    let stored = Stored::new(&inputs());
    let params = [json!({"cut": 0.45}), json!({"cut": 0.55}), json!({"cut": 0.55, "images": "all"})];
    let batch: Vec<_> = params.iter().map(|params| stored.action(params)).collect();
    let outcomes = stored.bench.run(&STAGE, &batch);
    let together: Vec<PredictedMasks> = outcomes.into_iter().map(|outcome| stored.bench.table(outcome)).collect();
    for (params, together) in params.iter().zip(&together) {
        assert_eq!(stored.masks(params).unwrap(), *together);
    }
    let foreground = |masks: &PredictedMasks| masks.pixels.iter().map(|&pixel| u32::from(pixel)).sum::<u32>();
    assert!(foreground(&together[0]) > foreground(&together[1]));
}

#[test]
fn what_does_not_fit_together_is_refused_with_a_reason() {
    let good = inputs();
    let error = |params: Value, change: &dyn Fn(&mut Inputs)| {
        let mut inputs = good.clone();
        change(&mut inputs);
        Stored::new(&inputs).masks(&params).expect_err("it does not fit").to_string()
    };
    let table = [
        (
            error(json!({"fold": 1}), &|_| ()),
            "fold = 1, but the weights have not seen fold 2: they were trained on the images of fold 1",
        ),
        (
            error(json!({}), &|inputs| inputs.2.card.height = 64),
            "input `weights`: the network was trained on 64×32 pixels, but the images are 32×32",
        ),
        (
            error(json!({}), &|inputs| inputs.1.names[0] = "else.png".to_owned()),
            "input `split`: it was made for other images",
        ),
        (error(json!({}), &|inputs| inputs.1.folds.fill(1)), "fold 2 does not exist: the split has folds 1 to 1"),
        (
            error(json!({}), &|inputs| drop(inputs.2.tensors.remove("segmentation_head.0.bias"))),
            "`weights.safetensors` does not fit a U-Net with encoder `vgg16`: `segmentation_head.0.bias` [1] is \
             missing",
        ),
        (
            error(json!({}), &|inputs| {
                inputs.2.tensors.get_mut("segmentation_head.0.bias").unwrap().values[0] = f32::NAN;
            }),
            "the network gives NaN or infinity for image `1.png`",
        ),
    ];
    for (found, expected) in table {
        assert!(found.starts_with(expected), "{found}");
    }
    let error = stored_check("cut = 1.0");
    assert_eq!(error, "1.0: `cut` must be below 1, not 1.0");
}

fn stored_check(toml: &'static str) -> String {
    Bench::new().check(&STAGE, toml).expect_err("it is out of range")
}

#[test]
fn a_classifier_predicts_no_masks_and_a_unet_has_no_activation_map() {
    let inputs = inputs();
    let unet = Stored::new(&inputs);
    let error = unet.bench.run(&crate::cam::STAGE, &[unet.action(&json!({}))]).remove(0).expect_err("a U-Net");
    assert!(
        error.to_string().starts_with("input `weights`: they are those of a U-Net, which has no class activation map")
    );

    let model = ModelName::new("tiny").unwrap();
    let tensors = Classifier::drawn(model, 2, &Seed::new("test", 0, &[]), &Device::flex()).tensors();
    let card = ModelCard {
        model,
        classes: inputs.1.classes.clone(),
        height: 32,
        width: 32,
        normalisation: Normalisation { mean: vec![0.5], sd: vec![0.3] },
        fold: 2,
        seed: 0,
        precision: Precision::F32,
        init: InitialWeights::Random,
    };
    let mut stored = unet;
    let weights = stored.bench.store(Weights { card, tensors }.output().unwrap());
    stored.inputs[2].1 = [Item { labels: Vec::new(), files: weights }];
    let error = stored.masks(&json!({})).expect_err("a classifier").to_string();
    assert!(error.starts_with("input `weights`: they are those of a classifier, which predicts no masks"), "{error}");
}

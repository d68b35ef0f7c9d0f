//! Times steps of training, or class activation maps, with random weights on random images. See `benches/README.md`.
//!
//! `orchestrate-network train|cam MODEL SIZE BATCH THREADS STEPS` prints the milliseconds of each step after the first,
//! and last the peak memory of the process in MB.

#![expect(clippy::print_stdout, reason = "the output is the result")]

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor, TensorData};
use orchestrate_convolution::Adam;
use orchestrate_networks::cam::class_activation_map;
use orchestrate_networks::device::{CPU, device, environment};
use orchestrate_networks::model::{Classifier, EncoderName, ModelName, Unet, pool};
use orchestrate_networks::segment::Loss;
use orchestrate_stages::random::Seed;
use orchestrate_stages::threads::with_threads;

/// Classes, as in Cheng's data set.
const CLASSES: usize = 3;
/// The name of the U-Net among the models.
const UNET: &str = "unet-vgg16";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let variables = environment(CPU);
    if variables.iter().any(|(name, _)| std::env::var_os(name).is_none()) {
        // Workers start with these variables, so this process restarts itself with them.
        let mut again = Command::new(std::env::current_exe()?);
        let status = again.args(&arguments).envs(variables).status().context("the program cannot start itself")?;
        std::process::exit(status.code().unwrap_or(1));
    }
    let [mode, model, size, batch, threads, steps] = arguments.as_slice() else {
        bail!("usage: orchestrate-network train|cam MODEL SIZE BATCH THREADS STEPS");
    };
    let number = |text: &str| text.parse::<usize>().with_context(|| format!("`{text}` is no number"));
    let (size, batch, steps) = (number(size)?, number(batch)?, number(steps)?);
    let bench = Bench { size, batch, steps };
    let classifier = || ModelName::new(model).map_err(anyhow::Error::msg);
    let threads = number(threads)?;
    let times = match (mode.as_str(), model.as_str()) {
        ("train", UNET) => with_threads(threads, || Ok(bench.train_unet(&device(CPU)?.autodiff())))?,
        ("train", _) => {
            let model = classifier()?;
            with_threads(threads, || Ok(bench.train(model, &device(CPU)?.autodiff())))?
        }
        ("cam", _) => {
            let model = classifier()?;
            with_threads(threads, || Ok(bench.cam(model, &device(CPU)?)))?
        }
        (other, _) => bail!("`{other}` is neither `train` nor `cam`"),
    };
    for time in &times[1..] {
        println!("{time:.3}");
    }
    println!("{:.0}", peak_mb()?);
    Ok(())
}

struct Bench {
    size: usize,
    batch: usize,
    steps: usize,
}

impl Bench {
    /// Times a step of training, as the stage `train` does it.
    fn train(&self, model: ModelName, device: &Device) -> Vec<f64> {
        let seed = seed();
        let labels: Vec<i64> = (0..self.batch).map(|image| (image % CLASSES) as i64).collect();
        let images = self.images(model.architecture().channels, &seed);
        let loss = CrossEntropyLossConfig::new().init(device);
        self.fit(Classifier::drawn(model, CLASSES, &seed, device), |classifier| {
            let logits = classifier.logits(Tensor::from_data(images.clone(), device));
            loss.forward(logits, Tensor::from_data(TensorData::new(labels.clone(), [self.batch]), device))
        })
    }

    /// Times a step of training of a U-Net, as the stage `segment` does it.
    fn train_unet(&self, device: &Device) -> Vec<f64> {
        let seed = seed();
        let images = self.images(3, &seed);
        let masks = Tensor::<4>::from_data(self.images(1, &seed), device).greater_elem(0.0).float();
        self.fit(Unet::drawn(EncoderName::Vgg16, &seed, device), |unet| {
            Loss::Dice.forward(unet.logits(Tensor::from_data(images.clone(), device)), masks.clone())
        })
    }

    /// Times steps of Adam on the loss of a batch.
    fn fit<M: Module>(&self, mut network: M, loss: impl Fn(&M) -> Tensor<1>) -> Vec<f64> {
        let mut optimizer = ModuleOptimizer::from(Adam::new(1e-8, 0.0));
        self.times(|| {
            let loss = loss(&network);
            let gradients = GradientsParams::from_grads(loss.backward(), &network);
            network = optimizer.step(1e-4, network.clone(), gradients);
            loss.into_scalar::<f32>()
        })
    }

    /// Times the maps of one batch, as the stage `cam` makes them.
    fn cam(&self, model: ModelName, device: &Device) -> Vec<f64> {
        let seed = seed();
        let classifier = Classifier::drawn(model, CLASSES, &seed, device);
        let images = self.images(model.architecture().channels, &seed);
        let classes: Vec<u32> = (0..self.batch).map(|image| (image % CLASSES) as u32).collect();
        self.times(|| {
            let features = classifier.features(Tensor::from_data(images.clone(), device));
            let logits = classifier.head().forward(pool(features.clone()));
            let probability = softmax(logits, 1).max().into_scalar::<f32>();
            let maps = class_activation_map(features, classifier.head().class_weights(), &classes);
            probability + maps.into_data().num_elements() as f32
        })
    }

    /// Draws images `[batch, channel, size, size]`, uniform from −1 to 1.
    fn images(&self, channels: usize, seed: &Seed) -> TensorData {
        let shape = [self.batch, channels, self.size, self.size];
        let mut generator = seed.generator("images", "");
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| (2.0 * generator.unit() - 1.0) as f32).collect();
        TensorData::new(values, shape)
    }

    /// Returns the milliseconds of all steps, and of one before them that is not counted.
    fn times(&self, mut step: impl FnMut() -> f32) -> Vec<f64> {
        let timed = |_| {
            let began = Instant::now();
            let result = step();
            assert!(result.is_finite(), "the network gave {result}");
            began.elapsed().as_secs_f64() * 1000.0
        };
        (0..=self.steps).map(timed).collect()
    }
}

fn seed() -> Seed {
    Seed::new("bench", 0, &[])
}

/// Reads the peak memory of the process from `/proc`.
fn peak_mb() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status").context("/proc/self/status cannot be read")?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("the kernel tells no peak memory")?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes / 1000.0)
}

//! U-Net for one class. Source: Ronneberger et al. 2015, arXiv 1505.04597, as segmentation_models_pytorch builds it.
//!
//! An [`Encoder`] of depth 5; a decoder of five blocks with 256, 128, 64, 32 and 16 channels, each nearest-neighbour up-sampling
//! by 2, the encoder's map of that size beside it, and twice 3×3 convolution, batch normalisation, ReLU; a 3×3 convolution to
//! one logit a pixel. A VGG encoder has two more such convolutions before the first block. The tensors have the names of
//! segmentation_models_pytorch.

use burn::module::Module;
use burn::nn::Relu;
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Tensor};

use super::batch_norm::BatchNorm;
use super::encoder::{Encoder, EncoderName};
use super::layer::{self, Layer, conv, conv_unbiased};
use super::tensors::{self, Tensors};
use orchestrate_stages::random::Seed;

/// Channels that each block of the decoder gives.
const DECODER_CHANNELS: [usize; Encoder::MAPS] = [256, 128, 64, 32, 16];

/// What the names of the encoder's tensors begin with.
const ENCODER: &str = "encoder.";

/// Encoder, decoder and head.
#[derive(Module, Debug)]
pub struct Unet {
    encoder: Encoder,
    decoder: Decoder,
    segmentation_head: Vec<Layer>,
}

#[derive(Module, Debug)]
struct Decoder {
    center: Vec<Vec<Layer>>,
    blocks: Vec<Block>,
}

#[derive(Module, Debug)]
struct Block {
    conv1: Vec<Layer>,
    conv2: Vec<Layer>,
}

impl Unet {
    /// Height and width of an image must be multiples of it, or maps of the decoder and the encoder would not fit together.
    pub const SIZE_MULTIPLE: usize = 1 << Encoder::MAPS;

    /// A network whose weights are zero.
    fn zero(encoder: EncoderName, device: &Device) -> Self {
        let [.., last] = DECODER_CHANNELS;
        Self {
            encoder: Encoder::new(encoder, device),
            decoder: Decoder::new(encoder, device),
            segmentation_head: vec![Layer::Conv(conv([last, 1], 3, 1, 1, device))],
        }
    }

    /// A network whose weights are drawn: convolutions after He et al. 2015 (uniform, ±√(6 / fan-in)), the head after Glorot and
    /// Bengio 2010 (uniform, ±√(6 / (fan-in + fan-out))), biases zero, scales one.
    ///
    /// Every tensor has its own stream of random numbers, named after it.
    pub fn drawn(encoder: EncoderName, seed: &Seed, device: &Device) -> Self {
        tensors::fill(Self::zero(encoder, device), |name, shape| {
            // Vectors are biases, or scales, shifts and running statistics of normalisation: their layers set them.
            let places: usize = shape.get(2..).filter(|kernel| !kernel.is_empty())?.iter().product();
            let (fan_in, fan_out) = ((shape[1] * places) as f64, (shape[0] * places) as f64);
            let fan = if name.starts_with("segmentation_head.") { fan_in + fan_out } else { fan_in };
            let bound = (6.0 / fan).sqrt();
            let mut generator = seed.generator("weights", name);
            let values = (0..shape.iter().product()).map(|_| ((2.0 * generator.unit() - 1.0) * bound) as f32);
            Some(values.collect())
        })
    }

    /// A network with all its tensors given; the error names every tensor that is missing, unexpected or misshapen.
    pub fn from_tensors(encoder: EncoderName, tensors: &Tensors, device: &Device) -> Result<Self, String> {
        tensors::load(Self::zero(encoder, device), tensors, |_| false, is_counter)
    }

    /// Replaces weights by published ones.
    ///
    /// - `tensors`: torchvision's state dict of a classifier, or weights that `train` gave, for the encoder (a head in it is passed
    ///   over); or a state dict of a whole U-Net of segmentation_models_pytorch
    ///
    /// The error names every tensor that is missing, unexpected or misshapen.
    pub fn with_pretrained(self, encoder: EncoderName, tensors: &Tensors) -> Result<Self, String> {
        if tensors.keys().any(|name| name.starts_with(ENCODER)) {
            return tensors::load(self, tensors, |_| false, is_counter);
        }
        let of_encoder = tensors.iter().filter(|(name, _)| !encoder.is_head(name) && !is_counter(name));
        let named = of_encoder.map(|(name, values)| (format!("{ENCODER}{name}"), values.clone())).collect();
        tensors::load(self, &named, |name| !name.starts_with(ENCODER), |_| false)
    }

    /// Stops the encoder from being trained; its batch normalisation then uses the running statistics.
    pub fn freeze_encoder(self) -> Self {
        Self { encoder: self.encoder.freeze(), ..self }
    }

    /// One logit a pixel: above 0 where the network rather sees foreground.
    ///
    /// - `images`: `[batch, 3, height, width]`, normalised, height and width multiples of [`Unet::SIZE_MULTIPLE`]
    /// - returns: `[batch, 1, height, width]`
    pub fn logits(&self, images: Tensor<4>) -> Tensor<4> {
        layer::forward(&self.segmentation_head, self.decoder.forward(self.encoder.maps(images)))
    }

    /// All tensors by name, running statistics of batch normalisation too.
    pub fn tensors(&self) -> Tensors {
        tensors::collect(self)
    }
}

impl Decoder {
    fn new(encoder: EncoderName, device: &Device) -> Self {
        let maps = encoder.channels();
        let [.., deepest] = maps;
        let center = if encoder.has_center() {
            vec![convolution(deepest, deepest, device), convolution(deepest, deepest, device)]
        } else {
            Vec::new()
        };
        // From the deepest map upwards; the last block has no map beside it.
        let skips = maps.iter().rev().skip(1).copied().chain([0]);
        let mut channels = deepest;
        let blocks = skips.zip(DECODER_CHANNELS).map(|(skip, units)| {
            let conv1 = convolution(channels + skip, units, device);
            channels = units;
            Block { conv1, conv2: convolution(units, units, device) }
        });
        Self { blocks: blocks.collect(), center }
    }

    /// `maps` as [`Encoder::maps`] gives them; returns `[batch, 16, height, width]` at twice the size of the first.
    fn forward(&self, mut maps: Vec<Tensor<4>>) -> Tensor<4> {
        let deepest = maps.pop().expect("an encoder gives five maps");
        let map = self.center.iter().fold(deepest, |map, layers| layer::forward(layers, map));
        self.blocks.iter().fold(map, |map, block| block.forward(map, maps.pop()))
    }
}

impl Block {
    fn forward(&self, map: Tensor<4>, skip: Option<Tensor<4>>) -> Tensor<4> {
        let [_, _, height, width] = map.dims();
        let nearest = InterpolateOptions::new(InterpolateMode::Nearest).with_output_size([2 * height, 2 * width]);
        let map = interpolate(map, nearest);
        let map = match skip {
            Some(skip) => Tensor::cat(vec![map, skip], 1),
            None => map,
        };
        layer::forward(&self.conv2, layer::forward(&self.conv1, map))
    }
}

/// 3×3 convolution, batch normalisation, ReLU.
fn convolution(channels: usize, units: usize, device: &Device) -> Vec<Layer> {
    vec![
        Layer::Conv(conv_unbiased([channels, units], 3, 1, 1, device)),
        Layer::Norm(BatchNorm::new(units, device)),
        Layer::Relu(Relu),
    ]
}

/// Whether PyTorch counts batches in a tensor, which nothing reads.
fn is_counter(name: &str) -> bool {
    name.ends_with(".num_batches_tracked")
}

#[cfg(test)]
mod tests;

//! U-Net for one class. Source: Ronneberger et al. 2015, arXiv 1505.04597, as segmentation_models_pytorch builds it.
//!
//! - An encoder of depth 5, see [`EncoderName`].
//! - A decoder of five blocks with 256, 128, 64, 32 and 16 channels. Each block up-samples by 2 to the nearest
//!   neighbour, appends the encoder's map of that size, then applies 3×3 convolution, batch normalisation and ReLU,
//!   twice. After a VGG encoder, two more such convolutions precede the first block.
//! - A 3×3 convolution to one logit per pixel.
//!
//! The tensors have the names of segmentation_models_pytorch.

use burn::module::Module;
use burn::nn::Relu;
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Tensor};
use orchestrate_stages::random::Seed;

use super::batch_norm::BatchNorm;
use super::conv::{conv, conv_unbiased};
use super::encoder::{EncoderName, MAPS};
use super::layer::{self, Layer};
use super::tensors::{self, Tensors};
use super::trunk::Trunk;

/// Output channels of each block of the decoder.
const DECODER_CHANNELS: [usize; MAPS] = [256, 128, 64, 32, 16];

/// The prefix of the encoder's tensors.
const ENCODER: &str = "encoder.";

/// Encoder, decoder and head.
#[derive(Module, Debug)]
pub struct Unet {
    encoder: Trunk,
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
    /// Height and width of an image must be multiples of this, or the maps of decoder and encoder would differ in size.
    pub const SIZE_MULTIPLE: usize = 1 << MAPS;

    /// A network with zero weights.
    fn zero(encoder: EncoderName, device: &Device) -> Self {
        let [.., last] = DECODER_CHANNELS;
        Self {
            encoder: (encoder.architecture().trunk)(device),
            decoder: Decoder::new(encoder, device),
            segmentation_head: vec![Layer::Conv(conv([last, 1], 3, 1, 1, device))],
        }
    }

    /// A network with drawn weights: convolutions after He et al. 2015 (uniform, ±√(6 / fan-in)), the head after Glorot
    /// and Bengio 2010 (uniform, ±√(6 / (fan-in + fan-out))), biases zero, scales one.
    ///
    /// See `tensors::draw` for the streams of random numbers.
    pub fn drawn(encoder: EncoderName, seed: &Seed, device: &Device) -> Self {
        tensors::draw(Self::zero(encoder, device), seed, |name, [fan_in, fan_out]| {
            let fan = if name.starts_with("segmentation_head.") { fan_in + fan_out } else { fan_in };
            6.0 / fan
        })
    }

    /// A network with all its tensors given; the error names tensors that do not fit.
    pub fn from_tensors(encoder: EncoderName, tensors: &Tensors, device: &Device) -> Result<Self, String> {
        tensors::load(Self::zero(encoder, device), tensors, |_| false, is_counter)
    }

    /// Replaces weights by pretrained ones.
    ///
    /// - `tensors`: for the encoder, torchvision's state dict of a classifier or weights by `train`, whose head is
    ///   ignored; or the state dict of a whole U-Net of segmentation_models_pytorch
    ///
    /// The error names tensors that are missing, misshapen or unexpected.
    pub fn with_pretrained(self, encoder: EncoderName, tensors: &Tensors) -> Result<Self, String> {
        if tensors.keys().any(|name| name.starts_with(ENCODER)) {
            return tensors::load(self, tensors, |_| false, is_counter);
        }
        let of_encoder = tensors.iter().filter(|(name, _)| !encoder.is_head(name) && !is_counter(name));
        let named = of_encoder.map(|(name, values)| (format!("{ENCODER}{name}"), values.clone())).collect();
        tensors::load(self, &named, |name| !name.starts_with(ENCODER), |_| false)
    }

    /// Stops the training of the encoder; its batch normalisation then uses the running statistics.
    pub fn freeze_encoder(self) -> Self {
        Self { encoder: self.encoder.freeze(), ..self }
    }

    /// Computes one logit per pixel, above 0 for foreground.
    ///
    /// - `images`: `[batch, 3, height, width]`, normalised, height and width multiples of [`Unet::SIZE_MULTIPLE`]
    /// - returns: `[batch, 1, height, width]`
    pub fn logits(&self, images: Tensor<4>) -> Tensor<4> {
        layer::forward(&self.segmentation_head, self.decoder.forward(self.encoder.maps(images)))
    }

    /// Returns all tensors by name, with the running statistics of batch normalisation.
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
        // From the deepest map upwards; the last block gets no map of the encoder.
        let skips = maps.iter().rev().skip(1).copied().chain([0]);
        let mut channels = deepest;
        let blocks = skips.zip(DECODER_CHANNELS).map(|(skip, units)| {
            let conv1 = convolution(channels + skip, units, device);
            channels = units;
            Block { conv1, conv2: convolution(units, units, device) }
        });
        Self { blocks: blocks.collect(), center }
    }

    /// From the maps of [`Trunk::maps`] to `[batch, 16, height, width]`, at twice the size of the first map.
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

/// Returns true for tensors in which PyTorch counts batches, and which nothing reads.
fn is_counter(name: &str) -> bool {
    name.ends_with(".num_batches_tracked")
}

#[cfg(test)]
mod tests;

//! Batch normalisation, and what often follows: the sum with another map, and a ReLU.
//!
//! Burn computes each step for the whole map, on one thread. Here one thread computes a channel from start to end,
//! while it is in the cache.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::activation::relu;
use burn::tensor::{DType, Tensor, module};
use rayon::prelude::*;

use crate::channel::{self, Affine, Moments, Statistics};
use crate::kernel::Cpu;
use crate::operation::{finish, numbers, tensor};

/// The operations after a normalisation.
#[derive(Clone, Debug, Default)]
pub struct After {
    /// A map of the same shape that is added.
    pub added: Option<Tensor<4>>,
    /// Replaces numbers below zero by zero, after the addition.
    pub relu: bool,
}

impl After {
    fn apply(self, output: Tensor<4>) -> Tensor<4> {
        let output = self.added.into_iter().fold(output, |output, added| output + added);
        if self.relu { relu(output) } else { output }
    }
}

/// A map that was normalised by its own statistics.
#[derive(Clone, Debug)]
pub struct Normalised {
    /// `[batch, channel, height, width]`.
    pub output: Tensor<4>,
    /// `[channel]`, without a gradient.
    pub mean: Tensor<1>,
    /// The biased variance, `[channel]`, without a gradient.
    pub variance: Tensor<1>,
}

/// Normalises a map channel by channel by given statistics.
///
/// - `input`: `[batch, channel, height, width]`
/// - `parameters`: weight and bias, `[channel]`
/// - `statistics`: mean and variance, `[channel]`
/// - `epsilon`: added to the variance
pub fn batch_norm(
    input: Tensor<4>,
    parameters: [Tensor<1>; 2],
    statistics: [Tensor<1>; 2],
    epsilon: f64,
    after: After,
) -> Tensor<4> {
    let tensors = parameters.iter().chain(&statistics);
    if let Some(norm) = Norm::new(&input, tensors, &after, epsilon) {
        let vectors = parameters.each_ref().map(plain);
        let plain_statistics = statistics.each_ref().map(plain);
        let added = after.added.as_ref().map(plain);
        if let (Some(input), [Some(weight), Some(bias)], [Some(mean), Some(variance)], None | Some(Some(_))) =
            (plain(&input), vectors, plain_statistics, &added)
        {
            let (mean, variance) = (numbers(&mean).to_vec(), numbers(&variance).to_vec());
            let statistics = Statistics { mean, variance };
            let output = norm.apply(&input, [&weight, &bias], added.flatten().as_ref(), &statistics);
            return Tensor::from_primitive::<Flex>(output);
        }
    }
    let ([weight, bias], [mean, variance]) = (parameters, statistics);
    after.apply(module::batch_norm(input, weight, bias, mean, variance, epsilon))
}

/// Normalises a map channel by channel by the mean and the biased variance of all its pixels, with gradients.
///
/// See [`batch_norm`] for the arguments.
pub fn batch_norm_train(input: Tensor<4>, parameters: [Tensor<1>; 2], epsilon: f64, after: After) -> Normalised {
    if let Some(norm) = Norm::new(&input, parameters.iter(), &after, epsilon) {
        let [weight, bias] = parameters.each_ref().map(tracked);
        let added = after.added.as_ref().map(tracked);
        if let (Some(input), Some(weight), Some(bias), None | Some(Some(_))) = (tracked(&input), weight, bias, &added) {
            return norm.train(input, [weight, bias], added.flatten());
        }
    }
    let [weight, bias] = parameters;
    let normalised = module::batch_norm_train(input, weight, bias, epsilon);
    let (mean, variance) = (normalised.mean, normalised.variance);
    Normalised { output: after.apply(normalised.output), mean, variance }
}

type Tracked = FloatTensor<Autodiff<Flex>>;

fn plain<const D: usize>(tensor: &Tensor<D>) -> Option<FlexTensor> {
    tensor.clone().try_into_primitive::<Flex>().ok().map(|tensor| tensor.to_contiguous())
}

fn tracked<const D: usize>(tensor: &Tensor<D>) -> Option<Tracked> {
    tensor.clone().try_into_primitive::<Autodiff<Flex>>().ok()
}

/// A normalisation that this crate computes.
#[derive(Clone, Copy, Debug)]
struct Norm {
    cpu: Cpu,
    shape: [usize; 4],
    epsilon: f32,
    relu: bool,
}

impl Norm {
    /// Returns `None` if Burn must compute the normalisation, or refuse it.
    fn new<'a>(
        input: &Tensor<4>,
        mut vectors: impl Iterator<Item = &'a Tensor<1>>,
        after: &After,
        epsilon: f64,
    ) -> Option<Self> {
        let cpu = Cpu::detect()?;
        let shape = input.dims();
        let added = after.added.as_ref();
        let fits = shape.iter().all(|&size| size > 0)
            && input.dtype() == DType::F32
            && added.is_none_or(|added| added.dims() == shape && added.dtype() == DType::F32)
            && vectors.all(|vector| vector.dims() == [shape[1]] && vector.dtype() == DType::F32);
        fits.then_some(Self { cpu, shape, epsilon: epsilon as f32, relu: after.relu })
    }

    fn plane(&self) -> usize {
        self.shape[2] * self.shape[3]
    }

    /// Returns the planes of each channel.
    fn channels<'a>(&self, map: &'a [f32]) -> Vec<Vec<&'a [f32]>> {
        let channels = self.shape[1];
        let of_channel = |channel| map.chunks_exact(self.plane()).skip(channel).step_by(channels).collect();
        (0..channels).map(of_channel).collect()
    }

    fn channels_mut<'a>(&self, map: &'a mut [f32]) -> Vec<Vec<&'a mut [f32]>> {
        let mut channels: Vec<Vec<&mut [f32]>> =
            (0..self.shape[1]).map(|_| Vec::with_capacity(self.shape[0])).collect();
        for (index, plane) in map.chunks_exact_mut(self.plane()).enumerate() {
            channels[index % self.shape[1]].push(plane);
        }
        channels
    }

    fn statistics(&self, input: &FlexTensor) -> Statistics {
        let planes = self.channels(numbers(input));
        let of_channel = |planes: &Vec<&[f32]>| self.cpu.run(Moments { planes });
        let (mean, variance) = planes.par_iter().map(of_channel).unzip();
        Statistics { mean, variance }
    }

    fn apply(
        &self,
        input: &FlexTensor,
        [weight, bias]: [&FlexTensor; 2],
        added: Option<&FlexTensor>,
        statistics: &Statistics,
    ) -> FlexTensor {
        let (weight, bias) = (numbers(weight), numbers(bias));
        let inputs = self.channels(numbers(input));
        let added = added.map(|added| self.channels(numbers(added)));
        let mut output = vec![0.0; self.shape.iter().product()];
        self.channels_mut(&mut output).into_par_iter().zip(&inputs).enumerate().for_each(
            |(channel, (outputs, inputs))| {
                let added = added.as_ref().map(|added| &added[channel][..]);
                let (mean, std) = statistics.of_channel(channel, self.epsilon);
                let [weight, bias] = [weight[channel], bias[channel]];
                self.cpu.run(Affine { inputs, added, outputs, mean, std, weight, bias, relu: self.relu });
            },
        );
        tensor(output, self.shape)
    }

    fn train(self, input: Tracked, parameters: [Tracked; 2], added: Option<Tracked>) -> Normalised {
        let (input, input_node) = input.into_parts();
        let input = input.to_contiguous();
        let [(weight, weight_node), (bias, bias_node)] = parameters.map(Tracked::into_parts);
        let weight = weight.to_contiguous();
        let (added, added_node) = added.map(Tracked::into_parts).unzip();
        let added = added.map(|added| added.to_contiguous());
        let statistics = self.statistics(&input);
        let output = self.apply(&input, [&weight, &bias.to_contiguous()], added.as_ref(), &statistics);
        let vector = |numbers: &[f32]| {
            Tensor::from_primitive::<Autodiff<Flex>>(Tracked::new(tensor(numbers.to_vec(), [self.shape[1]])))
        };
        let (mean, variance) = (vector(&statistics.mean), vector(&statistics.variance));
        let saved = Saved { norm: self, input, weight, statistics, output: self.relu.then(|| output.clone()) };
        let output = match added_node {
            Some(added_node) => finish(Gradient, [input_node, weight_node, bias_node, added_node], saved, output),
            None => finish(Gradient, [input_node, weight_node, bias_node], saved, output),
        };
        Normalised { output: Tensor::from_primitive::<Autodiff<Flex>>(output), mean, variance }
    }
}

/// The tensors that gradients are computed from.
#[derive(Clone, Debug)]
struct Saved {
    norm: Norm,
    input: FlexTensor,
    weight: FlexTensor,
    statistics: Statistics,
    /// The output, if it was rectified.
    output: Option<FlexTensor>,
}

/// The backward step; its parents are the input, the weight, the bias and the added map, if there is one.
#[derive(Debug)]
struct Gradient;

impl<const N: usize> Backward<Flex, N> for Gradient {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, N>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let Saved { norm, input, weight, statistics, output } = ops.state;
        let parent = |index: usize| ops.parents.get(index).and_then(Option::as_ref);
        // In place, unless another step has this gradient too.
        let gradient = gradients.consume::<Flex>(&ops.node).into_data();
        let mut gradient: Vec<f32> = gradient.try_into_vec().expect("BUG: the output is f32");
        let mut of_added = vec![0.0; parent(3).map_or(0, |_| gradient.len())];
        let (inputs, outputs) = (norm.channels(numbers(&input)), output.as_ref().map(numbers));
        let outputs = outputs.map(|output| norm.channels(output));
        let sums: Vec<[f32; 2]> = norm
            .channels_mut(&mut gradient)
            .into_par_iter()
            .zip(norm.channels_mut(&mut of_added))
            .enumerate()
            .map(|(channel, (gradients, of_added))| {
                let (mean, std) = statistics.of_channel(channel, norm.epsilon);
                let (inputs, outputs) = (&inputs[channel], outputs.as_ref().map(|outputs| &outputs[channel][..]));
                let weight = numbers(&weight)[channel];
                norm.cpu.run(channel::Backward { inputs, outputs, gradients, of_added, mean, std, weight })
            })
            .collect();
        if let Some(node) = parent(0) {
            gradients.register::<Flex>(node.id, tensor(gradient, norm.shape));
        }
        for (index, place) in [(1, 1), (2, 0)] {
            if let Some(node) = parent(index) {
                let sums = sums.iter().map(|sums| sums[place]).collect();
                gradients.register::<Flex>(node.id, tensor(sums, [norm.shape[1]]));
            }
        }
        if let Some(node) = parent(3) {
            gradients.register::<Flex>(node.id, tensor(of_added, norm.shape));
        }
    }
}

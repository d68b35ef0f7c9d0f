//! Adam and AdamW, whose step is one pass over a tensor and its state.
//!
//! Numbers and state are those of Burn's optimisers, to the last bit. Burn makes a dozen passes, each on one thread and
//! most into new memory. Burn's own optimisers compute the first step, which creates the state, and whatever this crate
//! does not.

use burn::backend::Flex;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{self, AdamConfig, AdamState, AdamWConfig, AdamWState, AdaptiveMomentumState, Optimizer};
use burn::tensor::{DType, Device, Tensor};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::kernel::Cpu;
use crate::operation::{numbers, tensor};

/// Decay of the mean of gradients.
const BETA_1: f32 = 0.9;
/// Decay of the mean of squared gradients.
const BETA_2: f32 = 0.999;
/// Numbers of a tensor that one thread computes at a time.
const PART: usize = 1 << 14;

/// Adam. Source: Kingma and Ba 2015, arXiv 1412.6980.
#[derive(Clone)]
pub struct Adam {
    burns: optim::Adam,
    epsilon: f32,
    penalty: f32,
}

/// Adam with decoupled weight decay. Source: Loshchilov and Hutter 2019, arXiv 1711.05101.
#[derive(Clone)]
pub struct AdamW {
    burns: optim::AdamW,
    epsilon: f32,
    decay: f32,
}

impl Adam {
    /// Returns an optimiser with PyTorch's β; `penalty` times a weight is added to its gradient.
    pub fn new(epsilon: f32, penalty: f32) -> Self {
        let decay = (penalty > 0.0).then(|| WeightDecayConfig::new(penalty));
        let config = AdamConfig::new().with_beta_1(BETA_1).with_beta_2(BETA_2);
        Self { burns: config.with_epsilon(epsilon).with_weight_decay(decay).build(), epsilon, penalty }
    }
}

impl AdamW {
    /// Returns an optimiser with PyTorch's β; a step shrinks weights by the factor 1 − learning rate × `decay`.
    pub fn new(epsilon: f32, decay: f32) -> Self {
        let config = AdamWConfig::new().with_beta_1(BETA_1).with_beta_2(BETA_2);
        Self { burns: config.with_epsilon(epsilon).with_weight_decay(decay).build(), epsilon, decay }
    }
}

impl Optimizer for Adam {
    type State<const D: usize> = AdamState<D>;

    fn step<const D: usize>(
        &self,
        rate: f64,
        weights: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<AdamState<D>>,
    ) -> (Tensor<D>, Option<AdamState<D>>) {
        match (state, cpu([&weights, &gradient])) {
            (Some(AdamState { momentum }), Some(cpu)) => {
                let bias = (1.0 - BETA_2.powi(momentum.time as i32 + 1)).sqrt();
                let factor = bias / (1.0 - BETA_1.powi(momentum.time as i32 + 1));
                let rule = Coupled { penalty: self.penalty, factor, epsilon: self.epsilon * bias, rate: rate as f32 };
                let (weights, momentum) = step(cpu, rule, weights, gradient, momentum);
                (weights, Some(AdamState { momentum }))
            }
            (state, _) => self.burns.step(rate, weights, gradient, state),
        }
    }

    fn to_device<const D: usize>(state: AdamState<D>, device: &Device) -> AdamState<D> {
        optim::Adam::to_device(state, device)
    }
}

impl Optimizer for AdamW {
    type State<const D: usize> = AdamWState<D>;

    fn step<const D: usize>(
        &self,
        rate: f64,
        weights: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<AdamWState<D>>,
    ) -> (Tensor<D>, Option<AdamWState<D>>) {
        match (state, cpu([&weights, &gradient])) {
            (Some(AdamWState { momentum }), Some(cpu)) => {
                let biases = [BETA_1, BETA_2].map(|beta| 1.0 - beta.powi(momentum.time as i32 + 1));
                let kept = (1.0 - rate * f64::from(self.decay)) as f32;
                let rule = Decoupled { kept, biases, epsilon: self.epsilon, rate: rate as f32 };
                let (weights, momentum) = step(cpu, rule, weights, gradient, momentum);
                (weights, Some(AdamWState { momentum }))
            }
            (state, _) => self.burns.step(rate, weights, gradient, state),
        }
    }

    fn to_device<const D: usize>(state: AdamWState<D>, device: &Device) -> AdamWState<D> {
        optim::AdamW::to_device(state, device)
    }
}

/// Returns the instruction set if this crate computes steps of these tensors.
fn cpu<const D: usize>(tensors: [&Tensor<D>; 2]) -> Option<Cpu> {
    let ours = |tensor: &Tensor<D>| tensor.dtype() == DType::F32 && tensor.clone().try_into_primitive::<Flex>().is_ok();
    Cpu::detect().filter(|_| tensors.into_iter().all(ours))
}

/// The part of a step that differs between optimisers: from a weight, its gradient and its state to the next weight.
trait Rule: Copy + Sync {
    /// Returns the gradient that the means are taken of.
    fn gradient(self, weight: f32, gradient: f32) -> f32;
    fn next(self, weight: f32, mean: f32, square: f32) -> f32;
}

#[derive(Clone, Copy)]
struct Coupled {
    penalty: f32,
    factor: f32,
    epsilon: f32,
    rate: f32,
}

impl Rule for Coupled {
    #[inline(always)]
    fn gradient(self, weight: f32, gradient: f32) -> f32 {
        if self.penalty > 0.0 { weight * self.penalty + gradient } else { gradient }
    }

    #[inline(always)]
    fn next(self, weight: f32, mean: f32, square: f32) -> f32 {
        weight - mean * self.factor / (square.sqrt() + self.epsilon) * self.rate
    }
}

#[derive(Clone, Copy)]
struct Decoupled {
    kept: f32,
    biases: [f32; 2],
    epsilon: f32,
    rate: f32,
}

impl Rule for Decoupled {
    #[inline(always)]
    fn gradient(self, _weight: f32, gradient: f32) -> f32 {
        gradient
    }

    #[inline(always)]
    fn next(self, weight: f32, mean: f32, square: f32) -> f32 {
        let [mean, square] = [mean / self.biases[0], square / self.biases[1]];
        weight * self.kept - mean / (square.sqrt() + self.epsilon) * self.rate
    }
}

fn step<const D: usize>(
    cpu: Cpu,
    rule: impl Rule,
    weights: Tensor<D>,
    gradient: Tensor<D>,
    state: AdaptiveMomentumState<D>,
) -> (Tensor<D>, AdaptiveMomentumState<D>) {
    let shape = weights.dims();
    let primitive = |tensor: Tensor<D>| tensor.try_into_primitive::<Flex>().expect("BUG: a tensor on another device");
    // Without a copy where nothing else has the tensor. The gradient's memory becomes that of the weights.
    let owned = |tensor| -> Vec<f32> { primitive(tensor).into_data().try_into_vec().expect("BUG: the state is f32") };
    let weights = primitive(weights).to_contiguous();
    let [mut gradient, mut means, mut squares] = [gradient, state.moment_1, state.moment_2].map(owned);
    gradient
        .par_chunks_mut(PART)
        .zip(means.par_chunks_mut(PART).zip(squares.par_chunks_mut(PART)))
        .zip(numbers(&weights).par_chunks(PART))
        .for_each(|((gradient, (means, squares)), weights)| {
            cpu.run(Pass { rule, weights, gradient, means, squares });
        });
    let [weights, moment_1, moment_2] =
        [gradient, means, squares].map(|values| Tensor::from_primitive::<Flex>(tensor(values, shape)));
    (weights, AdaptiveMomentumState { time: state.time + 1, moment_1, moment_2, ..state })
}

/// A step of some numbers.
struct Pass<'a, R> {
    rule: R,
    weights: &'a [f32],
    /// Becomes the next weights.
    gradient: &'a mut [f32],
    means: &'a mut [f32],
    squares: &'a mut [f32],
}

impl<R: Rule> WithSimd for Pass<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let state = self.means.iter_mut().zip(self.squares);
        for ((number, &weight), (mean, square)) in self.gradient.iter_mut().zip(self.weights).zip(state) {
            let gradient = self.rule.gradient(weight, *number);
            *mean = *mean * BETA_1 + gradient * (1.0 - BETA_1);
            *square = *square * BETA_2 + gradient * gradient * (1.0 - BETA_2);
            *number = self.rule.next(weight, *mean, *square);
        }
    }
}

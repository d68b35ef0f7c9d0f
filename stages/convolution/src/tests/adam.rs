//! Adam and AdamW against Burn's own, to the last bit, and across a checkpoint.

use burn::module::{Module, Param};
use burn::optim::decay::WeightDecayConfig;
use burn::optim::{AdamConfig, AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor};

use super::{formula, formula_tensor, values};
use crate::{Adam, AdamW};

const EPSILON: f32 = 1e-8;

/// A tensor of several parts, a small one, and one without a gradient.
#[derive(Module, Debug)]
struct Weights {
    large: Param<Tensor<2>>,
    small: Param<Tensor<1>>,
    unused: Param<Tensor<1>>,
}

fn weights() -> Weights {
    let device = Device::flex().autodiff();
    let small = |seed| Param::from_tensor(formula_tensor([3], seed, &device));
    Weights { large: Param::from_tensor(formula_tensor([301, 111], 1, &device)), small: small(2), unused: small(3) }
}

/// Takes a step whose gradients differ from step to step, and are zero in places.
fn step(optimizer: &mut ModuleOptimizer, weights: Weights, index: usize) -> Weights {
    let device = weights.large.device();
    let factors = |count: usize| Tensor::<1>::from_floats(formula(count, index, 11).as_slice(), &device);
    let large = (weights.large.val() * factors(301 * 111).reshape([301, 111])).sum();
    let loss = large + (weights.small.val() * factors(3)).square().sum();
    let gradients = GradientsParams::from_grads(loss.backward(), &weights);
    optimizer.step(0.01, weights, gradients)
}

fn bits(weights: &Weights) -> Vec<u32> {
    let numbers = [values(weights.large.val()), values(weights.small.val()), values(weights.unused.val())].concat();
    numbers.into_iter().map(f32::to_bits).collect()
}

fn after(mut optimizer: ModuleOptimizer, steps: usize) -> (Weights, ModuleOptimizer) {
    let weights = (0..steps).fold(weights(), |weights, index| step(&mut optimizer, weights, index));
    (weights, optimizer)
}

/// Ours and Burn's, with and without decay.
fn pairs() -> Vec<[ModuleOptimizer; 2]> {
    let pair = |decay: f32| {
        let penalty = (decay > 0.0).then(|| WeightDecayConfig::new(decay));
        let adam = AdamConfig::new().with_epsilon(EPSILON).with_weight_decay(penalty);
        let adam_w = AdamWConfig::new().with_epsilon(EPSILON).with_weight_decay(decay);
        let ours: [ModuleOptimizer; 2] = [Adam::new(EPSILON, decay).into(), AdamW::new(EPSILON, decay).into()];
        let [adam_ours, adam_w_ours] = ours;
        [[adam_ours, adam.init()], [adam_w_ours, adam_w.init()]]
    };
    [0.0, 0.03].into_iter().flat_map(pair).collect()
}

#[test]
fn steps_are_burns_to_the_last_bit_on_any_number_of_threads() {
    let on = |threads: usize, optimizer: ModuleOptimizer| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be started");
        pool.install(|| bits(&after(optimizer, 7).0))
    };
    for (index, [ours, burns]) in pairs().into_iter().enumerate() {
        let expected = bits(&after(burns, 7).0);
        for threads in [1, 3] {
            assert!(on(threads, ours.clone()) == expected, "optimiser {index}, {threads} threads");
        }
    }
}

#[test]
fn a_resumed_optimiser_continues_to_the_same_bits_and_reads_burns_state() {
    for [ours, burns] in pairs() {
        let expected = bits(&after(ours.clone(), 5).0);
        for stopped in [ours.clone(), burns] {
            let (weights, stopped) = after(stopped, 3);
            let bytes = stopped.into_bytes().expect("the state can be written");
            let mut resumed = ours.clone().from_bytes(bytes).expect("the state can be read");
            let weights = (3..5).fold(weights, |weights, index| step(&mut resumed, weights, index));
            assert!(bits(&weights) == expected);
        }
    }
}

//! Batch normalisation against Burn's operations, with its gradients, alone and before a sum and a ReLU.

use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, module};

use super::{formula, formula_tensor, values};
use crate::channel::{Affine, Backward, Moments};
use crate::kernel::Cpu;
use crate::{After, Normalised, batch_norm, batch_norm_train};

const EPSILON: f64 = 1e-5;
/// Planes of one pixel, smaller than a register, and larger than a part of a sum.
const SHAPES: [[usize; 4]; 4] = [[4, 3, 1, 1], [2, 5, 3, 5], [3, 1, 7, 9], [2, 17, 36, 31]];

fn close<const D: usize>(ours: Tensor<D>, burns: Tensor<D>, what: &str) {
    let (ours, burns) = (values(ours), values(burns));
    let largest = burns.iter().fold(1.0_f32, |largest, value| largest.max(value.abs()));
    assert_eq!(ours.len(), burns.len(), "{what}");
    for (ours, burns) in ours.iter().zip(&burns) {
        assert!((ours - burns).abs() <= 4e-6 * largest, "{what}: {ours}, Burn {burns}");
    }
}

/// An input, a weight, a bias and a map to add.
fn tensors(shape: [usize; 4], device: &Device) -> (Tensor<4>, [Tensor<1>; 2], Tensor<4>) {
    let vectors = [2, 3].map(|seed| formula_tensor([shape[1]], seed, device).require_grad());
    (formula_tensor(shape, 1, device).require_grad(), vectors, formula_tensor(shape, 5, device).require_grad())
}

#[test]
fn normalisations_of_a_batch_and_their_gradients_are_burns() {
    let device = Device::flex().autodiff();
    for (shape, sum, rectified) in
        SHAPES.into_iter().flat_map(|shape| [(shape, false, false), (shape, false, true), (shape, true, true)])
    {
        let what = |what: &str| format!("{what} of {shape:?}, sum {sum}, ReLU {rectified}");
        let (input, [weight, bias], map) = tensors(shape, &device);
        let after = After { added: sum.then(|| map.clone()), relu: rectified };
        let Normalised { output, mean, variance } =
            batch_norm_train(input.clone(), [weight.clone(), bias.clone()], EPSILON, after);

        let (input2, [weight2, bias2], map2) = tensors(shape, &device);
        let burns = module::batch_norm_train(input2.clone(), weight2.clone(), bias2.clone(), EPSILON);
        let sum2 = if sum { burns.output + map2.clone() } else { burns.output };
        let output2 = if rectified { relu(sum2) } else { sum2 };
        close(output.clone(), output2.clone(), &what("output"));
        close(mean, burns.mean, &what("mean"));
        close(variance, burns.variance, &what("variance"));

        let factors = formula_tensor(shape, 4, &device);
        let (ours, burns) = ((output * factors.clone()).sum().backward(), (output2 * factors).sum().backward());
        // One value per channel has variance 0, so its gradient is a difference of large numbers.
        if shape[0] * shape[2] * shape[3] > 4 {
            close(input.grad(&ours).unwrap(), input2.grad(&burns).unwrap(), &what("gradient of the input"));
        }
        close(weight.grad(&ours).unwrap(), weight2.grad(&burns).unwrap(), &what("gradient of the weight"));
        close(bias.grad(&ours).unwrap(), bias2.grad(&burns).unwrap(), &what("gradient of the bias"));
        if sum {
            close(map.grad(&ours).unwrap(), map2.grad(&burns).unwrap(), &what("gradient of the added map"));
        }
    }
}

#[test]
fn normalisations_by_given_statistics_are_burns_to_the_last_bit() {
    let device = Device::flex();
    for shape in SHAPES {
        let vector = |seed| formula_tensor([shape[1]], seed, &device);
        let (mean, variance) = (vector(6), vector(7).square());
        let (input, map) = (formula_tensor(shape, 1, &device), formula_tensor(shape, 5, &device));
        let after = After { added: Some(map.clone()), relu: true };
        let statistics = [mean.clone(), variance.clone()];
        let ours = batch_norm(input.clone(), [vector(2), vector(3)], statistics, EPSILON, after);
        let burns = module::batch_norm(input, vector(2), vector(3), mean, variance, EPSILON);
        assert_eq!(values(ours), values(relu(burns + map)), "{shape:?}");
    }
}

#[test]
fn a_channel_has_the_same_bytes_with_all_instructions_of_the_machine() {
    let planes = [formula(1500, 1, 2003), formula(1500, 2, 2003)];
    let inputs: Vec<&[f32]> = planes.iter().map(Vec::as_slice).collect();
    let on = |cpu: Cpu| {
        let (mean, variance) = cpu.run(Moments { planes: &inputs });
        let (mut outputs, mut gradients) = (planes.clone(), planes.clone());
        let std = variance.sqrt();
        let parts = outputs.iter_mut().map(Vec::as_mut_slice).collect();
        let affine =
            Affine { inputs: &inputs, added: None, outputs: parts, mean, std, weight: 0.7, bias: 0.1, relu: true };
        cpu.run(affine);
        let rectified: Vec<&[f32]> = outputs.iter().map(Vec::as_slice).collect();
        let parts = gradients.iter_mut().map(Vec::as_mut_slice).collect();
        let (outputs, of_added) = (Some(&rectified[..]), Vec::new());
        let sums = cpu.run(Backward { inputs: &inputs, outputs, gradients: parts, of_added, mean, std, weight: 0.7 });
        let numbers = [vec![mean, variance, sums[0], sums[1]], rectified.concat(), gradients.concat()].concat();
        numbers.into_iter().map(f32::to_bits).collect::<Vec<u32>>()
    };
    let mut all = Cpu::available().map(on);
    let first = all.next();
    assert!(all.all(|other| Some(other) == first));
}

#[test]
fn a_map_that_is_not_contiguous_is_normalised_in_its_own_order() {
    let device = Device::flex().autodiff();
    let whole = formula_tensor([3, 4, 6, 5], 1, &device);
    let parameters = || [2, 3].map(|seed| formula_tensor([4], seed, &device));
    let part = whole.clone().narrow(0, 1, 2).swap_dims(2, 3);
    let ours = batch_norm_train(part.clone(), parameters(), EPSILON, After::default());
    let copied = Tensor::from_data(part.into_data(), &device);
    let expected = batch_norm_train(copied, parameters(), EPSILON, After::default());
    assert_eq!(values(ours.output), values(expected.output));
}

//! Gradients against differences, and tensors without a gradient.

use burn::tensor::{Device, Tensor};

use super::{formula_tensor, values};
use crate::{Options, conv2d, conv2d_relu};

const OPTIONS: Options = Options { stride: [1, 2], padding: [2, 1], dilation: [2, 1] };

#[test]
fn gradients_of_an_uneven_convolution_are_its_differences() {
    let device = Device::flex().autodiff();
    let input = formula_tensor([2, 2, 6, 7], 1, &device).require_grad();
    let weight = formula_tensor([3, 2, 3, 2], 2, &device).require_grad();
    let loss = |input: Tensor<4>, weight: Tensor<4>| {
        let output = conv2d(input, weight, None, OPTIONS);
        let factors = formula_tensor(output.dims(), 4, &device);
        (output * factors).sum()
    };
    let gradients = loss(input.clone(), weight.clone()).backward();
    // The loss is linear in both, so a difference of any size equals the gradient.
    let difference = |shape: [usize; 4], index: usize, of: &dyn Fn(Tensor<4>) -> Tensor<1>| {
        let mut step = vec![0.0; shape.iter().product()];
        step[index] = 1.0;
        let step = Tensor::<1>::from_floats(step.as_slice(), &device).reshape(shape);
        of(step).into_scalar::<f32>()
    };
    let of_input = values(input.grad(&gradients).expect("it was asked for"));
    for (index, gradient) in of_input.iter().enumerate() {
        let expected = difference([2, 2, 6, 7], index, &|step| loss(step, weight.clone()));
        assert!((gradient - expected).abs() < 1e-5, "input {index}: {gradient}, difference {expected}");
    }
    let of_weight = values(weight.grad(&gradients).expect("it was asked for"));
    for (index, gradient) in of_weight.iter().enumerate() {
        let expected = difference([3, 2, 3, 2], index, &|step| loss(input.clone(), step));
        assert!((gradient - expected).abs() < 1e-5, "weight {index}: {gradient}, difference {expected}");
    }
}

#[test]
fn a_frozen_tensor_has_no_gradient() {
    let device = Device::flex().autodiff();
    let input = formula_tensor([1, 2, 5, 5], 1, &device);
    let weight = formula_tensor([3, 2, 3, 3], 2, &device).require_grad();
    let frozen = formula_tensor([2, 3, 1, 1], 3, &device);
    let hidden = conv2d_relu(input.clone(), weight.clone(), None, Options::default());
    let gradients = conv2d(hidden, frozen.clone(), None, Options::default()).sum().backward();
    assert!(weight.grad(&gradients).is_some());
    assert!(frozen.grad(&gradients).is_none() && input.grad(&gradients).is_none());
}

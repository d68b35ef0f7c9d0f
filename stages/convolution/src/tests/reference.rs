//! Against PyTorch: `tests/reference/convolution.py` made `convolution.json`.

use burn::tensor::{Device, Tensor, TensorData};
use serde::Deserialize;

use super::{formula, formula_tensor, values};
use crate::{Options, Windows, conv2d, conv2d_relu, max_pool2d};

#[derive(Deserialize)]
struct Reference {
    convolutions: Vec<Convolution>,
    poolings: Vec<Pooling>,
}

#[derive(Deserialize)]
struct Convolution {
    name: String,
    shape: [usize; 4],
    units: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
    rectified: bool,
    output: Vec<f32>,
    input_gradient: Vec<f32>,
    weight_gradient: Vec<f32>,
    bias_gradient: Vec<f32>,
}

#[derive(Deserialize)]
struct Pooling {
    name: String,
    shape: [usize; 4],
    kernel: usize,
    stride: usize,
    padding: usize,
    ceil: bool,
    output: Vec<f32>,
    input_gradient: Vec<f32>,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("../../tests/reference/convolution.json")).expect("the script wrote it")
}

/// Compares the values that the script keeps, within 4e-6 of the largest: sums of thousands, rounded to 32 bits.
fn assert_close<const D: usize>(ours: Tensor<D>, theirs: &[f32], what: &str) {
    let ours = values(ours);
    let ours: Vec<f32> = ours.iter().step_by((ours.len() / 100).max(1)).copied().collect();
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let largest = theirs.iter().fold(1.0_f32, |largest, value| largest.max(value.abs()));
    for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        assert!((ours - theirs).abs() <= 4e-6 * largest, "{what}, value {index}: {ours}, PyTorch {theirs}");
    }
}

#[test]
fn convolutions_and_their_gradients_are_pytorchs() {
    let device = Device::flex().autodiff();
    for case in reference().convolutions {
        let options = Options { stride: [case.stride; 2], padding: [case.padding; 2], dilation: [case.dilation; 2] };
        let input = formula_tensor(case.shape, 1, &device).require_grad();
        let weight = formula_tensor([case.units, case.shape[1], case.kernel, case.kernel], 2, &device).require_grad();
        let bias = formula_tensor([case.units], 3, &device).require_grad();
        let convolve = if case.rectified { conv2d_relu } else { conv2d };
        let output = convolve(input.clone(), weight.clone(), Some(bias.clone()), options);
        assert_close(output.clone(), &case.output, &format!("output of {}", case.name));

        let gradients = (output.clone() * formula_tensor(output.dims(), 4, &device)).sum().backward();
        let of_input = input.grad(&gradients).expect("it was asked for");
        assert_close(of_input, &case.input_gradient, &format!("gradient of the input of {}", case.name));
        let of_weight = weight.grad(&gradients).expect("it was asked for");
        assert_close(of_weight, &case.weight_gradient, &format!("gradient of the weight of {}", case.name));
        let of_bias = bias.grad(&gradients).expect("it was asked for");
        assert_close(of_bias, &case.bias_gradient, &format!("gradient of the bias of {}", case.name));
    }
}

#[test]
fn poolings_and_their_gradients_are_pytorchs_where_numbers_are_equal_too() {
    let device = Device::flex().autodiff();
    for case in reference().poolings {
        let numbers = TensorData::new(formula(case.shape.iter().product(), 1, 11), case.shape);
        let input = Tensor::<4>::from_data(numbers, &device).require_grad();
        let Pooling { kernel, stride, padding, ceil, .. } = case;
        let output = max_pool2d(input.clone(), Windows { kernel, stride, padding, ceil });
        assert_close(output.clone(), &case.output, &format!("output of {}", case.name));
        let gradients = (output.clone() * formula_tensor(output.dims(), 4, &device)).sum().backward();
        let of_input = input.grad(&gradients).expect("it was asked for");
        assert_close(of_input, &case.input_gradient, &format!("gradient of {}", case.name));
    }
}

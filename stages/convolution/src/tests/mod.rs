mod adam;
mod gradient;
mod norm;
mod pooling;
mod reference;
mod same;
mod stride;

use burn::tensor::{Device, Tensor, TensorData};

/// The formula of `tests/reference/convolution.py`.
fn formula(count: usize, seed: usize, levels: usize) -> Vec<f32> {
    let half = levels as f64 / 2.0;
    (0..count).map(|index| (((index + 1) * (2 * seed + 1) * 7919 % levels) as f64 / half - 1.0) as f32).collect()
}

fn formula_tensor<const D: usize>(shape: [usize; D], seed: usize, device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(formula(shape.iter().product(), seed, 2003), shape), device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec_as().expect("the tensor is f32")
}

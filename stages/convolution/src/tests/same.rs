//! Results are the same for any number of threads, any instruction set, any layout in memory, and any type.

use burn::tensor::{DType, Device, Tensor, module, ops::ConvOptions};

use super::{formula, formula_tensor, values};
use crate::direct::Direct;
use crate::forward::{Finish, convolve, copied};
use crate::geometry::Geometry;
use crate::kernel::Cpu;
use crate::{After, Options, Windows, batch_norm_train, conv2d, conv2d_relu, gradient, max_pool2d};

const SAME: Options = Options { stride: [1, 1], padding: [1, 1], dilation: [1, 1] };

#[test]
fn outputs_and_gradients_have_the_same_bytes_on_any_number_of_threads() {
    let step = || {
        let device = Device::flex().autodiff();
        let input = formula_tensor([3, 20, 33, 17], 1, &device).require_grad();
        let weight = formula_tensor([50, 20, 3, 3], 2, &device).require_grad();
        let bias = formula_tensor([50], 3, &device).require_grad();
        let output = conv2d_relu(input.clone(), weight.clone(), Some(bias.clone()), SAME);
        let parameters = [5, 6].map(|seed| formula_tensor([50], seed, &device));
        let output = batch_norm_train(output, parameters, 1e-5, After { added: None, relu: true }).output;
        let pooled = max_pool2d(output, Windows { kernel: 3, stride: 2, padding: 0, ceil: true });
        let gradients = (pooled.clone() * formula_tensor(pooled.dims(), 4, &device)).sum().backward();
        let mut bytes = values(pooled);
        bytes.extend(values(input.grad(&gradients).expect("it was asked for")));
        bytes.extend(values(weight.grad(&gradients).expect("it was asked for")));
        bytes.extend(values(bias.grad(&gradients).expect("it was asked for")));
        bytes.into_iter().map(f32::to_bits).collect::<Vec<u32>>()
    };
    let on = |threads: usize| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be started").install(step)
    };
    let one = on(1);
    assert!(on(2) == one && on(4) == one);
}

/// Panels and tiles that do not fill a block, more than one part of the depth, and a stride.
#[test]
fn outputs_and_gradients_have_the_same_bytes_with_all_instructions_of_the_machine() {
    for (units, stride) in [(50, 1), (33, 2), (5, 1)] {
        let geometry = Geometry {
            batch: 3,
            channels: 31,
            units,
            size: [13, 11],
            kernel: [3, 3],
            stride: [stride; 2],
            padding: [1, 1],
            dilation: [1, 1],
        };
        let input = formula(3 * 31 * 13 * 11, 1, 2003);
        let weight = formula(units * geometry.depth(), 2, 2003);
        let bias = formula(units, 3, 2003);
        let [height, width] = geometry.output().expect("it has an output");
        let gradient = formula(3 * units * height * width, 4, 2003);
        let on = |cpu: Cpu| {
            let finish = Finish { bias: Some(&bias), relu: true };
            let mut numbers = convolve(cpu, &geometry, &input, &weight, finish);
            numbers.extend(gradient::of_input(cpu, &geometry, &weight, &gradient).unwrap_or_default());
            numbers.extend(gradient::of_weight(cpu, &geometry, &input, &gradient));
            numbers.into_iter().map(f32::to_bits).collect::<Vec<u32>>()
        };
        let mut all = Cpu::available().map(on);
        let first = all.next();
        assert!(all.all(|other| Some(other) == first));
    }
}

/// Maps with and without padding, of one band and of several, wide and narrow, with odd channels and tiles.
#[test]
fn a_convolution_without_copies_has_the_same_bytes() {
    let mut count = 0;
    for (channels, units, size) in [(1, 1, [9, 16]), (3, 17, [23, 37]), (7, 6, [40, 15]), (300, 5, [65, 33])] {
        for (kernel, padding, dilation) in [(1, 0, 1), (1, 1, 1), (3, 0, 1), (3, 1, 1), (3, 2, 2), (5, 1, 1), (2, 3, 3)]
        {
            let geometry = Geometry {
                batch: 2,
                channels,
                units,
                size,
                kernel: [kernel, kernel.min(3)],
                stride: [1, 1],
                padding: [padding, padding / 2],
                dilation: [dilation, 1],
            };
            let output = geometry.output().expect("it has an output");
            let Some(direct) = Direct::new(&geometry, output) else { continue };
            let input = formula(2 * channels * size[0] * size[1], 1, 2003);
            let (weight, bias) = (formula(units * geometry.depth(), 2, 2003), formula(units, 3, 2003));
            let finish = Finish { bias: Some(&bias), relu: kernel == 3 };
            for cpu in Cpu::available() {
                let expected = copied(cpu, &geometry, output, &input, &weight, finish);
                let numbers = direct.convolve(cpu, &geometry, &input, &weight, finish);
                let same = numbers.iter().zip(&expected).all(|(ours, other)| ours.to_bits() == other.to_bits());
                assert!(same && numbers.len() == expected.len(), "{geometry:?}");
            }
            count += 1;
        }
    }
    assert!(count > 15, "only {count} of the convolutions need no copies");
}

#[test]
fn a_view_is_read_in_its_own_order() {
    let device = Device::flex();
    let weight = formula_tensor([4, 3, 3, 3], 2, &device);
    let whole = formula_tensor([3, 3, 8, 7], 1, &device);
    let part = conv2d(whole.clone().narrow(0, 1, 1), weight.clone(), None, SAME);
    assert_eq!(values(part), values(conv2d(whole.clone(), weight.clone(), None, SAME).narrow(0, 1, 1)));
    let turned = conv2d(whole.clone().swap_dims(2, 3), weight.clone().swap_dims(2, 3), None, SAME);
    let expected = values(conv2d(whole, weight, None, SAME).swap_dims(2, 3));
    for (turned, expected) in values(turned).iter().zip(&expected) {
        assert!((turned - expected).abs() < 1e-5, "{turned} is not {expected}");
    }
}

#[test]
fn other_types_are_computed_by_burn() {
    let device = Device::flex();
    let input = formula_tensor([1, 2, 6, 6], 1, &device).cast(DType::BF16);
    let weight = formula_tensor([3, 2, 3, 3], 2, &device).cast(DType::BF16);
    let ours = conv2d(input.clone(), weight.clone(), None, SAME);
    let burns: Tensor<4> = module::conv2d(input, weight, None, ConvOptions::new([1, 1], [1, 1], [1, 1], 1));
    assert_eq!(ours.dtype(), DType::BF16);
    assert_eq!(values(ours.cast(DType::F32)), values(burns.cast(DType::F32)));
}

#[test]
fn nan_is_not_lost() {
    let device = Device::flex();
    let numbers = [1.0, f32::NAN, 3.0, 4.0, 2.0, 1.0, 0.0, 1.0, 5.0, 6.0, 7.0, 8.0, 1.0, 1.0, 1.0, 1.0];
    let input = Tensor::<1>::from_floats(numbers, &device).reshape([1, 1, 4, 4]);
    let weight = Tensor::<4>::ones([1, 1, 1, 1], &device);
    let output = conv2d_relu(input, weight, None, Options::default());
    let pooled = values(max_pool2d(output, Windows { kernel: 2, stride: 2, padding: 0, ceil: false }));
    assert!(pooled[0].is_nan());
    assert_eq!(pooled[1..], [4.0, 6.0, 8.0]);
}

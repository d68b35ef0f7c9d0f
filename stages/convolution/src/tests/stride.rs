//! The gradient of the input of convolutions with strides, against Burn's operations.

use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, module};

use super::{formula_tensor, values};
use crate::geometry::Geometry;
use crate::kernel::Cpu;
use crate::{Options, conv2d, gradient};

#[test]
fn gradients_of_strided_convolutions_are_burns() {
    let device = Device::flex().autodiff();
    let mut count = 0;
    let strides = [[1, 2], [2, 1], [2, 2], [3, 2], [4, 4]];
    let kernels = [[1, 1], [2, 3], [3, 3], [7, 7], [5, 1]];
    for (stride, kernel) in strides.into_iter().flat_map(|stride| kernels.map(|kernel| (stride, kernel))) {
        for (padding, size) in [([0, 0], [9, 8]), ([1, 1], [7, 13]), ([3, 2], [12, 11])] {
            let geometry =
                Geometry { batch: 2, channels: 5, units: 7, size, kernel, stride, padding, dilation: [1, 1] };
            let Some([height, width]) = geometry.output() else { continue };
            let input = || formula_tensor([2, 5, size[0], size[1]], 1, &device).require_grad();
            let weight = formula_tensor([7, 5, kernel[0], kernel[1]], 2, &device);
            let of_output = formula_tensor([2, 7, height, width], 4, &device);
            let ours = Cpu::detect().and_then(|cpu| {
                gradient::of_input(cpu, &geometry, &values(weight.clone()), &values(of_output.clone()))
            });
            let burns = input();
            let options = ConvOptions::new(stride, padding, [1, 1], 1);
            let output = module::conv2d(burns.clone(), weight.clone(), None, options);
            let expected =
                values(burns.grad(&(output * of_output.clone()).sum().backward()).expect("it was asked for"));
            // Through the operation too, where Burn computes what this crate does not.
            let through = input();
            let output = conv2d(through.clone(), weight, None, Options { stride, padding, dilation: [1, 1] });
            let through = values(through.grad(&(output * of_output).sum().backward()).expect("it was asked for"));
            for (ours, what) in [(ours, "kernel"), (Some(through), "operation")] {
                let Some(ours) = ours else { continue };
                count += 1;
                assert_eq!(ours.len(), expected.len());
                for (ours, expected) in ours.iter().zip(&expected) {
                    assert!((ours - expected).abs() < 2e-5, "{what}, {geometry:?}: {ours}, Burn {expected}");
                }
            }
        }
    }
    assert!(count > 100, "only {count} gradients were compared");
}

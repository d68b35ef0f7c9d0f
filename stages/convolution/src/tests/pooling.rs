//! Pooling against its definition, for windows side by side, overlapping, over the edge, and alone.

use burn::tensor::{Device, Tensor};

use super::{formula, values};
use crate::{Windows, max_pool2d};

/// Computes the largest number of each window and, for each number of the map, the count of windows in which it is
/// largest.
fn definition(map: &[f32], [height, width]: [usize; 2], windows: Windows) -> (Vec<f32>, Vec<f32>) {
    let Windows { kernel, stride, padding, ceil } = windows;
    let length = |size: usize| {
        let room = size + 2 * padding - kernel;
        let windows = if ceil { room.div_ceil(stride) } else { room / stride } + 1;
        if (windows - 1) * stride < size + padding { windows } else { windows - 1 }
    };
    let inside = |window: usize, size: usize| {
        let start = window * stride;
        start.saturating_sub(padding)..size.min((start + kernel).saturating_sub(padding))
    };
    let (mut pooled, mut chosen) = (Vec::new(), vec![0.0; map.len()]);
    for (row, column) in (0..length(height)).flat_map(|row| (0..length(width)).map(move |column| (row, column))) {
        let pixels = inside(row, height).flat_map(|y| inside(column, width).map(move |x| y * width + x));
        let largest = pixels.reduce(|best, pixel| if map[pixel] > map[best] { pixel } else { best });
        let largest = largest.expect("no window is empty");
        pooled.push(map[largest]);
        chosen[largest] += 1.0;
    }
    (pooled, chosen)
}

#[test]
fn windows_of_all_sizes_are_their_definition_and_the_largest_has_the_gradient() {
    let device = Device::flex().autodiff();
    for (kernel, stride, padding) in [(2, 2, 0), (2, 2, 1), (3, 2, 0), (3, 2, 1), (3, 1, 1), (5, 3, 2)] {
        for (width, ceil) in (kernel..40).flat_map(|width| [(width, false), (width, true)]) {
            let (windows, size) = (Windows { kernel, stride, padding, ceil }, [kernel + width % 4, width]);
            let map = formula(size[0] * width, 5, 10_007);
            let input =
                Tensor::<1>::from_floats(map.as_slice(), &device).reshape([1, 1, size[0], width]).require_grad();
            let output = max_pool2d(input.clone(), windows);
            let gradients = output.clone().sum().backward();
            let (pooled, chosen) = definition(&map, size, windows);
            assert_eq!(values(output), pooled, "{windows:?} of {size:?}");
            let of_input = values(input.grad(&gradients).expect("it was asked for"));
            assert_eq!(of_input, chosen, "gradient of {windows:?} of {size:?}");
        }
    }
}

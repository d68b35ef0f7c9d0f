//! Max pooling: the largest number of every window, and which it was.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{DType, Tensor, module};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::kernel::Cpu;
use crate::operation::{numbers, tensor};

/// Square windows, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Windows {
    /// Height and width of a window, at least 1.
    pub kernel: usize,
    /// Steps between windows, at least 1.
    pub stride: usize,
    /// Places around the map that are never the largest; at most half of `kernel`.
    pub padding: usize,
    /// Whether windows that the map does not fill count.
    pub ceil: bool,
}

/// The largest number of every window of every channel, NaN where one is in it; of equal ones the first has the gradient.
///
/// - `input`: `[batch, channel, height, width]`
/// - returns: the same with another height and width
pub fn max_pool2d(input: Tensor<4>, windows: Windows) -> Tensor<4> {
    if let Some(pooling) = Pooling::new(&input, windows) {
        if let Ok(input) = input.clone().try_into_primitive::<Autodiff<Flex>>() {
            let (input, node) = input.into_parts();
            let output = match Gradient.prepare::<NoCheckpointing>([node]).compute_bound().stateful() {
                OpsKind::Tracked(step) => {
                    let (output, taps) = pooling.forward::<true>(&input);
                    step.finish(Saved { pooling, taps }, output)
                }
                OpsKind::UnTracked(step) => step.finish(pooling.forward::<false>(&input).0),
            };
            return Tensor::from_primitive::<Autodiff<Flex>>(output);
        }
        if let Ok(input) = input.clone().try_into_primitive::<Flex>() {
            return Tensor::from_primitive::<Flex>(pooling.forward::<false>(&input).0);
        }
    }
    let Windows { kernel, stride, padding, ceil } = windows;
    let padding = [(padding, padding); 2];
    let options = MaxPoolOptions::new([kernel; 2]).with_stride([stride; 2]).with_padding_pairs(padding);
    module::max_pool2d(input, options.with_ceil_mode(ceil))
}

/// A pooling that this crate computes.
#[derive(Clone, Copy, Debug)]
struct Pooling {
    cpu: Cpu,
    windows: Windows,
    batch: usize,
    channels: usize,
    size: [usize; 2],
    output: [usize; 2],
}

impl Pooling {
    /// `None` where Burn must compute it, or refuse it.
    fn new(input: &Tensor<4>, windows: Windows) -> Option<Self> {
        let cpu = Cpu::detect()?;
        let [batch, channels, height, width] = input.dims();
        let Windows { kernel, stride, padding, ceil } = windows;
        // The number of a place in its window is kept in a byte.
        let fits = (1..=15).contains(&kernel) && stride > 0 && padding <= kernel / 2 && batch * channels > 0;
        let length = |size: usize| {
            let room = (size + 2 * padding).checked_sub(kernel)?;
            let windows = if ceil { room.div_ceil(stride) } else { room / stride } + 1;
            // A window that starts behind the map has nothing in it.
            Some(if (windows - 1) * stride >= size + padding { windows - 1 } else { windows })
        };
        let output = [length(height)?, length(width)?];
        let size = [height, width];
        (fits && input.dtype() == DType::F32).then_some(Self { cpu, windows, batch, channels, size, output })
    }

    /// The largest numbers and, if they are wanted, their places in the windows, counted row by row.
    fn forward<const PLACES: bool>(&self, input: &FlexTensor) -> (FlexTensor, Vec<u8>) {
        let input = input.to_contiguous();
        let (plane, pooled) = (self.size[0] * self.size[1], self.output[0] * self.output[1]);
        let planes = self.batch * self.channels;
        let mut largest = vec![0.0; planes * pooled];
        let mut taps = vec![0; if PLACES { planes * pooled } else { planes }];
        let of_plane = if PLACES { pooled } else { 1 };
        largest
            .par_chunks_exact_mut(pooled)
            .zip(taps.par_chunks_exact_mut(of_plane))
            .zip(numbers(&input).par_chunks_exact(plane))
            .for_each(|((largest, taps), input)| {
                self.cpu.run(Plane::<PLACES> { pooling: self, input, largest, taps });
            });
        (tensor(largest, [self.batch, self.channels, self.output[0], self.output[1]]), taps)
    }

    /// Numbers of one channel's gradient go to the places that were largest.
    fn backward(&self, taps: &[u8], gradient: &[f32], of_input: &mut [f32]) {
        let (Windows { kernel, stride, padding, .. }, width) = (self.windows, self.size[1]);
        let offset = |tap: usize| tap / kernel * width + tap % kernel;
        let offsets: Vec<usize> = (0..kernel * kernel).map(offset).collect();
        let rows = taps.chunks_exact(self.output[1]).zip(gradient.chunks_exact(self.output[1]));
        for (row, (taps, gradient)) in rows.enumerate() {
            for (column, (&tap, number)) in taps.iter().zip(gradient).enumerate() {
                let place = row * stride * width + column * stride + offsets[usize::from(tap)];
                of_input[place - padding * (width + 1)] += number;
            }
        }
    }
}

/// One channel of one image.
struct Plane<'a, const PLACES: bool> {
    pooling: &'a Pooling,
    input: &'a [f32],
    largest: &'a mut [f32],
    taps: &'a mut [u8],
}

impl<const PLACES: bool> WithSimd for Plane<'_, PLACES> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Pooling { windows: Windows { kernel, stride, padding, .. }, size: [height, width], output, .. } =
            *self.pooling;
        let mut places = vec![0; output[1]];
        for (row, largest) in self.largest.chunks_exact_mut(output[1]).enumerate() {
            largest.iter_mut().for_each(|number| *number = f32::NEG_INFINITY);
            for down in 0..kernel {
                let Some(y) = (row * stride + down).checked_sub(padding).filter(|&y| y < height) else { continue };
                for along in 0..kernel {
                    // Windows whose column of that number is inside the map.
                    let first = padding.saturating_sub(along).div_ceil(stride);
                    let end = (width + padding).saturating_sub(along).div_ceil(stride).min(output[1]);
                    if first >= end {
                        continue;
                    }
                    let line = &self.input[y * width..(y + 1) * width][first * stride + along - padding..];
                    let tap = (down * kernel + along) as u32;
                    compare::<PLACES>(&mut largest[first..end], &mut places[first..end], line, stride, tap);
                }
            }
            if PLACES {
                let taps = &mut self.taps[row * output[1]..(row + 1) * output[1]];
                taps.iter_mut().zip(&places).for_each(|(tap, &place)| *tap = place as u8);
            }
        }
    }
}

/// Replaces numbers by larger ones.
#[inline(always)]
fn compare<const PLACES: bool>(largest: &mut [f32], places: &mut [u32], line: &[f32], stride: usize, tap: u32) {
    let one = |largest: &mut f32, place: &mut u32, number: f32| {
        let larger = number > *largest || number.is_nan() || (PLACES && *largest == f32::NEG_INFINITY);
        *largest = if larger { number } else { *largest };
        if PLACES {
            *place = if larger { tap } else { *place };
        }
    };
    let pairs = line.as_chunks::<2>().0;
    if stride == 2 && pairs.len() + 1 >= largest.len() {
        // The last window may see the last number of a line of odd length.
        let count = pairs.len().min(largest.len());
        let windows = largest[..count].iter_mut().zip(&mut places[..count]);
        windows.zip(pairs).for_each(|((largest, place), pair)| one(largest, place, pair[0]));
        if count < largest.len() {
            one(&mut largest[count], &mut places[count], line[2 * count]);
        }
    } else {
        let windows = largest.iter_mut().zip(places);
        windows.zip(line.iter().step_by(stride)).for_each(|((largest, place), &number)| one(largest, place, number));
    }
}

/// What the gradient is computed from.
#[derive(Clone, Debug)]
struct Saved {
    pooling: Pooling,
    taps: Vec<u8>,
}

#[derive(Debug)]
struct Gradient;

impl Backward<Flex, 1> for Gradient {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 1>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let Saved { pooling, taps } = ops.state;
        let gradient = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let [parent] = ops.parents;
        let Some(node) = parent else { return };
        let ([height, width], pooled) = (pooling.size, pooling.output[0] * pooling.output[1]);
        let mut of_input = vec![0.0; pooling.batch * pooling.channels * height * width];
        of_input
            .par_chunks_exact_mut(height * width)
            .zip(taps.par_chunks_exact(pooled).zip(numbers(&gradient).par_chunks_exact(pooled)))
            .for_each(|(of_input, (taps, gradient))| pooling.backward(taps, gradient, of_input));
        gradients.register::<Flex>(node.id, tensor(of_input, [pooling.batch, pooling.channels, height, width]));
    }
}

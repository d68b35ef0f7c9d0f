//! Max pooling: the largest number of every window, and its position.

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
    /// Pixels between neighbouring windows, at least 1.
    pub stride: usize,
    /// Border around the map, never the largest; at most half of `kernel`.
    pub padding: usize,
    /// Keeps windows that reach over the edge.
    pub ceil: bool,
}

/// Computes the largest number of every window of every channel; NaN if the window has one.
///
/// The gradient goes to the first of equal numbers.
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
    /// Returns `None` if Burn must compute the pooling, or refuse it.
    fn new(input: &Tensor<4>, windows: Windows) -> Option<Self> {
        let cpu = Cpu::detect()?;
        let [batch, channels, height, width] = input.dims();
        let Windows { kernel, stride, padding, ceil } = windows;
        // A byte stores the position in a window.
        let fits =
            (1..=15).contains(&kernel) && stride > 0 && padding <= kernel / 2 && batch * channels * height * width > 0;
        let length = |size: usize| {
            let room = (size + 2 * padding).checked_sub(kernel)?;
            let windows = if ceil { room.div_ceil(stride) } else { room / stride } + 1;
            // A window that starts behind the map is empty.
            Some(if (windows - 1) * stride >= size + padding { windows - 1 } else { windows })
        };
        let output = [length(height)?, length(width)?];
        let size = [height, width];
        (fits && input.dtype() == DType::F32).then_some(Self { cpu, windows, batch, channels, size, output })
    }

    /// Computes the largest numbers and, if `POSITIONS`, their positions in the windows, counted row by row.
    fn forward<const POSITIONS: bool>(&self, input: &FlexTensor) -> (FlexTensor, Vec<u8>) {
        let input = input.to_contiguous();
        let (plane, pooled) = (self.size[0] * self.size[1], self.output[0] * self.output[1]);
        let planes = self.batch * self.channels;
        let mut largest = vec![0.0; planes * pooled];
        let mut taps = vec![0; if POSITIONS { planes * pooled } else { planes }];
        let of_plane = if POSITIONS { pooled } else { 1 };
        largest
            .par_chunks_exact_mut(pooled)
            .zip(taps.par_chunks_exact_mut(of_plane))
            .zip(numbers(&input).par_chunks_exact(plane))
            .for_each(|((largest, taps), input)| {
                self.cpu.run(Plane::<POSITIONS> { pooling: self, input, largest, taps });
            });
        (tensor(largest, [self.batch, self.channels, self.output[0], self.output[1]]), taps)
    }

    /// Adds the numbers of one channel's gradient at the positions of the largest numbers.
    fn backward(&self, taps: &[u8], gradient: &[f32], of_input: &mut [f32]) {
        let (Windows { kernel, stride, padding, .. }, width) = (self.windows, self.size[1]);
        let offset = |tap: usize| tap / kernel * width + tap % kernel;
        let offsets: Vec<usize> = (0..kernel * kernel).map(offset).collect();
        let rows = taps.chunks_exact(self.output[1]).zip(gradient.chunks_exact(self.output[1]));
        for (row, (taps, gradient)) in rows.enumerate() {
            for (column, (&tap, number)) in taps.iter().zip(gradient).enumerate() {
                let pixel = row * stride * width + column * stride + offsets[usize::from(tap)];
                of_input[pixel - padding * (width + 1)] += number;
            }
        }
    }
}

/// One channel of one image.
struct Plane<'a, const POSITIONS: bool> {
    pooling: &'a Pooling,
    input: &'a [f32],
    largest: &'a mut [f32],
    taps: &'a mut [u8],
}

impl<const POSITIONS: bool> WithSimd for Plane<'_, POSITIONS> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match (self.pooling.windows.kernel, self.pooling.windows.stride) {
            (2, 2) => self.pool::<S, 2, 2>(simd),
            (3, 2) => self.pool::<S, 3, 2>(simd),
            _ => self.pool::<S, 0, 0>(simd),
        }
    }
}

impl<const POSITIONS: bool> Plane<'_, POSITIONS> {
    /// Pools windows of kernel `K` and stride `S` side by side; zero for all other windows, one by one.
    #[inline(always)]
    fn pool<I: Simd, const K: usize, const S: usize>(mut self, simd: I) {
        let Pooling { windows: Windows { padding, .. }, size: [height, width], output: [rows, columns], .. } =
            *self.pooling;
        let lanes = if K == 0 { 1 } else { SPAN / S };
        // Columns with windows inside the map, S − 1 pixels further too.
        let first = if K == 0 { columns } else { padding.div_ceil(S).min(columns) };
        let room = if K == 0 { None } else { (width + padding).checked_sub(K + S - 1) };
        let end = room.map_or(first, |room| (room / S + 1).clamp(first, columns));
        for row in 0..rows {
            let y = (row * S).checked_sub(padding).filter(|y| K > 0 && y + K <= height && end - first >= lanes);
            let Some(y) = y else {
                (0..columns).for_each(|column| self.window(row, column));
                continue;
            };
            (0..first).chain(end..columns).for_each(|column| self.window(row, column));
            // The last windows overlap the ones before.
            for column in (first..end).step_by(lanes).map(|column| column.min(end - lanes)) {
                let start = y * width + column * S - padding;
                let (largest, taps) =
                    side_by_side::<I, K>(simd, std::array::from_fn(|down| &self.input[start + down * width..]));
                let at = row * columns + column;
                let place = at..at + lanes;
                let starts = largest.iter().step_by(S.max(1));
                self.largest[place.clone()].iter_mut().zip(starts).for_each(|(to, from)| *to = *from);
                if POSITIONS {
                    let starts = taps.iter().step_by(S.max(1));
                    self.taps[place].iter_mut().zip(starts).for_each(|(to, from)| *to = *from as u8);
                }
            }
        }
    }

    /// Pools one window, inside the map or at its edge.
    #[inline(always)]
    fn window(&mut self, row: usize, column: usize) {
        let Pooling { windows: Windows { kernel, stride, padding, .. }, size: [height, width], output, .. } =
            *self.pooling;
        // The part of the window that is inside the map.
        let inside = |start: usize, size: usize| padding.saturating_sub(start)..kernel.min(size + padding - start);
        let (down, along) = (inside(row * stride, height), inside(column * stride, width));
        let mut best = (f32::NEG_INFINITY, down.start * kernel + along.start);
        for tap in down.flat_map(|down| along.clone().map(move |along| down * kernel + along)) {
            let [y, x] = [row * stride + tap / kernel - padding, column * stride + tap % kernel - padding];
            let number = self.input[y * width + x];
            if number > best.0 || number.is_nan() {
                best = (number, tap);
            }
        }
        let at = row * output[1] + column;
        self.largest[at] = best.0;
        if POSITIONS {
            self.taps[at] = best.1 as u8;
        }
    }
}

/// Pixels at which windows are computed together, at every one of them: neighbours are then loaded as they lie.
const SPAN: usize = 16;

/// Computes the largest numbers of windows that start at each of [`SPAN`] pixels inside the map, and their positions.
///
/// - `lines`: rows of the map, from the start of the first window
#[inline(always)]
fn side_by_side<S: Simd, const K: usize>(simd: S, lines: [&[f32]; K]) -> ([f32; SPAN], [u32; SPAN]) {
    let (mut largest, mut taps) = ([f32::NEG_INFINITY; SPAN], [0; SPAN]);
    let (best, _) = S::as_mut_simd_f32s(&mut largest);
    let (places, _) = S::as_mut_simd_u32s(&mut taps);
    for (down, line) in lines.into_iter().enumerate() {
        for along in 0..K {
            let (numbers, _) = S::as_simd_f32s(&line[along..along + SPAN]);
            let tap = simd.splat_u32s((down * K + along) as u32);
            for ((best, place), &number) in best.iter_mut().zip(places.iter_mut()).zip(numbers) {
                let is_number = simd.equal_f32s(number, number);
                let larger = simd.or_m32s(simd.greater_than_f32s(number, *best), simd.not_m32s(is_number));
                *best = simd.select_f32s(larger, number, *best);
                *place = simd.select_u32s(larger, tap, *place);
            }
        }
    }
    (largest, taps)
}

/// The state that the gradient is computed from.
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

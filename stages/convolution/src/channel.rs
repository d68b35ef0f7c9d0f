//! The arithmetic of batch normalisation, for one channel of all images.
//!
//! A sum runs in sixteen lanes over a thousand numbers, then in 64 bits, in an order that the sizes decide.

use pulp::{Simd, WithSimd};

const LANES: usize = 16;
/// Numbers that are summed in 32 bits.
const PART: usize = 1024;

/// Mean and biased variance of each channel.
#[derive(Clone, Debug)]
pub(crate) struct Statistics {
    pub(crate) mean: Vec<f32>,
    pub(crate) variance: Vec<f32>,
}

impl Statistics {
    /// Returns the mean and the standard deviation of a channel.
    pub(crate) fn of_channel(&self, channel: usize, epsilon: f32) -> (f32, f32) {
        (self.mean[channel], (self.variance[channel] + epsilon).sqrt())
    }
}

/// Sums `terms` of pairs of numbers, `N` sums at a time.
#[inline(always)]
fn sum<const N: usize>(left: &[f32], right: &[f32], term: impl Fn(f32, f32) -> [f32; N]) -> [f64; N] {
    let mut totals = [0.0; N];
    for (left, right) in left.chunks(PART).zip(right.chunks(PART)) {
        let mut lanes = [[0.0_f32; LANES]; N];
        let ((left, left_rest), (right, right_rest)) = (left.as_chunks::<LANES>(), right.as_chunks::<LANES>());
        for (left, right) in left.iter().zip(right) {
            for lane in 0..LANES {
                let term = term(left[lane], right[lane]);
                (0..N).for_each(|index| lanes[index][lane] += term[index]);
            }
        }
        for (left, right) in left_rest.iter().zip(right_rest) {
            let term = term(*left, *right);
            (0..N).for_each(|index| lanes[index][0] += term[index]);
        }
        for (total, lanes) in totals.iter_mut().zip(lanes) {
            *total += f64::from(lanes.iter().sum::<f32>());
        }
    }
    totals
}

/// The mean and the biased variance of a channel.
pub(crate) struct Moments<'a> {
    pub(crate) planes: &'a [&'a [f32]],
}

impl WithSimd for Moments<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> (f32, f32) {
        let count: usize = self.planes.iter().map(|plane| plane.len()).sum();
        let mut total = 0.0;
        for plane in self.planes {
            let [of_plane] = sum(plane, plane, |number, _| [number]);
            total += of_plane;
        }
        let mean = (total / count as f64) as f32;
        let mut total = 0.0;
        for plane in self.planes {
            let [of_plane] = sum(plane, plane, |number, _| [(number - mean) * (number - mean)]);
            total += of_plane;
        }
        (mean, (total / count as f64) as f32)
    }
}

/// The normalisation of a channel: (input − mean) / std × weight + bias, in this order, as Burn computes it.
pub(crate) struct Affine<'a, 'b> {
    pub(crate) inputs: &'a [&'a [f32]],
    pub(crate) added: Option<&'a [&'a [f32]]>,
    pub(crate) outputs: Vec<&'b mut [f32]>,
    pub(crate) mean: f32,
    pub(crate) std: f32,
    pub(crate) weight: f32,
    pub(crate) bias: f32,
    pub(crate) relu: bool,
}

impl WithSimd for Affine<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Self { inputs, added, outputs, mean, std, weight, bias, relu } = self;
        // NaN is not less than zero, so it stays.
        let finish = |number: f32| if relu && number < 0.0 { 0.0 } else { number };
        for (plane, output) in outputs.into_iter().enumerate() {
            let numbers = output.iter_mut().zip(inputs[plane]);
            match added {
                Some(added) => numbers.zip(added[plane]).for_each(|((output, input), added)| {
                    *output = finish((input - mean) / std * weight + bias + added);
                }),
                None => numbers.for_each(|(output, input)| *output = finish((input - mean) / std * weight + bias)),
            }
        }
    }
}

/// The gradients of a channel; returns those of bias and weight.
pub(crate) struct Backward<'a, 'b> {
    pub(crate) inputs: &'a [&'a [f32]],
    /// The outputs, if they were rectified.
    pub(crate) outputs: Option<&'a [&'a [f32]]>,
    /// The output's gradient, which becomes the input's.
    pub(crate) gradients: Vec<&'b mut [f32]>,
    /// Receives the gradient before the ReLU; empty if nobody wants it.
    pub(crate) of_added: Vec<&'b mut [f32]>,
    pub(crate) mean: f32,
    pub(crate) std: f32,
    pub(crate) weight: f32,
}

impl WithSimd for Backward<'_, '_> {
    type Output = [f32; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _simd: S) -> [f32; 2] {
        let (mean, scale) = (self.mean, self.std.recip());
        let normalised = |input: f32| (input - mean) * scale;
        let mut totals = [0.0; 2];
        for (plane, gradient) in self.gradients.iter_mut().enumerate() {
            if let Some(outputs) = self.outputs {
                gradient.iter_mut().zip(outputs[plane]).for_each(|(gradient, &output)| {
                    *gradient = if output > 0.0 { *gradient } else { 0.0 };
                });
            }
            let of_plane =
                sum(gradient, self.inputs[plane], |gradient, input| [gradient, gradient * normalised(input)]);
            totals.iter_mut().zip(of_plane).for_each(|(total, of_plane)| *total += of_plane);
        }
        self.of_added.into_iter().zip(&self.gradients).for_each(|(to, from)| to.copy_from_slice(from));
        let count: usize = self.gradients.iter().map(|gradient| gradient.len()).sum();
        let [shift, slope] = totals.map(|total| (total / count as f64) as f32);
        let factor = self.weight * scale;
        for (gradient, input) in self.gradients.into_iter().zip(self.inputs) {
            gradient.iter_mut().zip(*input).for_each(|(gradient, &input)| {
                *gradient = factor * (*gradient - shift - normalised(input) * slope);
            });
        }
        totals.map(|total| total as f32)
    }
}

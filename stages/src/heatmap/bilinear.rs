//! Bilinear resampling of f32 values, as PyTorch's `interpolate(mode="bilinear", align_corners=False)` without antialiasing.

/// The two source positions of a target position and the weight of the second.
struct Tap {
    first: usize,
    second: usize,
    weight: f32,
}

/// Resizes values `[height, width]` from `size` to `to`, both (height, width), at least 1.
pub(super) fn resize(values: &[f32], size: (usize, usize), to: (usize, usize)) -> Vec<f32> {
    let (height, width) = size;
    let columns = taps(width, to.1);
    // Every row is stretched once; two stretched rows then make each row of the result.
    let mut stretched = vec![0.0; height * to.1];
    for (out, row) in stretched.chunks_exact_mut(to.1).zip(values.chunks_exact(width)) {
        for (out, tap) in out.iter_mut().zip(&columns) {
            *out = mix(row[tap.first], row[tap.second], tap.weight);
        }
    }
    let row = |index: usize| &stretched[index * to.1..(index + 1) * to.1];
    let mut result = vec![0.0; to.0 * to.1];
    for (out, tap) in result.chunks_exact_mut(to.1).zip(taps(height, to.0)) {
        for ((out, &first), &second) in out.iter_mut().zip(row(tap.first)).zip(row(tap.second)) {
            *out = mix(first, second, tap.weight);
        }
    }
    result
}

fn mix(first: f32, second: f32, weight: f32) -> f32 {
    (1.0 - weight) * first + weight * second
}

/// Pixel centres lie at half-integer positions; positions beyond the first and last centre take their value.
fn taps(from: usize, to: usize) -> Vec<Tap> {
    let step = from as f32 / to as f32;
    (0..to)
        .map(|target| {
            let position = (step * (target as f32 + 0.5) - 0.5).max(0.0);
            let first = (position as usize).min(from - 1);
            let second = (first + 1).min(from - 1);
            Tap { first, second, weight: (position - first as f32).clamp(0.0, 1.0) }
        })
        .collect()
}

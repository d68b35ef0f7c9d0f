//! Bilinear resampling of bytes in fixed point, as OpenCV's `resize` with `INTER_LINEAR` defines it for 8-bit pictures.

/// Weights are multiples of 1 / 2,048.
const WEIGHT_BITS: u32 = 11;
const ONE: f32 = (1 << WEIGHT_BITS) as f32;

/// The two source positions of a target position and their weights in 1 / 2,048.
struct Tap {
    first: usize,
    second: usize,
    weights: [i32; 2],
}

/// Resizes bytes `[height, width]` from `size` to `to`, both (height, width), at least 1.
pub(super) fn resize(values: &[u8], size: (usize, usize), to: (usize, usize)) -> Vec<u8> {
    let (height, width) = size;
    let columns = taps(width, to.1);
    let stretched: Vec<i32> = values
        .chunks_exact(width)
        .flat_map(|row| {
            columns
                .iter()
                .map(|tap| i32::from(row[tap.first]) * tap.weights[0] + i32::from(row[tap.second]) * tap.weights[1])
        })
        .collect();
    let row = |index: usize| &stretched[index * to.1..(index + 1) * to.1];
    let mut result = vec![0; to.0 * to.1];
    for (out, tap) in result.chunks_exact_mut(to.1).zip(taps(height, to.0)) {
        for ((out, &first), &second) in out.iter_mut().zip(row(tap.first)).zip(row(tap.second)) {
            // Each product drops 4 bits before and 16 after, so that it fits 16-bit multipliers.
            let sum = ((tap.weights[0] * (first >> 4)) >> 16) + ((tap.weights[1] * (second >> 4)) >> 16);
            *out = ((sum + 2) >> 2).clamp(0, 255) as u8;
        }
    }
    result
}

fn taps(from: usize, to: usize) -> Vec<Tap> {
    let step = 1.0 / (to as f64 / from as f64);
    (0..to)
        .map(|target| {
            let position = ((target as f64 + 0.5) * step - 0.5) as f32;
            let floor = position.floor();
            let weight = position - floor;
            let clamp = |index: i64| index.clamp(0, from as i64 - 1) as usize;
            let weights = [((1.0 - weight) * ONE).round_ties_even() as i32, (weight * ONE).round_ties_even() as i32];
            Tap { first: clamp(floor as i64), second: clamp(floor as i64 + 1), weights }
        })
        .collect()
}

//! Bilinear resampling of f32 values, as PyTorch's `interpolate(mode="bilinear", align_corners=False)` without antialiasing.

/// Positions and weights for a resize from one size to another, computed once for all maps.
pub(super) struct Bilinear {
    /// One tap for each row of the result.
    rows: Vec<Tap>,
    /// Columns of the result from left to right.
    columns: Vec<Segment>,
    /// Width of the source.
    from_width: usize,
    /// Width of the result.
    width: usize,
}

/// Consecutive target positions between the same two source positions.
struct Segment {
    first: usize,
    second: usize,
    /// The weight of the second, for each target position.
    weights: Vec<f32>,
}

/// The two source positions of a target position and the weight of the second.
struct Tap {
    first: usize,
    second: usize,
    weight: f32,
}

impl Bilinear {
    /// Resizes from `size` to `to`, both (height, width), at least 1.
    pub(super) fn new(size: (usize, usize), to: (usize, usize)) -> Self {
        let segment = |taps: &[Tap]| {
            let weights = taps.iter().map(|tap| tap.weight).collect();
            Segment { first: taps[0].first, second: taps[0].second, weights }
        };
        let columns = taps(size.1, to.1).chunk_by(|a, b| a.first == b.first).map(segment).collect();
        Self { rows: taps(size.0, to.0), columns, from_width: size.1, width: to.1 }
    }

    /// Stretches every row of `values` to the width of the result. Each row of the result is a mix of two stretched rows.
    pub(super) fn stretch(&self, values: &[f32], stretched: &mut Vec<f32>) {
        stretched.clear();
        for row in values.chunks_exact(self.from_width) {
            for Segment { first, second, weights } in &self.columns {
                let (first, second) = (row[*first], row[*second]);
                stretched.extend(weights.iter().map(|&weight| mix(first, second, weight)));
            }
        }
    }

    /// Makes the `wanted` rows of the result in `row`, and passes each to `take` with its number.
    #[inline(always)]
    pub(super) fn rows(
        &self,
        stretched: &[f32],
        wanted: impl Iterator<Item = usize>,
        row: &mut Vec<f32>,
        mut take: impl FnMut(usize, &[f32]),
    ) {
        let width = self.width;
        row.resize(width, 0.0);
        for number in wanted {
            let tap = &self.rows[number];
            let [first, second] = [tap.first, tap.second].map(|from| &stretched[from * width..(from + 1) * width]);
            for ((out, &first), &second) in row.iter_mut().zip(first).zip(second) {
                *out = mix(first, second, tap.weight);
            }
            take(number, row);
        }
    }
}

#[inline(always)]
fn mix(first: f32, second: f32, weight: f32) -> f32 {
    (1.0 - weight) * first + weight * second
}

/// Pixel centres are at half-integer positions; positions beyond the first and last centre take the value there.
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

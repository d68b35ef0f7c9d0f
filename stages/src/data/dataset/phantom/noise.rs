//! Smooth random textures: value noise on a lattice.

use crate::random::Generator;

/// A texture; equal seeds give equal textures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noise(pub(super) u64);

impl Noise {
    /// Draws the seed of a texture.
    pub(super) fn drawn(random: &mut Generator) -> Self {
        Self((random.unit() * 2_f64.powi(53)) as u64)
    }

    /// One octave, in −1..1, with features about 1 wide.
    pub(super) fn at(self, x: f64, y: f64) -> f64 {
        let (column, row) = (x.floor(), y.floor());
        let (u, v) = (ease(x - column), ease(y - row));
        let corner = |i: i64, j: i64| self.lattice(column as i64 + i, row as i64 + j);
        let mix = |a: f64, b: f64, share: f64| a + (b - a) * share;
        mix(mix(corner(0, 0), corner(1, 0), u), mix(corner(0, 1), corner(1, 1), u), v)
    }

    /// Three octaves, in −1..1, the largest features about 1 wide.
    pub(super) fn rough(self, x: f64, y: f64) -> f64 {
        let octave = |index: u64, scale: f64| Noise(self.0.wrapping_add(index)).at(x * scale, y * scale) / scale;
        (octave(0, 1.0) + octave(1, 2.0) + octave(2, 4.0)) / 1.75
    }

    fn lattice(self, column: i64, row: i64) -> f64 {
        let hash = mix64(mix64(self.0 ^ mix64(column as u64)) ^ row as u64);
        (hash >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}

/// Rises smoothly from 0 to 1.
fn ease(t: f64) -> f64 {
    t * t * (3.0 - 2.0 * t)
}

/// Spreads every bit over all others (the finaliser of SplitMix64).
fn mix64(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_smooth_and_fills_its_range() {
        let values: Vec<f64> = (0..4000).map(|step| Noise(3).rough(f64::from(step) * 0.01, 0.3)).collect();
        assert!(values.windows(2).all(|pair| (pair[0] - pair[1]).abs() < 0.1));
        let (min, max) = values.iter().fold((0.0_f64, 0.0_f64), |(min, max), &value| (min.min(value), max.max(value)));
        assert!((-1.0..-0.3).contains(&min) && (0.3..1.0).contains(&max), "{min} {max}");
    }
}

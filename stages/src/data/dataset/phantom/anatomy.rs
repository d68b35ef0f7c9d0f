//! A synthetic head: skin, skull, brain with ventricles and folds, the base of the skull, vessels.
//!
//! Places in the picture are x to the right and y downwards, −1..1. Places in the head are u and v: the skin is the
//! circle of radius 1.

use crate::random::Generator;

use super::noise::Noise;

/// Radius of the brain; beyond it are fluid, skull and skin.
pub(super) const BRAIN: f64 = 0.84;

/// A head as it lies in a slice.
#[derive(Clone, Debug)]
pub(super) struct Head {
    centre: (f64, f64),
    half_width: f64,
    half_height: f64,
    /// Cosine and sine of its tilt.
    tilt: (f64, f64),
    /// Grey level of the brain.
    brain: f64,
    texture: f64,
    ventricle: f64,
    /// How much of the base of the skull is seen: it begins at this v.
    base: f64,
    vessels: Vec<(f64, f64, f64)>,
    noise: Noise,
    /// Brightness, and its change from left to right and from top to bottom.
    gain: (f64, f64, f64),
}

impl Head {
    /// Draws what all slices of a patient have in common.
    pub(super) fn of_patient(random: &mut Generator) -> Self {
        let slope = random.between(-0.12, 0.12);
        let length = (1.0 + slope * slope).sqrt();
        Self {
            centre: (random.between(-0.04, 0.04), random.between(-0.05, 0.03)),
            half_width: random.between(0.66, 0.76),
            half_height: random.between(0.78, 0.88),
            tilt: (1.0 / length, slope / length),
            brain: random.between(60.0, 78.0),
            texture: random.between(6.0, 12.0),
            ventricle: random.between(0.7, 1.3),
            base: random.between(0.46, 0.62),
            vessels: Vec::new(),
            noise: Noise::drawn(random),
            gain: (1.0, 0.0, 0.0),
        }
    }

    /// The head of this patient in one slice.
    pub(super) fn in_slice(&self, random: &mut Generator) -> Self {
        let scale = random.between(0.93, 1.03);
        let vessel = |random: &mut Generator| {
            (random.between(-0.7, 0.7), random.between(-0.7, 0.6), random.between(0.018, 0.035))
        };
        let vessels = (0..3 + random.below(4)).map(|_| vessel(random)).collect();
        Self {
            centre: (self.centre.0 + random.between(-0.03, 0.03), self.centre.1 + random.between(-0.03, 0.03)),
            half_width: self.half_width * scale,
            half_height: self.half_height * scale,
            ventricle: self.ventricle * random.between(0.6, 1.2),
            base: self.base + random.between(-0.05, 0.08),
            vessels,
            gain: (random.between(0.9, 1.1), random.between(-0.08, 0.08), random.between(-0.08, 0.08)),
            ..self.clone()
        }
    }

    /// From a place in the picture to one in the head.
    pub(super) fn place(&self, x: f64, y: f64) -> (f64, f64) {
        let (x, y) = (x - self.centre.0, y - self.centre.1);
        let (cosine, sine) = self.tilt;
        ((cosine * x + sine * y) / self.half_width, (cosine * y - sine * x) / self.half_height)
    }

    /// Half the width and half the height of the head, in units of the picture.
    pub(super) fn half_axes(&self) -> (f64, f64) {
        (self.half_width, self.half_height)
    }

    /// Grey level of the brain.
    pub(super) fn brain(&self) -> f64 {
        self.brain
    }

    /// Grey level of healthy tissue, before shading.
    pub(super) fn level(&self, x: f64, y: f64) -> f64 {
        let (u, v) = self.place(x, y);
        let radius = (u * u + v * v).sqrt();
        // The outline is not quite an ellipse.
        let radius = radius * (1.0 + 0.02 * self.noise.at(3.0 * u / (radius + 0.1), 3.0 * v / (radius + 0.1)));
        if radius > 1.0 {
            2.0
        } else if radius > 0.93 {
            130.0 + 30.0 * self.noise.at(8.0 * u, 8.0 * v)
        } else if radius > 0.875 {
            22.0
        } else if radius > BRAIN {
            36.0
        } else if v > self.base + 0.06 * self.noise.at(4.0 * u, 7.0) {
            self.base_level(u, v)
        } else {
            self.brain_level(u, v, radius)
        }
    }

    /// Bone, air and fat below the brain: coarse and full of contrast.
    fn base_level(&self, u: f64, v: f64) -> f64 {
        (70.0 + 75.0 * Noise(self.noise.0 ^ 1).rough(6.0 * u, 6.0 * v)).max(8.0)
    }

    fn brain_level(&self, u: f64, v: f64, radius: f64) -> f64 {
        if self.vessels.iter().any(|&(x, y, size)| (u - x) * (u - x) + (v - y) * (v - y) < size * size) {
            return self.brain + 60.0;
        }
        let side = (u.abs() - 0.12) / (0.07 * self.ventricle);
        let along = (v + 0.1) / (0.22 * self.ventricle);
        if side * side + along * along < 1.0 {
            return 30.0;
        }
        if u.abs() < 0.013 && (v.abs() > 0.4 || radius > 0.6) {
            return self.brain + 18.0;
        }
        let mut level = self.brain + self.texture * self.noise.rough(5.0 * u, 5.0 * v);
        // Folds: dark lines where a texture changes its sign, deeper towards the surface.
        let fold = Noise(self.noise.0 ^ 2).at(7.0 * u, 7.0 * v).abs();
        if fold < 0.12 && radius > 0.45 {
            level -= 34.0 * (radius - 0.45);
        }
        level
    }

    /// A level as the coil sees it: brighter or darker across the picture.
    pub(super) fn shaded(&self, x: f64, y: f64, level: f64) -> f64 {
        let (gain, across, down) = self.gain;
        level * gain * (1.0 + across * x + down * y)
    }
}

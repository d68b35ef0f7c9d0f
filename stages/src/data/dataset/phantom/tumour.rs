//! Synthetic tumours of three classes: where they lie, how large, how bright.

use crate::random::Generator;

use super::anatomy::{BRAIN, Head};
use super::noise::Noise;

/// The classes, in the order of their indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tumour {
    Meningioma,
    Glioma,
    Pituitary,
}

impl Tumour {
    pub(super) const ALL: [Self; 3] = [Self::Meningioma, Self::Glioma, Self::Pituitary];

    /// Classes of thirty patients by their initials: 7, 14 and 9 of each, mixed so that any few in a row have about
    /// these shares.
    const CYCLE: &'static [u8] = b"gpmgpggmpggpmggpgmpggpmgmgpmpg";

    /// The class of a patient, whatever the number of patients.
    pub(super) fn of_patient(patient: usize) -> Self {
        match Self::CYCLE[patient % Self::CYCLE.len()] {
            b'm' => Self::Meningioma,
            b'g' => Self::Glioma,
            _ => Self::Pituitary,
        }
    }

    pub(super) fn label(self) -> u32 {
        self as u32
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Meningioma => "meningioma",
            Self::Glioma => "glioma",
            Self::Pituitary => "pituitary",
        }
    }
}

/// A tumour as it lies in a head.
#[derive(Clone, Debug)]
pub(super) struct Lesion {
    tumour: Tumour,
    /// Centre in the head.
    centre: (f64, f64),
    /// Mean radius, in units of the picture.
    radius: f64,
    /// How far the outline leaves the circle, as a share of the radius.
    ragged: f64,
    /// Grey level on top of that of the brain.
    contrast: f64,
    /// Standard deviation, roughly, of its texture.
    patchy: f64,
    brain: f64,
    noise: Noise,
}

impl Lesion {
    /// Draws what all slices of a patient have in common.
    pub(super) fn of_patient(tumour: Tumour, head: &Head, random: &mut Generator) -> Self {
        let side = if random.unit() < 0.5 { -1.0 } else { 1.0 };
        let (centre, radius, ragged, contrast, patchy) = match tumour {
            Tumour::Meningioma => {
                // A direction upwards or to the side: the base belongs to the pituitary.
                let direction = (side * random.between(0.15, 1.0), random.between(-1.0, 0.35));
                let length = (direction.0 * direction.0 + direction.1 * direction.1).sqrt();
                let distance = random.between(0.60, 0.72) / length;
                let centre = (direction.0 * distance, direction.1 * distance);
                (centre, random.between(0.15, 0.24), 0.18, random.between(55.0, 80.0), 8.0)
            }
            Tumour::Glioma => {
                let centre = (side * random.between(0.24, 0.48), random.between(-0.45, 0.28));
                (centre, random.between(0.17, 0.27), 0.45, random.between(-36.0, -22.0), 26.0)
            }
            Tumour::Pituitary => {
                let centre = (random.between(-0.06, 0.06), random.between(0.32, 0.46));
                (centre, random.between(0.09, 0.14), 0.25, random.between(55.0, 80.0), 10.0)
            }
        };
        let noise = Noise::drawn(random);
        Self { tumour, centre, radius, ragged, contrast, patchy, brain: head.brain(), noise }
    }

    /// The tumour of this patient in one slice.
    pub(super) fn in_slice(&self, random: &mut Generator) -> Self {
        let shift = |random: &mut Generator| random.between(-0.03, 0.03);
        Self {
            centre: (self.centre.0 + shift(random), self.centre.1 + shift(random)),
            radius: self.radius * random.between(0.8, 1.15),
            contrast: self.contrast + random.between(-5.0, 5.0),
            noise: Noise::drawn(random),
            ..self.clone()
        }
    }

    /// Whether a place in the picture is in the tumour.
    pub(super) fn contains(&self, head: &Head, x: f64, y: f64) -> bool {
        self.depth(head, x, y).is_some_and(|depth| depth < 1.0)
    }

    /// The level at a place in the picture, where healthy tissue would have another.
    pub(super) fn level(&self, head: &Head, x: f64, y: f64, tissue: f64) -> f64 {
        let Some(depth) = self.depth(head, x, y) else { return tissue };
        let texture = self.patchy * self.noise.rough(11.0 * x, 11.0 * y);
        match self.tumour {
            // A swelling around it, darker than the brain, that no mask counts.
            Tumour::Glioma if (1.0..1.5).contains(&depth) => tissue - 12.0 * (1.5 - depth) * 2.0,
            _ if depth >= 1.0 => tissue,
            // A rim that takes up contrast agent here and there, around a dark core.
            Tumour::Glioma if depth > 0.68 => self.brain + self.contrast + 55.0 + texture,
            Tumour::Glioma | Tumour::Meningioma | Tumour::Pituitary => self.brain + self.contrast + texture,
        }
    }

    /// Distance from the centre over that of the outline in the same direction; `None` outside the brain.
    fn depth(&self, head: &Head, x: f64, y: f64) -> Option<f64> {
        let (u, v) = head.place(x, y);
        if u * u + v * v > BRAIN * BRAIN {
            return None;
        }
        let (half_width, half_height) = head.half_axes();
        let (dx, dy) = ((u - self.centre.0) * half_width, (v - self.centre.1) * half_height);
        let distance = (dx * dx + dy * dy).sqrt();
        if distance < 1e-9 {
            return Some(0.0);
        }
        // On a circle in the texture, so that the outline closes.
        let outline = self.noise.rough(10.0 + 1.6 * dx / distance, 10.0 + 1.6 * dy / distance);
        Some(distance / (self.radius * (1.0 + self.ragged * outline)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_patients_have_the_shares_of_the_paper() {
        let count = |tumour| (0..30).filter(|&patient| Tumour::of_patient(patient) == tumour).count();
        assert_eq!(Tumour::ALL.map(count), [7, 14, 9]);
        // Even three patients have one of each.
        let mut labels: Vec<_> = (0..3).map(|patient| Tumour::of_patient(patient).label()).collect();
        labels.sort_unstable();
        assert_eq!(labels, [0, 1, 2]);
    }
}

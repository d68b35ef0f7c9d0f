//! From grey levels to the input of a network.

use burn::tensor::TensorData;
use serde::{Deserialize, Serialize};

/// Mean and sd per channel of grey levels in 0..=1; a level `v` in 0..=255 becomes `(v / 255 - mean) / sd`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalisation {
    /// One mean a channel of the network's input.
    pub mean: Vec<f32>,
    /// One standard deviation a channel, above 0.
    pub sd: Vec<f32>,
}

impl Normalisation {
    /// The normalisation of torchvision's ImageNet weights, for red, green and blue.
    pub fn image_net() -> Self {
        Self { mean: vec![0.485, 0.456, 0.406], sd: vec![0.229, 0.224, 0.225] }
    }

    /// Computes one channel from the mean and sd of grey levels; the sd of constant levels counts as 1.
    ///
    /// Errors: the first image that cannot be read.
    pub fn of<T: AsRef<[u8]>, E>(images: impl Iterator<Item = Result<T, E>>) -> Result<Self, E> {
        let mut counts = [0_u64; 256];
        for image in images {
            image?.as_ref().iter().for_each(|&level| counts[usize::from(level)] += 1);
        }
        let n = counts.iter().sum::<u64>().max(1) as f64;
        let moment = |power: i32| -> f64 {
            let sum = |(level, &count): (usize, &u64)| (level as f64 / 255.0).powi(power) * count as f64;
            counts.iter().enumerate().map(sum).sum::<f64>() / n
        };
        let mean = moment(1);
        let variance = moment(2) - mean * mean;
        let sd = if variance > 1e-12 { variance.sqrt() } else { 1.0 };
        Ok(Self { mean: vec![mean as f32], sd: vec![sd as f32] })
    }
}

/// Normalises grey images, before they are on a device; a network of several channels gets the grey level in each.
///
/// - `pixels`: grey levels 0..=255, `[batch, height, width]`
/// - returns: `[batch, channel, height, width]`
pub fn image_data(pixels: &[u8], height: usize, width: usize, normalisation: &Normalisation) -> TensorData {
    let channels: Vec<[f32; 256]> =
        normalisation.mean.iter().zip(&normalisation.sd).map(|(&mean, &sd)| levels(mean, sd)).collect();
    let batch = pixels.len() / (height * width).max(1);
    let mut values = Vec::with_capacity(pixels.len() * channels.len());
    for image in pixels.chunks_exact((height * width).max(1)) {
        for channel in &channels {
            values.extend(image.iter().map(|&level| channel[usize::from(level)]));
        }
    }
    TensorData::new(values, [batch, channels.len(), height, width])
}

fn levels(mean: f32, sd: f32) -> [f32; 256] {
    std::array::from_fn(|level| (level as f32 / 255.0 - mean) / sd)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::testing::reference::image_tensor;

    #[test]
    fn normalised_training_images_have_mean_0_and_sd_1() {
        let pixels = [0_u8, 255, 255, 0, 51, 204];
        let normalisation = Normalisation::of(pixels.chunks(2).map(Ok::<_, ()>)).unwrap();
        let tensor = image_tensor(&pixels, 1, 2, &normalisation, &Device::flex());
        assert_eq!(tensor.dims(), [3, 1, 1, 2]);
        let values: Vec<f32> = tensor.into_data().try_into_vec_as().expect("f32");
        let mean = values.iter().sum::<f32>() / 6.0;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / 6.0;
        assert!(mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-5, "{mean} {variance}");
    }

    #[test]
    fn grey_is_repeated_for_a_network_of_three_channels() {
        let tensor = image_tensor(&[255, 0], 1, 2, &Normalisation::image_net(), &Device::flex());
        assert_eq!(tensor.dims(), [1, 3, 1, 2]);
        let values: Vec<f32> = tensor.into_data().try_into_vec_as().expect("f32");
        assert_eq!(values[0], (1.0 - 0.485) / 0.229);
        assert_eq!(values[5], (0.0 - 0.406) / 0.225);
    }

    #[test]
    fn constant_images_are_not_divided_by_zero() {
        assert_eq!(Normalisation::of([Ok::<_, ()>([0; 4])].into_iter()).unwrap().sd, [1.0]);
        assert_eq!(Normalisation::of([Ok([0; 4]), Err("unreadable")].into_iter()), Err("unreadable"));
    }
}

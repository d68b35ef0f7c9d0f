//! Grey levels from values in any range.

/// Maps values to 0..=255 by min-max, rounded half up: ⌊255 (v − min) / (max − min) + ½⌋. A constant picture becomes
/// all 0.
///
/// Errors: a value that is NaN or infinite.
pub(super) fn min_max(values: impl Iterator<Item = f64> + Clone) -> Result<Vec<u8>, String> {
    let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values.clone() {
        if !value.is_finite() {
            return Err(format!("it holds the value {value}; every pixel must be a finite number"));
        }
        min = min.min(value);
        max = max.max(value);
    }
    let range = max - min;
    Ok(values.map(|value| if range > 0.0 { ((value - min) * 255.0 / range + 0.5).floor() as u8 } else { 0 }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_becomes_0_to_255() {
        // 255 × 0.5 = 127.5, rounded up.
        assert_eq!(min_max([-4.0, 0.0, 4.0].into_iter()), Ok(vec![0, 128, 255]));
        assert_eq!(min_max((0..=255).map(f64::from)), Ok((0..=255).collect()));
        assert_eq!(min_max([7.0; 3].into_iter()), Ok(vec![0; 3]));
        assert!(min_max([0.0, f64::NAN].into_iter()).is_err());
    }
}

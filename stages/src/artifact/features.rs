//! The output of `features`: what a trunk that is not trained makes of each image.

use orchestrate_engine::stage::{ArtifactFacts, Item, StageError};

use super::{Columns, Images, Rows, Table, described, file};

/// Features of images after global average pooling, in data set order.
///
/// Columns: `image`, `features` (list of f32). Notes: those of [`Origin`].
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// Names of the images.
    pub names: Vec<String>,
    /// `[image, feature]`.
    pub values: Vec<f32>,
    /// The number of features of an image.
    pub width: usize,
    /// Everything that the values follow from.
    pub origin: Origin,
}

/// Everything that features follow from, as notes of their table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Digest of the file of images.
    pub images: String,
    /// The name of the model.
    pub model: String,
    /// Digest of the trunk's tensors.
    pub trunk: String,
    /// The type in which the trunk was computed.
    pub precision: String,
    /// JSON with mean and sd of each channel.
    pub normalisation: String,
}

impl Origin {
    /// Returns the digest of the images at a port.
    pub fn images_of(item: &Item) -> Result<String, StageError> {
        Ok(item.digest(&file::<Images>())?.to_string())
    }
}

impl Table for Features {
    const FACTS: &'static ArtifactFacts = &described::FEATURES;

    fn columns(&self) -> Result<Columns<'_>, StageError> {
        let Self { names, values, width, origin } = self;
        let rows = names.len();
        if values.len() != rows * width {
            return Err(StageError::new(format!(
                "{rows} images of {width} features have {} values, but there are {}",
                rows * width,
                values.len()
            )));
        }
        Ok(Columns::new()
            .text("image", names)
            .floats("features", rows, values)
            .note("images", &origin.images)
            .note("model", &origin.model)
            .note("trunk", &origin.trunk)
            .note("precision", &origin.precision)
            .note("normalisation", &origin.normalisation))
    }

    fn from_rows(rows: &Rows) -> Result<Self, StageError> {
        let note = |name: &str| {
            let missing = || rows.error(format!("there is no note `{name}`; a stage of kind `features` writes it"));
            rows.note(name).map(str::to_owned).ok_or_else(missing)
        };
        let origin = Origin {
            images: note("images")?,
            model: note("model")?,
            trunk: note("trunk")?,
            precision: note("precision")?,
            normalisation: note("normalisation")?,
        };
        let (values, width) = rows.floats("features")?;
        Ok(Self { names: rows.text("image")?, values, width, origin })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features() -> Features {
        let origin = Origin {
            images: "00".to_owned(),
            model: "squeezenet1_1".to_owned(),
            trunk: "11".to_owned(),
            precision: "f32".to_owned(),
            normalisation: "{}".to_owned(),
        };
        let names = ["b.png", "a.png"].map(str::to_owned).to_vec();
        Features { names, values: vec![0.0, -0.0, f32::MIN_POSITIVE, 1.0, 0.1, 1e30], width: 3, origin }
    }

    #[test]
    fn features_survive_parquet_to_the_last_bit() {
        let bytes = features().encode().unwrap();
        let read = Features::decode(&bytes).unwrap();
        assert_eq!(read, features());
        assert!(read.values.iter().zip(&features().values).all(|(read, wrote)| read.to_bits() == wrote.to_bits()));
        assert_eq!(read.encode().unwrap(), bytes);
    }

    #[test]
    fn features_that_do_not_say_what_they_follow_from_are_refused() {
        let columns = Columns::new().text("image", &["a".to_owned()]).floats("features", 1, &[1.0]).encode().unwrap();
        let error = Features::decode(&columns).unwrap_err().to_string();
        assert_eq!(error, "`features.parquet`: there is no note `images`; a stage of kind `features` writes it");
    }

    #[test]
    fn features_of_another_number_than_images_are_an_error() {
        let error = Features { width: 2, ..features() }.encode().unwrap_err().to_string();
        assert_eq!(error, "2 images of 2 features have 4 values, but there are 6");
    }
}

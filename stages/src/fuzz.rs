//! What must return whatever the bytes that it is given: for the targets in `fuzz/` and for tests of properties.

use std::path::Path;

use crate::artifact::{Curve, SegmentCurve};
use crate::command::template;
use crate::dataset;
use crate::model::{read_safetensors, read_state_dict};
use crate::split::matlab::vector;
use crate::training::checkpoint;

/// A picture, as an image and as a mask.
pub fn picture(bytes: &[u8]) {
    dataset::fuzz::picture(bytes);
}

/// A file of Cheng's set, and one with a vector of folds.
pub fn matlab(bytes: &[u8]) {
    dataset::fuzz::cheng(bytes);
    let _ = vector(bytes, "cvind");
}

/// A manifest, and its lines as the names of files in folders of classes.
pub fn manifest(bytes: &[u8]) {
    dataset::fuzz::manifest(bytes);
}

/// A file of published weights, or of our own.
pub fn weights(path: &Path) {
    let _ = read_state_dict(path, |_| true);
    let _ = std::fs::read(path).map(|bytes| read_safetensors(&bytes));
}

/// What stands in a checkpoint behind its checksum.
pub fn checkpoint(bytes: &[u8]) {
    let _ = checkpoint::Checkpoint::<Curve>::decode(bytes);
    let _ = checkpoint::Checkpoint::<SegmentCurve>::decode(bytes);
}

/// An item of a command's `argv`.
pub fn argument(bytes: &[u8]) {
    let _ = std::str::from_utf8(bytes).map(template::parse);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    type Read = fn(&[u8]);
    type Seed = (Read, Vec<u8>);

    const TARGETS: [(&str, Read); 6] = [
        ("picture", picture),
        ("matlab", matlab),
        ("manifest", manifest),
        ("weights", weights_of),
        ("checkpoint", checkpoint),
        ("argument", argument),
    ];

    fn weights_of(bytes: &[u8]) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        fs::write(&path, bytes).unwrap();
        weights(&path);
    }

    fn tests_dir() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
    }

    /// `tests/found/TARGET-WHAT`: what a target once broke on.
    #[test]
    fn what_fuzzing_found_is_read_or_refused() {
        for entry in fs::read_dir(tests_dir().join("found")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let of = |(target, _): &&(&str, Read)| name.strip_prefix(target).is_some_and(|rest| rest.starts_with('-'));
            let (_, read) = TARGETS.iter().find(of).unwrap_or_else(|| panic!("{name} is of no target"));
            read(&fs::read(&path).unwrap());
        }
    }

    const MANIFEST: &[u8] = b"image,label,mask,patient,fold\na.png,x,m.png,p1,1\n\"b, c.png\",y,,p2,2\n";

    /// Small files of all formats that are read.
    fn seeds() -> Vec<Seed> {
        let mut seeds: Vec<Seed> = vec![(manifest, MANIFEST.to_vec())];
        seeds.push((argument, b"{in.scores}/x-{params.a}-{out.b}{{}}{threads}".to_vec()));
        for (folder, read) in
            [("picture", picture as Read), ("mat", matlab), ("cvind", matlab), ("state_dict", weights_of)]
        {
            for entry in fs::read_dir(tests_dir().join("reference").join(folder)).unwrap() {
                seeds.push((read, fs::read(entry.unwrap().path()).unwrap()));
            }
        }
        seeds
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]

        /// Bytes are replaced, most of them near the start, where lengths stand; then the file is cut.
        #[test]
        fn a_damaged_file_of_any_format_is_read_or_refused(
            seed in any::<proptest::sample::Index>(),
            flips in vec((any::<u16>(), 0..4_u32, any::<u8>()), 0..6),
            end in proptest::option::of(any::<u16>()),
        ) {
            let seeds = seeds();
            let (read, mut bytes) = seeds[seed.index(seeds.len())].clone();
            for (place, shift, byte) in flips {
                let place = (usize::from(place) >> (4 * shift)) % bytes.len();
                bytes[place] = byte;
            }
            if let Some(end) = end {
                bytes.truncate(usize::from(end) % (bytes.len() + 1));
            }
            read(&bytes);
        }
    }
}

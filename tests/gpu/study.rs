//! Studies of the quickstart's shape, and the devices to run them on.

use serde_json::Value;

use crate::sandbox::Sandbox;

/// The interface to a driver in software.
#[derive(Clone, Copy)]
pub(crate) enum Api {
    /// Mesa's lavapipe; it computes in f32 and f16.
    Vulkan,
    /// Mesa's llvmpipe; it computes in f32.
    Gl,
}

/// Returns the name of the device that computes in software through an interface. Without one it says so, and the test
/// that asks is over.
pub(crate) fn device(api: Api) -> Option<String> {
    let wanted = match api {
        Api::Vulkan => "Vulkan",
        Api::Gl => "Gl",
    };
    let found = listed().into_iter().find(|device| device["kind"] == "software" && device["api"] == wanted);
    if found.is_none() {
        eprintln!("skipped: no driver computes in software through {wanted} (Debian: mesa-vulkan-drivers, libegl1)");
    }
    found.map(|device| device["device"].as_str().expect("a device has a name").to_owned())
}

/// Lists the devices; nothing in a program without GPU support.
pub(crate) fn listed() -> Vec<Value> {
    if !cfg!(feature = "wgpu") {
        return Vec::new();
    }
    let said = Sandbox::new().orchestrate(&["devices", "--json"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    said.out.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// Trainings of a classifier on two folds of phantoms, down to a table; `train` is TOML for the training.
pub(crate) fn classifier(images: usize, train: &str) -> String {
    format!(
        r#"
[experiment]
name = "gpu"
seed = 7

[axes]
fold = {{ folds = 2 }}
threshold = [200, "q90"]

[stages.images]
kind = "dataset"
format = "phantom"
count = {images}
size = 64

[stages.split]
kind = "split"
inputs = {{ labels = "images" }}

[stages.train]
kind = "train"
over = ["fold"]
inputs = {{ images = "images", split = "split" }}
{train}

[stages.cam]
kind = "cam"
inputs = {{ images = "images", split = "split", weights = "train" }}

[stages.threshold]
kind = "threshold"
over = ["threshold"]
inputs = {{ cams = "cam" }}

[stages.score]
kind = "score"
inputs = {{ cams = "cam", thresholds = "threshold", masks = "images" }}

[stages.iou]
kind = "table"
inputs = {{ scores = "score" }}
columns = ["threshold"]
value = "iou"
"#
    )
}

/// A U-Net on two halves of small phantoms.
pub(crate) const UNET: &str = r#"
[experiment]
name = "unet"
seed = 7

[stages.images]
kind = "dataset"
format = "phantom"
count = 8
size = 32

[stages.split]
kind = "split"
folds = 2
inputs = { labels = "images" }

[stages.segment]
kind = "segment"
fold = 1
inputs = { images = "images", masks = "images", split = "split" }
encoder = "vgg16"
epochs = 1
batch_size = 4
optimizer = "sgd"
learning_rate = 0.01

[stages.predict-masks]
kind = "predict-masks"
inputs = { images = "images", split = "split", weights = "segment" }

[stages.score]
kind = "score"
inputs = { predicted = "predict-masks", masks = "images" }

[stages.dice]
kind = "table"
inputs = { scores = "score" }
value = "dice"
"#;

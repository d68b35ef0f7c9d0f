//! State dicts by `tests/reference/state_dict.py`, and checkpoints by `tests/reference/checkpoints.py`.

use std::path::PathBuf;

use burn::tensor::{Device, bf16, f16};

use super::*;
use crate::model::{Classifier, ModelName, write_safetensors};
use crate::testing::reference::formula_tensor;
use orchestrate_stages::random::Seed;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/reference/state_dict").join(name)
}

fn state_dict(name: &str) -> Result<StateDict, String> {
    read_state_dict(&path(name), |name| !name.starts_with("classifier."))
}

fn read(name: &str) -> Result<Tensors, String> {
    let StateDict { tensors, remark } = state_dict(name)?;
    assert_eq!(remark, None, "{name} is a plain state dict");
    Ok(tensors)
}

fn error(name: &str) -> String {
    state_dict(name).expect_err("the file cannot be read")
}

#[test]
fn state_dicts_of_every_layout_give_the_same_tensors() {
    let zip = read("zip.pth").unwrap();
    let shapes: Vec<_> = zip.iter().map(|(name, tensor)| (name.as_str(), tensor.shape.clone())).collect();
    let expected = [
        ("features.0.bias", vec![2]),
        ("features.0.weight", vec![2, 3, 3, 3]),
        ("features.1.bias", vec![2]),
        ("features.1.running_mean", vec![2]),
        ("features.1.running_var", vec![2]),
        ("features.1.weight", vec![2]),
        ("features.2.weight", vec![5, 4]),
        ("features.3.weight", vec![4, 2]),
        ("features.4.weight", vec![4, 2]),
        ("features.5.weight", vec![4, 2]),
    ];
    assert_eq!(shapes, expected, "no classifier, no counter of batches");
    for (name, tensor) in &zip {
        let mut values = formula_tensor(name, &tensor.shape).values;
        for value in &mut values {
            match name.as_str() {
                "features.3.weight" => *value = f16::from_f32(*value).to_f32(),
                "features.4.weight" => *value = bf16::from_f32(*value).to_f32(),
                _ => {}
            }
        }
        assert_eq!(tensor.values, values, "{name}");
    }
    assert_eq!(read("legacy.pth").unwrap(), zip);
    assert_eq!(read("same.safetensors").unwrap(), zip);
}

#[test]
fn layers_of_dense_blocks_in_old_files_get_todays_names() {
    let tensors = read("densenet.pth").unwrap();
    assert_eq!(tensors.into_keys().collect::<Vec<_>>(), ["features.denseblock1.denselayer2.norm1.weight"]);
}

#[test]
fn integers_are_refused_by_name() {
    assert_eq!(error("integers.pth"), "`features.0.weight` is I64, but F16, BF16, F32 or F64 was expected");
}

#[test]
fn a_pickle_that_calls_a_function_is_read_without_calling_it() {
    let tensors = read("program.pth").unwrap();
    assert_eq!(tensors.into_keys().collect::<Vec<_>>(), ["features.0.weight"]);
    let error = error("program.pickle");
    assert!(error.starts_with("it holds an object of Python, `posix.mkdir`, in which"), "{error}");
    assert!(!PathBuf::from("executed").exists(), "what the pickle asks for was done");
}

#[test]
fn a_number_that_claims_to_be_a_large_tensor_is_refused_before_memory_is_taken() {
    let error = error("huge.pth");
    assert_eq!(error, "it declares 1073741824 bytes of tensors, but has 1556 bytes in all");
}

#[test]
fn checkpoints_of_training_programs_give_the_tensors_of_the_state_dict_and_say_so() {
    let shapes =
        [("features.0.bias", vec![2]), ("features.0.weight", vec![2, 3, 3, 3]), ("features.3.weight", vec![4, 2])];
    let expected: Tensors =
        shapes.iter().map(|(name, shape)| ((*name).to_owned(), formula_tensor(name, shape))).collect();
    let optimizer = "the tensors are taken from `model_state_dict`, not from `optimizer`";
    let table = [
        ("model.pth", Some("the tensors are taken from `model`".to_owned())),
        ("prefix.pth", Some("the prefix `model.` of all names is removed".to_owned())),
        ("parallel.pth", Some(format!("{optimizer}; the prefix `module.` of all names is removed"))),
        (
            "lightning.ckpt",
            Some(
                "the tensors are taken from `state_dict`, not from `optimizer_states`; \
                 the prefix `model.` of all names is removed"
                    .to_owned(),
            ),
        ),
        ("compiled.safetensors", Some("the prefix `_orig_mod.backbone.` of all names is removed".to_owned())),
        ("whole.pth", None),
    ];
    for (name, remark) in table {
        assert_eq!(state_dict(name), Ok(StateDict { tensors: expected.clone(), remark }), "{name}");
    }
}

#[test]
fn files_that_hold_no_state_dict_say_what_they_hold() {
    let table = [
        ("script.pt", "it is a program of TorchScript (`torch.jit.save`), not a state dict; save the tensors alone: "),
        ("arrays.pkl", "it holds no tensors; save the tensors alone: `torch.save(model.state_dict(), FILE)`"),
        ("settings.pth", "it holds no tensors; "),
        ("two.pth", "it has tensors under `state_dict` and under `model`; save the tensors alone: "),
        ("document.zip", "neither a safetensors file nor a state dict that torch.save wrote: No data.pkl entry found"),
    ];
    for (name, expected) in table {
        assert!(error(name).starts_with(expected), "{name}: {}", error(name));
    }
}

/// 24 tensors `[NaN, 1, ∞]`, and `[1e300, 0]` in 64 bits.
#[test]
fn values_that_are_no_numbers_are_counted_and_twenty_tensors_named() {
    let error = error("nan.pth");
    assert!(
        error.starts_with("`features.0.bias` has 2 NaN or infinite values of 3; `features.1.bias` has 2"),
        "{error}"
    );
    assert!(error.ends_with("; and 5 more") && error.matches("` has ").count() == 20, "{error}");
    let last = read_state_dict(&path("nan.pth"), |name| name.starts_with("features.99.")).unwrap_err();
    assert_eq!(last, "`features.99.bias` has 1 NaN or infinite values of 2");
    assert!(read_state_dict(&path("nan.pth"), |_| false).is_ok(), "tensors that nobody wants may hold anything");
}

#[test]
fn files_of_other_kinds_and_no_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file.pth");
    let refused = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        read_state_dict(&file, |_| true).unwrap_err()
    };
    let text = "neither a safetensors file nor a state dict that torch.save wrote, but a text: `Entry not found`";
    assert_eq!(refused(b"Entry not found\n"), text);
    let error = refused(b"\x01\x02\x03\x04");
    assert!(error.starts_with("neither a safetensors file nor a state dict that torch.save wrote: no ZIP"), "{error}");
    assert_eq!(refused(b""), "it is empty; fetch it again");
    assert!(refused(b"version https://git-lfs.github.com/spec/v1\noid").contains("run `git lfs pull`"));
    assert!(refused(b"<!doctype html><title>Sign in</title>").starts_with("it is a web page (HTML)"));
    for (name, length, expected) in [
        ("zip.pth", 3000, "its zip archive is cut short or damaged ("),
        ("legacy.pth", 900, "it is cut short ("),
        ("same.safetensors", 1000, "its header and its 1000 bytes disagree ("),
    ] {
        let error = refused(&std::fs::read(path(name)).unwrap()[..length]);
        assert!(error.starts_with(expected) && error.ends_with("; fetch it again"), "{name}: {error}");
    }
    let error = read_state_dict(&folder.path().join("none"), |_| true).unwrap_err();
    assert!(error.starts_with("it cannot be read: "), "{error}");
    let error = read_state_dict(folder.path(), |_| true).unwrap_err();
    assert_eq!(error, "it cannot be read: it is a folder, not a file");
}

/// A file that is cut short is refused, or gives all tensors: a few bytes after the last tensor may be missing.
#[test]
fn files_cut_short_are_refused_and_flipped_bytes_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let damaged = folder.path().join("damaged");
    for name in ["zip.pth", "legacy.pth", "same.safetensors"] {
        let bytes = std::fs::read(path(name)).unwrap();
        for length in (0..bytes.len()).step_by(3) {
            std::fs::write(&damaged, &bytes[..length]).unwrap();
            if let Ok(found) = read_state_dict(&damaged, |name| !name.starts_with("classifier.")) {
                assert_eq!(found.tensors, read(name).unwrap(), "{name} cut to {length} bytes");
            }
        }
        for place in (0..bytes.len()).step_by(3) {
            let mut bytes = bytes.clone();
            bytes[place] ^= 1 << (place % 8);
            std::fs::write(&damaged, &bytes).unwrap();
            // The result depends on the flipped byte; it must not panic.
            let _ = read_state_dict(&damaged, |_| true);
        }
    }
}

/// The file holds a whole network, with a classifier of 1,000 classes.
#[test]
fn every_problem_of_a_file_of_resnet18_is_named_at_once() {
    let model = ModelName::new("resnet18").unwrap();
    let drawn = |seed| Classifier::drawn(model, 3, &Seed::new("test", seed, &[]), &Device::flex());
    let mut file = drawn(1).tensors();
    file.retain(|name, _| !name.starts_with("head."));
    let zeros = |shape: &[usize]| Values { shape: shape.to_vec(), values: vec![0.0; shape.iter().product()] };
    file.insert("fc.weight".to_owned(), zeros(&[1000, 512]));
    file.insert("fc.bias".to_owned(), zeros(&[1000]));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resnet18.safetensors");
    let read = |file: &Tensors| {
        std::fs::write(&path, write_safetensors(file)).unwrap();
        let tensors = read_state_dict(&path, |name| model.is_of_trunk(name)).unwrap().tensors;
        assert!(!tensors.keys().any(|name| name.starts_with("fc.")), "the classifier is passed over");
        drawn(2).with_trunk(model, &tensors).map(|classifier| classifier.tensors())
    };
    let taken = read(&file).unwrap();
    assert_eq!(taken["layer4.1.conv2.weight"], file["layer4.1.conv2.weight"]);
    assert_eq!(taken["head.weight"], drawn(2).tensors()["head.weight"]);

    file.remove("layer1.0.bn1.running_var");
    file.insert("conv1.weight".to_owned(), zeros(&[64, 1, 7, 7]));
    file.insert("layer5.0.conv1.weight".to_owned(), zeros(&[1]));
    assert_eq!(
        read(&file).unwrap_err(),
        "`layer1.0.bn1.running_var` [64] is missing; `conv1.weight` is [64, 1, 7, 7], but [64, 3, 7, 7] was expected; \
         `layer5.0.conv1.weight` is unexpected"
    );

    let mixed: Tensors =
        drawn(1).tensors().into_iter().map(|(name, values)| (format!("model.{name}"), values)).collect();
    let beside = ("loss.weight".to_owned(), zeros(&[3]));
    let error = read(&mixed.into_iter().chain([beside]).collect()).unwrap_err();
    assert!(error.matches("` [").count() == 10 && error.matches("` is unexpected").count() == 10, "{error}");
    let end =
        "; and 183 more; is `model.bn1.bias` the missing `bn1.bias`? a prefix is removed only if all names share it";
    assert!(error.ends_with(end), "{error}");
}

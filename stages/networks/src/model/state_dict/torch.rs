//! Files by `torch.save`: the state dict in them, or the reason why there is none.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

use burn::store::pytorch::{PickleError, PytorchError, PytorchReader};
use burn::store::pytorch_reader::{DType, PickleValue, Tensor};
use safetensors::Dtype;

use super::entry::Entry;
use super::other;
use crate::model::problems::LISTED_MAX;

/// Advice for a file that holds something else.
pub(super) const SAVE: &str = "save the tensors alone: `torch.save(model.state_dict(), FILE)`";

/// Keys of a dictionary under which programs put the state dict, beside the optimiser and the like.
const KEYS: [&str; 5] = ["state_dict", "model_state_dict", "model", "net", "network"];

/// Returns the tensors of a state dict, and a remark on the part of the file that it was taken from, if not all of it.
///
/// A model that was saved whole (`torch.save(model)`) gives its state dict. Errors: a file that is cut short or holds
/// something else; two state dicts under known keys.
pub(super) fn entries(path: &Path, start: &[u8]) -> Result<(Vec<Entry<'static>>, Option<String>), String> {
    let whole = PytorchReader::new(path).map_err(|error| refusal(path, start, &error))?;
    let names: BTreeSet<String> = whole.tensors().keys().cloned().collect();
    let is_below = |name: &str, key: &str| name.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
    // A dot in a name may be one of a state dict, `model.conv1.weight`: the reader knows what the keys are.
    let held = KEYS.iter().filter(|key| names.iter().any(|name| is_below(name, key))).filter_map(|key| {
        let reader = PytorchReader::with_top_level_key(path, key).ok()?;
        (!reader.is_empty()).then_some((*key, reader))
    });
    let mut held: Vec<(&str, PytorchReader)> = held.collect();
    let Some((key, reader)) = held.pop() else { return Ok((each(whole), None)) };
    if let Some((other, _)) = held.first() {
        return Err(format!("it has tensors under `{other}` and under `{key}`; {SAVE}"));
    }
    let beside = names.iter().filter(|name| !is_below(name, key)).map(|name| name.split('.').next().unwrap_or(name));
    let beside: BTreeSet<String> = beside.map(|name| format!("`{name}`")).collect();
    let mut remark = format!("the tensors are taken from `{key}`");
    if !beside.is_empty() {
        let more = if beside.len() > LISTED_MAX { ", …" } else { "" };
        let listed: Vec<String> = beside.into_iter().take(LISTED_MAX).collect();
        remark += &format!(", not from {}{more}", listed.join(", "));
    }
    Ok((each(reader), Some(remark)))
}

fn each(reader: PytorchReader) -> Vec<Entry<'static>> {
    let mut tensors: Vec<Tensor> = reader.into_tensors().into_values().collect();
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let entry = |tensor: Tensor| Entry {
        name: tensor.name.clone(),
        shape: tensor.shape().to_vec(),
        dtype: dtype(tensor.dtype()),
        size_bytes: tensor.byte_len(),
        read: Box::new(move || tensor.read()),
    };
    tensors.into_iter().map(entry).collect()
}

fn dtype(dtype: DType) -> Dtype {
    match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I64 => Dtype::I64,
        DType::I32 => Dtype::I32,
        DType::I16 => Dtype::I16,
        DType::I8 => Dtype::I8,
        DType::U64 => Dtype::U64,
        DType::U32 => Dtype::U32,
        DType::U16 => Dtype::U16,
        DType::U8 => Dtype::U8,
        DType::Bool => Dtype::BOOL,
    }
}

/// Returns a sentence on a file that the reader refuses.
fn refusal(path: &Path, start: &[u8], error: &PytorchError) -> String {
    let is_cut = |error: &std::io::Error| error.kind() == ErrorKind::UnexpectedEof;
    match error {
        PytorchError::Zip(error) => {
            return format!("its zip archive is cut short or damaged ({error}); fetch it again");
        }
        PytorchError::Io(error) | PytorchError::Pickle(PickleError::Io(error)) if is_cut(error) => {
            return format!("it is cut short ({error}); fetch it again");
        }
        PytorchError::Pickle(PickleError::UnsupportedType(kind)) => return holds(kind),
        _ => {}
    }
    if let Ok(PickleValue::Unsupported(kind)) = PytorchReader::read_pickle_data(path, None) {
        return holds(&kind);
    }
    if let Some(text) = other::quoted_text(start) {
        return format!("neither a safetensors file nor a state dict that torch.save wrote, but a text: {text}");
    }
    // The reader's own prefixes would repeat this sentence.
    let said = ["invalid PyTorch file format: ", "not a PyTorch checkpoint: "];
    let error = error.to_string();
    let cause = said.iter().fold(error.as_str(), |cause, words| cause.strip_prefix(words).unwrap_or(cause));
    format!("neither a safetensors file nor a state dict that torch.save wrote: {cause}")
}

/// Returns a sentence on a Python object of a kind that is no state dict.
fn holds(kind: &str) -> String {
    if kind.starts_with("__torch__.") {
        return format!("it is a program of TorchScript (`torch.jit.save`), not a state dict; {SAVE}");
    }
    format!("it holds an object of Python, `{kind}`, in which tensors are not read; {SAVE}")
}

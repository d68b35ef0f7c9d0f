//! The tensors of a module by name, and safetensors files of them.
//!
//! A name is the path of fields and indices, `features.3.squeeze.weight`. It skips the field `trunk` and the variants
//! of enums, and numbers the layers of a dense block from 1, so that the names of trunks are torchvision's.

use std::borrow::Cow;
use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Tensor, TensorData};
use orchestrate_cache::{Digest, Digester};
use orchestrate_stages::random::Seed;
use safetensors::{Dtype, SafeTensors, View};

use super::problems::{listed, prefix_advice};

/// Tensors in the order of their names.
pub type Tensors = BTreeMap<String, Values>;

/// A tensor as plain numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Values {
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// Row by row, the last axis fastest.
    pub values: Vec<f32>,
}

/// Collects all float tensors of a module.
pub(crate) fn collect<M: Module>(module: &M) -> Tensors {
    let mut tensors = Tensors::new();
    visit(module, |name, shape, float| {
        let values = float.values.into_data().try_into_vec_as().expect("parameters are f32");
        tensors.insert(name, Values { shape, values });
    });
    tensors
}

/// Returns true if any tensor of a module on a device with gradients has one.
pub(super) fn is_trained<M: Module>(module: &M) -> bool {
    let mut trained = false;
    visit(module, |_, _, float| trained |= float.is_trained);
    trained
}

/// Replaces the tensors for whose name and shape `values` returns some.
///
/// Every parameter gets an id made from its name, so that the state of an optimiser finds it again in another process.
fn fill<M: Module>(module: M, values: impl FnMut(&str, &[usize]) -> Option<Vec<f32>>) -> M {
    module.map(&mut Fill { path: Path::default(), values })
}

/// Draws the tensors of two or more axes, uniform in ±√`squared_bound`; layers set the others themselves, such as
/// biases.
///
/// Every tensor has a stream of random numbers of its own, named after it, so that no other tensor, thread or training
/// changes its draws.
///
/// - `squared_bound`: from the name of a tensor, its fan-in and its fan-out
pub(super) fn draw<M: Module>(module: M, seed: &Seed, squared_bound: impl Fn(&str, [f64; 2]) -> f64) -> M {
    fill(module, |name, shape| {
        let [outputs, inputs, kernel @ ..] = shape else { return None };
        let places: usize = kernel.iter().product();
        let bound = squared_bound(name, [(inputs * places) as f64, (outputs * places) as f64]).sqrt();
        let mut generator = seed.generator("weights", name);
        let values = (0..shape.iter().product()).map(|_| ((2.0 * generator.unit() - 1.0) * bound) as f32);
        Some(values.collect())
    })
}

/// Replaces the tensors by those of a state dict.
///
/// Tensors of the module stay as they are where `keeps` returns true; tensors of the state dict are ignored where
/// `ignores` does. The error names tensors that are missing, misshapen or unexpected, at most 20.
pub(super) fn load<M: Module>(
    module: M,
    tensors: &Tensors,
    keeps: impl Fn(&str) -> bool,
    ignores: impl Fn(&str) -> bool,
) -> Result<M, String> {
    let mut expected = BTreeMap::new();
    visit(&module, |name, shape, _| drop(expected.insert(name, shape)));
    expected.retain(|name, _| !keeps(name));
    let (mut missing, mut misshapen) = (Vec::new(), Vec::new());
    for (name, shape) in &expected {
        match tensors.get(name) {
            None => missing.push(name.as_str()),
            Some(found) if found.shape != *shape => {
                misshapen.push(format!("`{name}` is {:?}, but {shape:?} was expected", found.shape));
            }
            Some(_) => {}
        }
    }
    let is_other = |name: &&str| !expected.contains_key(*name) && !ignores(name);
    let unexpected: Vec<&str> = tensors.keys().map(String::as_str).filter(is_other).collect();
    let advice = prefix_advice(&missing, &unexpected);
    let missing: Vec<_> = missing.into_iter().map(|name| format!("`{name}` {:?} is missing", expected[name])).collect();
    let unexpected: Vec<_> = unexpected.into_iter().map(|name| format!("`{name}` is unexpected")).collect();
    if missing.is_empty() && misshapen.is_empty() && unexpected.is_empty() {
        let values = |name: &str, _: &[usize]| expected.get(name).map(|_| tensors[name].values.clone());
        Ok(fill(module, values))
    } else {
        Err(listed(&[missing, misshapen, unexpected]) + &advice.unwrap_or_default())
    }
}

/// Reads a safetensors file; all tensors must be f32.
pub fn read_safetensors(bytes: &[u8]) -> Result<Tensors, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| format!("no readable safetensors file: {error}"))?;
    gather(file.iter().map(|(name, view)| {
        if view.dtype() != Dtype::F32 {
            return Err(format!("`{name}` is {:?}, but F32 was expected", view.dtype()));
        }
        let values = view.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes));
        Ok((name.to_owned(), Values { shape: view.shape().to_vec(), values: values.collect() }))
    }))
}

/// Returns all tensors; or the problems in alphabetical order, such as two tensors of one name.
pub(super) fn gather(tensors: impl Iterator<Item = Result<(String, Values), String>>) -> Result<Tensors, String> {
    let (mut gathered, mut problems) = (Tensors::new(), Vec::new());
    for tensor in tensors {
        match tensor {
            Ok((name, values)) => {
                if gathered.contains_key(&name) {
                    problems.push(format!("`{name}` is there twice, once under an older name"));
                }
                gathered.insert(name, values);
            }
            Err(problem) => problems.push(problem),
        }
    }
    problems.sort();
    if problems.is_empty() { Ok(gathered) } else { Err(listed(&[problems])) }
}

/// Writes a safetensors file, tensors in the order of their names; the same tensors give the same bytes.
pub fn write_safetensors(tensors: &Tensors) -> Vec<u8> {
    let views = tensors.iter().map(|(name, tensor)| (name.as_str(), LittleEndian(tensor)));
    safetensors::serialize(views, None).expect("names and sizes are far below the limits of the format")
}

/// Returns a digest of names, shapes and values, whatever file they were read from.
pub(crate) fn digest(tensors: &Tensors) -> Digest {
    let mut digester = Digester::default();
    let length = |digester: &mut Digester, length: usize| digester.update(&(length as u64).to_le_bytes());
    for (name, tensor) in tensors {
        length(&mut digester, name.len());
        digester.update(name.as_bytes());
        length(&mut digester, tensor.shape.len());
        tensor.shape.iter().for_each(|&axis| length(&mut digester, axis));
        digester.update(&LittleEndian(tensor).data());
    }
    digester.digest()
}

/// A tensor that is encoded while the file is written, so that no second copy of a whole network is in memory.
struct LittleEndian<'a>(&'a Values);

impl View for LittleEndian<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.0.values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn data_len(&self) -> usize {
        size_of_val(self.0.values.as_slice())
    }
}

#[derive(Default)]
struct Path(Vec<Option<String>>);

impl Path {
    fn enter(&mut self, name: &str, container: &str) {
        let in_dense_block =
            self.0.last().and_then(Option::as_deref).is_some_and(|name| name.starts_with("denseblock"));
        let name = match name.parse::<usize>() {
            _ if container.starts_with("Enum:") || name == "trunk" => None,
            Ok(index) if in_dense_block => Some(format!("denselayer{}", index + 1)),
            _ => Some(name.to_owned()),
        };
        self.0.push(name);
    }

    fn exit(&mut self) {
        self.0.pop();
    }

    fn name(&self) -> String {
        self.0.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(".")
    }
}

/// A float tensor of a module.
struct Float {
    /// The last axis fastest.
    values: Tensor<1>,
    /// True if a training changes it.
    is_trained: bool,
}

/// Calls `each` with the name and shape of every float tensor of a module.
fn visit<M: Module>(module: &M, each: impl FnMut(String, Vec<usize>, Float)) {
    module.visit(&mut Visit { path: Path::default(), each });
}

struct Visit<F> {
    path: Path,
    each: F,
}

impl<F: FnMut(String, Vec<usize>, Float)> ModuleVisitor for Visit<F> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let (tensor, is_trained) = (param.val(), param.is_require_grad());
        let (shape, count) = (tensor.dims().to_vec(), tensor.shape().num_elements());
        (self.each)(self.path.name(), shape, Float { values: tensor.reshape([count]), is_trained });
    }
}

struct Fill<F> {
    path: Path,
    values: F,
}

impl<F: FnMut(&str, &[usize]) -> Option<Vec<f32>>> ModuleMapper for Fill<F> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.name();
        let (_, tensor, mapper) = param.consume();
        let tensor = match (self.values)(&name, &tensor.dims()) {
            Some(values) => Tensor::from_data(TensorData::new(values, tensor.dims()), &tensor.device())
                .set_require_grad(tensor.is_require_grad()),
            None => tensor,
        };
        Param::from_mapped_value(id(&name), tensor, mapper)
    }
}

/// Returns the id of a parameter, made from its name.
pub(super) fn id(name: &str) -> ParamId {
    let digest = Digest::of(name.as_bytes());
    let first: [u8; 8] = digest.as_bytes()[..8].try_into().expect("a digest has 32 bytes");
    ParamId::from(u64::from_le_bytes(first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Classifier, ModelName};
    use burn::tensor::Device;
    use safetensors::tensor::TensorView;

    fn tiny() -> Classifier {
        let model = ModelName::new("tiny").expect("it exists");
        Classifier::drawn(model, 3, &Seed::new("test", 1, &[]), &Device::flex())
    }

    #[test]
    fn tensors_are_named_by_fields_and_indices() {
        let names: Vec<_> = tiny().tensors().into_iter().map(|(name, tensor)| (name, tensor.shape)).collect();
        let expected = [
            ("features.0.bias", vec![32]),
            ("features.0.weight", vec![32, 1, 7, 7]),
            ("features.2.bias", vec![32]),
            ("features.2.weight", vec![32, 32, 3, 3]),
            ("features.5.bias", vec![64]),
            ("features.5.weight", vec![64, 32, 3, 3]),
            ("features.7.bias", vec![64]),
            ("features.7.weight", vec![64, 64, 3, 3]),
            ("head.bias", vec![3]),
            ("head.weight", vec![3, 64]),
        ];
        assert_eq!(names, expected.map(|(name, shape)| (name.to_owned(), shape)));
    }

    #[test]
    fn every_tensor_that_does_not_fit_is_named() {
        let mut tensors = tiny().tensors();
        tensors.remove("features.0.bias");
        tensors.insert("features.2.bias".to_owned(), Values { shape: vec![2], values: vec![0.0; 2] });
        tensors.insert("features.9.bias".to_owned(), Values { shape: vec![1], values: vec![0.0] });
        tensors.insert("head.weight".to_owned(), Values { shape: vec![9, 9], values: vec![0.0; 81] });
        let model = ModelName::new("tiny").expect("it exists");
        let error = tiny().with_trunk(model, &tensors).expect_err("three tensors do not fit");
        assert_eq!(
            error,
            "`features.0.bias` [32] is missing; `features.2.bias` is [2], but [32] was expected; \
             `features.9.bias` is unexpected"
        );
    }

    #[test]
    fn tensors_survive_a_safetensors_file_and_give_the_same_bytes() {
        let tensors = tiny().tensors();
        let bytes = write_safetensors(&tensors);
        assert_eq!(read_safetensors(&bytes).expect("it was just written"), tensors);
        let model = ModelName::new("tiny").expect("it exists");
        let again = Classifier::from_tensors(model, 3, &tensors, &Device::flex()).expect("its own tensors fit");
        assert_eq!(write_safetensors(&again.tensors()), bytes);
    }

    #[test]
    fn a_digest_of_tensors_follows_from_names_shapes_and_values() {
        let tensors = tiny().tensors();
        let of = |change: &dyn Fn(&mut Tensors)| {
            let mut changed = tensors.clone();
            change(&mut changed);
            digest(&changed)
        };
        let bias = |tensors: &mut Tensors| tensors.remove("head.bias").expect("it has one");
        let digests = [
            of(&|_| ()),
            of(&|tensors| drop(bias(tensors))),
            of(&|tensors| tensors.get_mut("head.bias").expect("it has one").values[0] = 0.5),
            of(&|tensors| tensors.get_mut("head.weight").expect("it has one").shape.reverse()),
            of(&|tensors| {
                let bias = bias(tensors);
                tensors.insert("head.bia".to_owned(), bias);
            }),
        ];
        let distinct: std::collections::BTreeSet<_> = digests.iter().map(Digest::to_string).collect();
        assert_eq!(distinct.len(), 5);
        assert_eq!(digest(&tensors), digest(&read_safetensors(&write_safetensors(&tensors)).expect("it was written")));
    }

    #[test]
    fn tensors_of_another_type_are_named() {
        let view = TensorView::new(Dtype::F16, vec![1], &[0, 0]).expect("two bytes are one f16");
        let bytes = safetensors::serialize([("a", view)], None).expect("a small file");
        assert_eq!(read_safetensors(&bytes).expect_err("f16"), "`a` is F16, but F32 was expected");
        assert!(read_safetensors(b"nonsense").expect_err("not safetensors").contains("no readable safetensors file"));
    }

    #[test]
    fn two_tensors_of_one_name_are_refused() {
        let tensor = || Ok(("a".to_owned(), Values { shape: vec![1], values: vec![0.0] }));
        let error = gather([tensor(), tensor()].into_iter()).expect_err("one would be lost");
        assert_eq!(error, "`a` is there twice, once under an older name");
    }
}

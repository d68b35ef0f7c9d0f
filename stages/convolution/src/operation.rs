//! The convolution as an operation on Burn's tensors.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::ops::ModuleOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::activation::relu;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Tensor, TensorData, module};

use crate::forward::{Finish, convolve};
use crate::geometry::Geometry;
use crate::gradient;
use crate::kernel::Cpu;

/// The movement of a kernel over its input, in pixels, `[vertical, horizontal]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Pixels of the input between neighbours of the output, at least 1.
    pub stride: [usize; 2],
    /// Zeros around the input, on each side.
    pub padding: [usize; 2],
    /// Pixels of the input between neighbouring weights of a kernel, at least 1.
    pub dilation: [usize; 2],
}

impl Default for Options {
    fn default() -> Self {
        Self { stride: [1, 1], padding: [0, 0], dilation: [1, 1] }
    }
}

/// Convolves images; as usual in networks, by cross-correlation.
///
/// - `input`: `[batch, channel, height, width]`
/// - `weight`: `[unit, channel, height, width]`
/// - `bias`: `[unit]`
/// - returns: `[batch, unit, height, width]`
///
/// # Panics
///
/// Like Burn's convolution: if channels differ, or if the kernel is larger than the padded input.
pub fn conv2d(input: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, options: Options) -> Tensor<4> {
    operate(input, weight, bias, options, false)
}

/// [`conv2d`] with a ReLU, in one pass and one tensor less than the two operations.
pub fn conv2d_relu(input: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, options: Options) -> Tensor<4> {
    operate(input, weight, bias, options, true)
}

fn operate(
    input: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: Options,
    rectified: bool,
) -> Tensor<4> {
    if let Some(operation) = Operation::new(&input, &weight, bias.as_ref(), options, rectified) {
        let tracked = (
            input.clone().try_into_primitive::<Autodiff<Flex>>(),
            weight.clone().try_into_primitive::<Autodiff<Flex>>(),
            bias.clone().map(Tensor::try_into_primitive::<Autodiff<Flex>>).transpose(),
        );
        if let (Ok(input), Ok(weight), Ok(bias)) = tracked {
            return Tensor::from_primitive::<Autodiff<Flex>>(operation.tracked(input, weight, bias));
        }
        let plain = (
            input.clone().try_into_primitive::<Flex>(),
            weight.clone().try_into_primitive::<Flex>(),
            bias.clone().map(Tensor::try_into_primitive::<Flex>).transpose(),
        );
        if let (Ok(input), Ok(weight), Ok(bias)) = plain {
            return Tensor::from_primitive::<Flex>(operation.forward(&input, &weight, bias.as_ref()));
        }
    }
    let convolved =
        module::conv2d(input, weight, bias, ConvOptions::new(options.stride, options.padding, options.dilation, 1));
    if rectified { relu(convolved) } else { convolved }
}

/// A convolution that this crate computes.
#[derive(Clone, Copy, Debug)]
struct Operation {
    cpu: Cpu,
    geometry: Geometry,
    options: Options,
    rectified: bool,
}

impl Operation {
    /// Returns `None` if Burn must compute the convolution, or refuse it.
    fn new(
        input: &Tensor<4>,
        weight: &Tensor<4>,
        bias: Option<&Tensor<1>>,
        options: Options,
        rectified: bool,
    ) -> Option<Self> {
        let cpu = Cpu::detect()?;
        let [batch, channels, height, width] = input.dims();
        let [units, kernel_channels, kernel_height, kernel_width] = weight.dims();
        let geometry = Geometry {
            batch,
            channels,
            units,
            size: [height, width],
            kernel: [kernel_height, kernel_width],
            stride: options.stride,
            padding: options.padding,
            dilation: options.dilation,
        };
        let sizes = [batch, channels, units, height, width, kernel_height, kernel_width];
        let steps = options.stride.into_iter().chain(options.dilation);
        let fits = sizes.into_iter().chain(steps).all(|size| size > 0)
            && channels == kernel_channels
            && bias.is_none_or(|bias| bias.dims() == [units])
            && geometry.output().is_some();
        let mut types = [input.dtype(), weight.dtype()].into_iter().chain(bias.map(Tensor::dtype));
        (fits && types.all(|dtype| dtype == DType::F32)).then_some(Self { cpu, geometry, options, rectified })
    }

    fn forward(&self, input: &FlexTensor, weight: &FlexTensor, bias: Option<&FlexTensor>) -> FlexTensor {
        let (input, weight) = (input.to_contiguous(), weight.to_contiguous());
        let bias = bias.map(FlexTensor::to_contiguous);
        let finish = Finish { bias: bias.as_ref().map(numbers), relu: self.rectified };
        let sums = convolve(self.cpu, &self.geometry, numbers(&input), numbers(&weight), finish);
        let [height, width] = self.geometry.output().expect("BUG: `new` refuses a convolution without an output");
        tensor(sums, [self.geometry.batch, self.geometry.units, height, width])
    }

    fn tracked(
        self,
        input: FloatTensor<Autodiff<Flex>>,
        weight: FloatTensor<Autodiff<Flex>>,
        bias: Option<FloatTensor<Autodiff<Flex>>>,
    ) -> FloatTensor<Autodiff<Flex>> {
        let (input, input_node) = input.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let (bias, bias_node) = bias.map(FloatTensor::<Autodiff<Flex>>::into_parts).unzip();
        let output = self.forward(&input, &weight, bias.as_ref());
        let saved = Saved { operation: self, input, weight, output: self.rectified.then(|| output.clone()) };
        match bias_node {
            Some(bias_node) => finish(Gradient, [input_node, weight_node, bias_node], saved, output),
            None => finish(Gradient, [input_node, weight_node], saved, output),
        }
    }
}

/// Returns an output whose gradient goes back by `step`, if one of its parents is tracked.
pub(crate) fn finish<B: Backward<Flex, N>, const N: usize>(
    step: B,
    parents: [NodeGuard; N],
    saved: B::State,
    output: FlexTensor,
) -> FloatTensor<Autodiff<Flex>> {
    match step.prepare::<NoCheckpointing>(parents).compute_bound().stateful() {
        OpsKind::Tracked(step) => step.finish(saved, output),
        OpsKind::UnTracked(step) => step.finish(output),
    }
}

/// The tensors that gradients are computed from.
#[derive(Clone, Debug)]
struct Saved {
    operation: Operation,
    input: FlexTensor,
    weight: FlexTensor,
    /// The output, if it was rectified.
    output: Option<FlexTensor>,
}

/// The backward step; its parents are the input, the weights and the bias, if there is one.
#[derive(Debug)]
struct Gradient;

impl<const N: usize> Backward<Flex, N> for Gradient {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, N>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let Saved { operation: Operation { cpu, geometry, options, .. }, input, weight, output } = ops.state;
        let mut gradient = gradients.consume::<Flex>(&ops.node).to_contiguous();
        if let Some(output) = output {
            let start = gradient.layout().start_offset();
            let count = numbers(&output).len();
            gradient::before_relu(cpu, &mut gradient.storage_mut::<f32>()[start..start + count], numbers(&output));
        }
        let parent = |index: usize| ops.parents.get(index).and_then(Option::as_ref);
        if let Some(node) = parent(0) {
            let computed = gradient::of_input(cpu, &geometry, numbers(&weight.to_contiguous()), numbers(&gradient));
            let [height, width] = geometry.size;
            let of_input = match computed {
                Some(values) => tensor(values, [geometry.batch, geometry.channels, height, width]),
                None => {
                    let options = ConvOptions::new(options.stride, options.padding, options.dilation, 1);
                    Flex::conv2d_x_backward(input.clone(), weight.clone(), gradient.clone(), options)
                }
            };
            gradients.register::<Flex>(node.id, of_input);
        }
        if let Some(node) = parent(1) {
            let values = gradient::of_weight(cpu, &geometry, numbers(&input.to_contiguous()), numbers(&gradient));
            let [height, width] = geometry.kernel;
            gradients.register::<Flex>(node.id, tensor(values, [geometry.units, geometry.channels, height, width]));
        }
        if let Some(node) = parent(2) {
            let plane = numbers(&gradient).len() / (geometry.batch * geometry.units);
            let values = gradient::of_bias(cpu, geometry.units, plane, numbers(&gradient));
            gradients.register::<Flex>(node.id, tensor(values, [geometry.units]));
        }
    }
}

/// Returns the numbers of a contiguous tensor.
pub(crate) fn numbers(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("BUG: the tensor was made contiguous")
}

pub(crate) fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

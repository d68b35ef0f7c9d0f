//! ResNet of 18, 34 and 50 layers. Source: He et al. 2016, arXiv 1512.03385, in torchvision's arrangement and names.
//!
//! As in torchvision, a bottleneck has its stride in the 3×3 convolution ("v1.5").

use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::architecture::Architecture;
use super::batch_norm::BatchNorm;
use super::classifier::Trunk;
use super::input::Normalisation;
use super::layer::{self, Conv, Layer, MaxPool, conv_unbiased, max_pool_padded};

pub(super) const RESNET18: Architecture = Architecture {
    name: "resnet18",
    about: "ResNet-18 as in torchvision, 11.2 million weights; 7×7 maps at 224 pixels",
    features: 512,
    trunk: |device| Trunk::ResNet(ResNet::new(Depth::D18, device)),
    ..PLAIN
};

pub(super) const RESNET34: Architecture = Architecture {
    name: "resnet34",
    about: "ResNet-34 as in torchvision, 21.3 million weights; 7×7 maps at 224 pixels",
    features: 512,
    trunk: |device| Trunk::ResNet(ResNet::new(Depth::D34, device)),
    ..PLAIN
};

pub(super) const RESNET50: Architecture = Architecture {
    name: "resnet50",
    about: "ResNet-50 as in torchvision, 23.5 million weights; 7×7 maps at 224 pixels",
    features: 2048,
    trunk: |device| Trunk::ResNet(ResNet::new(Depth::D50, device)),
    ..PLAIN
};

const PLAIN: Architecture = Architecture {
    name: "",
    about: "",
    channels: 3,
    features: 512,
    size_min: 32,
    normalisation: Some(Normalisation::image_net),
    published_head: "fc.",
    trunk: |device| Trunk::ResNet(ResNet::new(Depth::D18, device)),
};

/// The number of layers with weights.
#[derive(Clone, Copy, Debug)]
pub enum Depth {
    /// Two basic blocks at each resolution.
    D18,
    /// 3, 4, 6 and 3 basic blocks.
    D34,
    /// 3, 4, 6 and 3 bottlenecks.
    D50,
}

impl Depth {
    fn blocks(self) -> [usize; 4] {
        match self {
            Self::D18 => [2, 2, 2, 2],
            Self::D34 | Self::D50 => [3, 4, 6, 3],
        }
    }
}

/// The trunk of a ResNet.
#[derive(Module, Debug)]
pub struct ResNet {
    conv1: Conv,
    bn1: BatchNorm,
    maxpool: MaxPool,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    layer4: Vec<Block>,
}

/// What is added to its input, or to a projection of it.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "a network has a dozen of them, all alike")]
enum Block {
    Basic(Basic),
    Bottleneck(Bottleneck),
}

/// Two 3×3 convolutions.
#[derive(Module, Debug)]
struct Basic {
    conv1: Conv,
    bn1: BatchNorm,
    conv2: Conv,
    bn2: BatchNorm,
    downsample: Vec<Layer>,
}

/// 1×1, 3×3 and 1×1 convolutions, the last to four times as many channels.
#[derive(Module, Debug)]
struct Bottleneck {
    conv1: Conv,
    bn1: BatchNorm,
    conv2: Conv,
    bn2: BatchNorm,
    conv3: Conv,
    bn3: BatchNorm,
    downsample: Vec<Layer>,
}

impl ResNet {
    /// Number of [`ResNet::maps`].
    pub const MAPS: usize = 5;

    /// The trunk with zero weights.
    pub fn new(depth: Depth, device: &Device) -> Self {
        let mut channels = 64;
        let [layer1, layer2, layer3, layer4] = [0, 1, 2, 3].map(|index| {
            let (width, stride) = (64 << index, if index == 0 { 1 } else { 2 });
            let strides = (0..depth.blocks()[index]).map(|block| if block == 0 { stride } else { 1 });
            strides.map(|stride| Block::new(depth, &mut channels, width, stride, device)).collect()
        });
        Self {
            conv1: conv_unbiased([3, 64], 7, 2, 3, device),
            bn1: BatchNorm::new(64, device),
            maxpool: max_pool_padded(3, 2, 1),
            layer1,
            layer2,
            layer3,
            layer4,
        }
    }

    /// The feature map before global average pooling.
    ///
    /// - `images`: `[batch, 3, height, width]`
    /// - returns: `[batch, 512, h, w]`, ResNet-50 `[batch, 2048, h, w]`, at 1⁄32 of the size, rounded up
    pub fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let [.., last] = self.maps(images);
        last
    }

    /// The map of every resolution, for a decoder: after the first ReLU, and after `layer1` to `layer4`.
    ///
    /// - `images`: `[batch, 3, height, width]`
    /// - returns: 64, 64, 128, 256 and 512 channels (ResNet-50: 64, 256, 512, 1,024 and 2,048), at ½, ¼, ⅛, 1⁄16 and 1⁄32 of
    ///   the size, rounded up
    pub fn maps(&self, images: Tensor<4>) -> [Tensor<4>; Self::MAPS] {
        let run = |blocks: &[Block], map: &Tensor<4>| blocks.iter().fold(map.clone(), |map, block| block.forward(map));
        let stem = relu(self.bn1.forward(self.conv1.forward(images)));
        let map1 = run(&self.layer1, &self.maxpool.forward(stem.clone()));
        let map2 = run(&self.layer2, &map1);
        let map3 = run(&self.layer3, &map2);
        let map4 = run(&self.layer4, &map3);
        [stem, map1, map2, map3, map4]
    }
}

impl Block {
    /// A block from `channels` channels, which become those that it gives.
    fn new(depth: Depth, channels: &mut usize, width: usize, stride: usize, device: &Device) -> Self {
        let input = *channels;
        *channels = if matches!(depth, Depth::D50) { 4 * width } else { width };
        let downsample = if stride == 1 && input == *channels {
            Vec::new()
        } else {
            let conv = conv_unbiased([input, *channels], 1, stride, 0, device);
            vec![Layer::Conv(conv), Layer::Norm(BatchNorm::new(*channels, device))]
        };
        let norm = |channels| BatchNorm::new(channels, device);
        match depth {
            Depth::D18 | Depth::D34 => Self::Basic(Basic {
                conv1: conv_unbiased([input, width], 3, stride, 1, device),
                bn1: norm(width),
                conv2: conv_unbiased([width, width], 3, 1, 1, device),
                bn2: norm(width),
                downsample,
            }),
            Depth::D50 => Self::Bottleneck(Bottleneck {
                conv1: conv_unbiased([input, width], 1, 1, 0, device),
                bn1: norm(width),
                conv2: conv_unbiased([width, width], 3, stride, 1, device),
                bn2: norm(width),
                conv3: conv_unbiased([width, *channels], 1, 1, 0, device),
                bn3: norm(*channels),
                downsample,
            }),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let (residual, downsample) = match self {
            Self::Basic(block) => {
                let map = relu(block.bn1.forward(block.conv1.forward(input.clone())));
                (block.bn2.forward(block.conv2.forward(map)), &block.downsample)
            }
            Self::Bottleneck(block) => {
                let map = relu(block.bn1.forward(block.conv1.forward(input.clone())));
                let map = relu(block.bn2.forward(block.conv2.forward(map)));
                (block.bn3.forward(block.conv3.forward(map)), &block.downsample)
            }
        };
        relu(residual + layer::forward(downsample, input))
    }
}

//! ResNet of 18, 34 and 50 layers. Source: He et al. 2016, arXiv 1512.03385, in torchvision's arrangement and names.
//!
//! As in torchvision, a bottleneck has its stride in the 3×3 convolution ("v1.5").

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::architecture::{Architecture, IMAGE_NET};
use super::batch_norm::BatchNorm;
use super::conv::{Conv, conv_unbiased};
use super::layer::{self, Layer, MaxPool, max_pool_padded};
use super::trunk::Trunk;

/// ResNet-18 as in torchvision, 11.2 million weights; 7×7 maps at 224 pixels.
pub(super) const RESNET18: Architecture =
    Architecture { name: "resnet18", trunk: |device| Trunk::ResNet(ResNet::new([2, 2, 2, 2], false, device)), ..PLAIN };

/// ResNet-34 as in torchvision, 21.3 million weights; 7×7 maps at 224 pixels.
pub(super) const RESNET34: Architecture =
    Architecture { name: "resnet34", trunk: |device| Trunk::ResNet(ResNet::new([3, 4, 6, 3], false, device)), ..PLAIN };

/// ResNet-50 as in torchvision, 23.5 million weights; 7×7 maps at 224 pixels.
pub(super) const RESNET50: Architecture = Architecture {
    name: "resnet50",
    features: 2048,
    trunk: |device| Trunk::ResNet(ResNet::new([3, 4, 6, 3], true, device)),
    ..PLAIN
};

const PLAIN: Architecture = Architecture { pretrained_head: "fc.", ..IMAGE_NET };

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

/// Convolutions whose result is added to their input, or to a projection of it.
///
/// A basic block has two 3×3 convolutions. A bottleneck has 1×1, 3×3 and 1×1 convolutions, the last to four times as
/// many channels.
#[derive(Module, Debug)]
struct Block {
    conv1: Conv,
    bn1: BatchNorm,
    conv2: Conv,
    bn2: BatchNorm,
    conv3: Option<Conv>,
    bn3: Option<BatchNorm>,
    downsample: Vec<Layer>,
}

impl ResNet {
    /// The trunk with zero weights.
    ///
    /// - `blocks`: the number of blocks at each resolution
    /// - `bottleneck`: bottlenecks instead of basic blocks
    fn new(blocks: [usize; 4], bottleneck: bool, device: &Device) -> Self {
        let mut channels = 64;
        let [layer1, layer2, layer3, layer4] = [0, 1, 2, 3].map(|index| {
            let (width, stride) = (64 << index, if index == 0 { 1 } else { 2 });
            let strides = (0..blocks[index]).map(|block| if block == 0 { stride } else { 1 });
            strides.map(|stride| Block::new(bottleneck, &mut channels, width, stride, device)).collect()
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
    pub(super) fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let [.., last] = self.maps(images);
        last
    }

    /// The map of every resolution, for a decoder: after the first ReLU, and after `layer1` to `layer4`.
    ///
    /// - `images`: `[batch, 3, height, width]`
    /// - returns: 64, 64, 128, 256 and 512 channels (ResNet-50: 64, 256, 512, 1,024 and 2,048), at ½, ¼, ⅛, 1⁄16 and
    ///   1⁄32 of the size, rounded up
    pub(super) fn maps(&self, images: Tensor<4>) -> [Tensor<4>; 5] {
        let run = |blocks: &[Block], map: &Tensor<4>| blocks.iter().fold(map.clone(), |map, block| block.forward(map));
        let stem = self.bn1.forward_relu(self.conv1.forward(images));
        let map1 = run(&self.layer1, &self.maxpool.forward(stem.clone()));
        let map2 = run(&self.layer2, &map1);
        let map3 = run(&self.layer3, &map2);
        let map4 = run(&self.layer4, &map3);
        [stem, map1, map2, map3, map4]
    }
}

impl Block {
    /// A block from `channels` channels, which it sets to the number of channels of its output.
    fn new(bottleneck: bool, channels: &mut usize, width: usize, stride: usize, device: &Device) -> Self {
        let input = *channels;
        *channels = if bottleneck { 4 * width } else { width };
        let output = *channels;
        let norm = |channels| BatchNorm::new(channels, device);
        let downsample = if stride == 1 && input == output {
            Vec::new()
        } else {
            vec![Layer::Conv(conv_unbiased([input, output], 1, stride, 0, device)), Layer::Norm(norm(output))]
        };
        let [kernel, stride1, stride2] = if bottleneck { [1, 1, stride] } else { [3, stride, 1] };
        Self {
            conv1: conv_unbiased([input, width], kernel, stride1, kernel / 2, device),
            bn1: norm(width),
            conv2: conv_unbiased([width, width], 3, stride2, 1, device),
            bn2: norm(width),
            conv3: bottleneck.then(|| conv_unbiased([width, output], 1, 1, 0, device)),
            bn3: bottleneck.then(|| norm(output)),
            downsample,
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let map = self.conv2.forward(self.bn1.forward_relu(self.conv1.forward(input.clone())));
        let (map, last) = match (&self.conv3, &self.bn3) {
            (Some(conv), Some(norm)) => (conv.forward(self.bn2.forward_relu(map)), norm),
            _ => (map, &self.bn2),
        };
        last.forward_add_relu(map, layer::forward(&self.downsample, input))
    }
}

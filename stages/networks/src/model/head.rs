//! The end of every classifier: global average pooling and one linear layer.

use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};

/// A linear layer from pooled features to classes.
/// The weight is `[class, feature]`, as in PyTorch; a class activation map needs one row of it.
#[derive(Module, Debug)]
pub struct Head {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

impl Head {
    /// A head with zero weights.
    pub fn new(classes: usize, features: usize, device: &Device) -> Self {
        Self {
            weight: Initializer::Zeros.init([classes, features], device),
            bias: Initializer::Zeros.init([classes], device),
        }
    }

    /// Computes class scores before softmax.
    ///
    /// - `pooled`: `[batch, feature]`, see [`pool`]
    /// - returns: `[batch, class]`
    pub fn forward(&self, pooled: Tensor<2>) -> Tensor<2> {
        pooled.matmul(self.weight.val().transpose()) + self.bias.val().unsqueeze()
    }

    /// Returns the weight of each feature for each class, `[class, feature]`.
    pub fn class_weights(&self) -> Tensor<2> {
        self.weight.val()
    }
}

/// Computes the mean of each feature over the map.
///
/// - `features`: `[batch, feature, height, width]`
/// - returns: `[batch, feature]`
pub fn pool(features: Tensor<4>) -> Tensor<2> {
    let [batch, channels, height, width] = features.dims();
    let places: Tensor<3> = features.reshape([batch, channels, height * width]);
    places.mean_dim(2).reshape([batch, channels])
}

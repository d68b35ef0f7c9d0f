//! Times the operations of burn-flex 0.22.1 beside those of the patch; see docs/upstream.md.

extern crate alloc;

// The file that the patch adds; its `crate::` names are those below.
#[path = "../../burn-flex/src/ops/batch_norm.rs"]
mod batch_norm;

use std::hint::black_box;
use std::time::Instant;

use burn_backend::TensorData;
use burn_backend::ops::ModuleOps;
pub use burn_flex::{Flex, FlexTensor, Layout};

const EPSILON: f64 = 1e-5;

fn tensor(shape: Vec<usize>, seed: usize) -> FlexTensor {
    let count: usize = shape.iter().product();
    let values = (0..count).map(|index| ((index + 1) * seed * 7919 % 2003) as f32 / 1001.5 - 1.0);
    FlexTensor::from_data(TensorData::new(values.collect::<Vec<f32>>(), shape))
}

/// Returns the milliseconds of the fastest of fifteen runs.
fn best<T>(mut run: impl FnMut() -> T) -> f64 {
    black_box(run());
    let timed = |_| {
        let began = Instant::now();
        black_box(run());
        began.elapsed().as_secs_f64() * 1000.0
    };
    (0..15).map(timed).fold(f64::MAX, f64::min)
}

fn compare([batch, channels, size]: [usize; 3]) -> String {
    let shape = vec![batch, channels, size, size];
    let (x, grad) = (tensor(shape.clone(), 1), tensor(shape, 4));
    let (gamma, beta) = (tensor(vec![channels], 2), tensor(vec![channels], 3));
    let result = batch_norm::batch_norm_train(x.clone(), gamma.clone(), beta.clone(), EPSILON);
    let (mean, variance) = (result.mean, result.variance);
    let arguments = || (x.clone(), gamma.clone(), mean.clone(), variance.clone(), EPSILON, grad.clone());
    let forward = best(|| Flex::batch_norm_train(x.clone(), gamma.clone(), beta.clone(), EPSILON).output);
    let patched = best(|| batch_norm::batch_norm_train(x.clone(), gamma.clone(), beta.clone(), EPSILON).output);
    let backward = best(|| {
        let (x, gamma, mean, variance, epsilon, grad) = arguments();
        Flex::batch_norm_train_backward(x, gamma, mean, variance, epsilon, grad).x_grad
    });
    let patched_backward = best(|| {
        let (x, gamma, mean, variance, epsilon, grad) = arguments();
        batch_norm::batch_norm_train_backward(x, gamma, mean, variance, epsilon, grad).x_grad
    });
    format!("forward {forward:.2} → {patched:.2} ms, backward {backward:.2} → {patched_backward:.2} ms")
}

fn main() {
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be started");
        for sizes in [[8, 64, 112], [8, 64, 56], [8, 512, 7], [32, 32, 24]] {
            println!("{threads} threads, {sizes:?}: {}", pool.install(|| compare(sizes)));
        }
    }
}

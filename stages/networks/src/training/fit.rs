//! The training loop, one for all tasks: resume from a checkpoint or start, then epoch by epoch to the last.

use std::io::{self, Write};

use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::Device;
use orchestrate_engine::stage::{Action, Content, Context, Output, Progress, StageError};
use orchestrate_stages::artifact::{Epoch, Epochs, TEXT, Table};
use orchestrate_stages::random::Seed;
use orchestrate_stages::threads::with_threads;

use super::checkpoint::{Checkpoint, Checkpoints};
use super::loader::ahead;
use super::pretrained::told;
use super::recipe::Recipe;
use super::task::{Start, Task};
use crate::device::device;
use crate::model::{Card, Weights, collect, scalar};

/// The number of progress reports in an epoch, each with the loss of a mini-batch.
const REPORTS_PER_EPOCH: usize = 10;

/// Trains from the latest checkpoint, or from the start; returns the weights after the last epoch, with a text if
/// pretrained ones were taken from a part of their file, and the training curve.
///
/// Errors: pretrained weights that do not fit; a loss that is not finite, with its epoch and batch; an image that
/// cannot be read; [`StageError::Cancelled`].
pub(crate) fn fit<T: Task>(
    task: T,
    recipe: &Recipe,
    context: &Context<'_>,
    action: &Action,
) -> Result<Vec<Output>, StageError> {
    let device = device(context.device)?;
    with_threads(context.threads, || {
        let stamped = |dir| Checkpoints::new(dir, action.key).stamped(context.checkpoint_stamp.clone());
        let checkpoints = context.checkpoint_dir.map(stamped);
        let mut training = Training::new(task, recipe, context, device, checkpoints.as_ref())?;
        while (training.curve.epochs.len() as u32) < recipe.epochs {
            training.epoch()?;
            if let Some(checkpoints) = &checkpoints {
                checkpoints.save(&training.checkpoint()?);
            }
        }
        let weights = Weights { card: training.task.card().clone(), tensors: collect(&training.network) };
        let mut weights = weights.output()?;
        let told = training.task.pretrained().and_then(told);
        weights.files.extend(told.map(|told| (TEXT.to_owned(), Content::Bytes(format!("{told}\n").into_bytes()))));
        Ok(vec![weights, training.curve.output()?])
    })
}

/// A training after some epochs.
struct Training<'a, T: Task> {
    task: T,
    recipe: &'a Recipe,
    context: &'a Context<'a>,
    seed: Seed,
    /// The device without autodiff, for validation; training adds autodiff.
    device: Device,
    network: T::Network,
    optimizer: ModuleOptimizer,
    curve: Epochs<T::Figure>,
}

impl<'a, T: Task> Training<'a, T> {
    /// Resumes from the latest checkpoint that can be restored; else builds a new network.
    fn new(
        mut task: T,
        recipe: &'a Recipe,
        context: &'a Context<'a>,
        device: Device,
        checkpoints: Option<&Checkpoints>,
    ) -> Result<Self, StageError> {
        let autodiff_device = device.clone().autodiff();
        let restore = |checkpoint: Checkpoint<T::Figure>| {
            let network = task.card().build(&checkpoint.tensors, &autodiff_device).map_err(StageError::new)?;
            Ok((network, checkpoint.restore(recipe.optimizer())?, checkpoint.curve))
        };
        let (network, optimizer, curve) = match checkpoints.and_then(|checkpoints| checkpoints.resume(restore)) {
            Some(resumed) => resumed,
            None => (initial(&task, &autodiff_device)?, recipe.optimizer(), Epochs { epochs: Vec::new() }),
        };
        let epochs_done = curve.epochs.len();
        if task.pretrained().is_none() && task.card().architecture().normalisation.is_some() {
            let name = task.card().name();
            tracing::warn!("{name} starts from random weights; pretrained ones are named by `init.weights`");
            report(context, recipe, epochs_done as u32, "random initial weights".to_owned());
        }
        if let Some(told) = task.pretrained().and_then(told) {
            report(context, recipe, epochs_done as u32, told);
        }
        let network = task.prepare(network, &Start { context, device: &device, epochs_done })?;
        Ok(Self { seed: task.card().streams(), task, recipe, context, device, network, optimizer, curve })
    }

    /// Runs one pass over the training images, then one over the validation images.
    fn epoch(&mut self) -> Result<(), StageError> {
        let Self { task, recipe, context, network, optimizer, .. } = self;
        let epoch = self.curve.epochs.len() as u32 + 1;
        let learning_rate = recipe.learning_rate(epoch);
        let mut order = task.division().train.clone();
        self.seed.generator("order of images", &epoch.to_string()).shuffle(&mut order);
        let mut generator = self.seed.generator("augmentation", &epoch.to_string());

        let autodiff_device = self.device.clone().autodiff();
        let batch_count = order.len().div_ceil(recipe.batch_size);
        let mut loss_sum = 0.0;
        let batches = order.chunks(recipe.batch_size).enumerate();
        let batches = batches.map(|(index, images)| (index, images, task.batch(images, Some(&mut generator))));
        ahead(context.cancelled, batches, |(index, images, batch)| {
            let loss = task.loss(network, images, batch?, &autodiff_device);
            let gradients = GradientsParams::from_grads(loss.backward(), network);
            *network = optimizer.step(learning_rate, network.clone(), gradients);
            // Read after the optimiser's step: a GPU computes asynchronously, and reading a number waits for it.
            let loss = scalar(loss)?;
            if !loss.is_finite() {
                return Err(diverged(loss, epoch, index + 1, learning_rate));
            }
            // The loss is a mean over the batch, and the last batch may be smaller.
            loss_sum += loss * images.len() as f64;
            if index.is_multiple_of(batch_count.div_ceil(REPORTS_PER_EPOCH)) {
                report(context, recipe, epoch - 1, format!("loss {loss:.3}"));
            }
            Ok(())
        })?;
        let train_loss = loss_sum / order.len() as f64;

        let (validation_loss, figure) = self.validate()?;
        if !validation_loss.is_finite() {
            return Err(diverged(validation_loss, epoch, batch_count, learning_rate));
        }
        log_epoch(epoch, self.recipe, train_loss, validation_loss, learning_rate);
        self.curve.epochs.push(Epoch { epoch, learning_rate, train_loss, validation_loss, figure });
        report(self.context, self.recipe, epoch, format!("loss {train_loss:.3}"));
        Ok(())
    }

    /// Returns the loss and the figure of the validation images.
    fn validate(&self) -> Result<(f64, T::Figure), StageError> {
        let Self { task, recipe, context, device, .. } = self;
        let network = self.network.valid();
        let mut tally = T::Tally::default();
        let batches = task.division().validation.chunks(recipe.batch_size);
        let batches = batches.map(|images| (images, task.batch(images, None)));
        ahead(context.cancelled, batches, |(images, batch)| task.score(&network, images, batch?, device, &mut tally))?;
        Ok(task.figures(tally))
    }

    fn checkpoint(&self) -> Result<Checkpoint<T::Figure>, StageError> {
        Checkpoint::new(collect(&self.network), &self.optimizer, self.curve.clone())
    }
}

/// Builds the network before its first step: with random weights, then with pretrained ones in the trunk if given.
fn initial<T: Task>(task: &T, device: &Device) -> Result<T::Network, StageError> {
    let card = task.card();
    let drawn = card.drawn(device);
    let Some(pretrained) = task.pretrained() else { return Ok(drawn) };
    let pretrained = card.with_pretrained(drawn, &pretrained.tensors);
    pretrained.map_err(|error| StageError::new(format!("init.weights does not fit {}: {error}", card.name())))
}

fn report(context: &Context<'_>, recipe: &Recipe, epochs_done: u32, message: String) {
    (context.progress)(Progress { done: u64::from(epochs_done), total: u64::from(recipe.epochs), message });
}

/// Writes a line to the node's log, which receives the standard error of a worker.
fn log_epoch(epoch: u32, recipe: &Recipe, train_loss: f64, validation_loss: f64, learning_rate: f64) {
    let epochs = recipe.epochs;
    // The log is for people; a full disk is reported elsewhere.
    let _ = writeln!(
        io::stderr(),
        "epoch {epoch}/{epochs}: training loss {train_loss:.4}, validation loss {validation_loss:.4}, \
         learning rate {learning_rate}"
    );
}

/// The error of a loss that is not finite; epoch and batch count from 1.
fn diverged(loss: f64, epoch: u32, batch: usize, learning_rate: f64) -> StageError {
    StageError::new(format!(
        "the loss is {loss} in epoch {epoch}, batch {batch}: the training diverged; \
         lower `learning_rate` (now {learning_rate})"
    ))
}

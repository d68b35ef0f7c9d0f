//! The loop of a training.

use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor, TensorData};
use orchestrate_engine::stage::{Progress, StageError};

use super::data::Data;
use super::loss::Tally;
use super::mask::{self, Level};
use super::params::{Freeze, Params};
use crate::model::{Normalisation, Tensors, Unet, image_data, image_tensor};
use crate::train::Augment;
use crate::training::augment::Change;
use crate::training::{Checkpoint, Session, ahead, diverged, optimizer, scalar, unreadable};
use orchestrate_stages::artifact::{SegmentCurve, SegmentEpoch};
use orchestrate_stages::random::{Generator, Seed};

/// Trains from the last checkpoint, or from the start.
///
/// - `published`: weights that replace drawn ones
/// - returns: the tensors of the network after the last epoch, and the curve
pub(super) fn fit(
    params: &Params,
    data: &Data<'_>,
    published: Option<&Tensors>,
    session: &Session<'_>,
) -> Result<(Tensors, SegmentCurve), StageError> {
    let mut training = Training::new(params, data, published, session)?;
    while (training.curve.epochs.len() as u32) < params.epochs {
        training.epoch()?;
        if let Some(checkpoints) = &session.checkpoints {
            checkpoints.save(&training.checkpoint()?);
        }
    }
    Ok((training.unet.tensors(), training.curve))
}

struct Training<'a> {
    params: &'a Params,
    data: &'a Data<'a>,
    session: &'a Session<'a>,
    seed: Seed,
    normalisation: Normalisation,
    unet: Unet,
    optimizer: ModuleOptimizer,
    curve: SegmentCurve,
}

/// What batches are made of, apart from the network, so that another thread can make them.
struct Inputs<'a> {
    data: &'a Data<'a>,
    augment: Augment,
    normalisation: Normalisation,
}

impl Inputs<'_> {
    /// Images `[batch, 3, height, width]` and masks `[batch, 1, height, width]`, changed alike.
    fn of(&self, batch: &[usize], generator: &mut Generator) -> Result<(TensorData, TensorData), StageError> {
        let (height, width) = self.data.size();
        let size = batch.len() * height * width;
        let (mut pixels, mut truth) = (Vec::with_capacity(size), Vec::with_capacity(size));
        for &image in batch {
            let (grey, mask) = (self.data.images.pixels(image)?, self.data.mask(image));
            if self.augment.is_none() {
                pixels.extend_from_slice(&grey);
                truth.extend_from_slice(&mask);
            } else {
                let change = Change::draw(self.augment, generator);
                change.append(&mut pixels, &grey, width);
                change.append(&mut truth, &mask, width);
            }
        }
        let truth: Vec<f32> = truth.into_iter().map(f32::from).collect();
        let images = image_data(&pixels, height, width, &self.normalisation);
        Ok((images, TensorData::new(truth, [batch.len(), 1, height, width])))
    }
}

impl<'a> Training<'a> {
    fn new(
        params: &'a Params,
        data: &'a Data<'a>,
        published: Option<&Tensors>,
        session: &'a Session<'a>,
    ) -> Result<Self, StageError> {
        let device = session.device.clone().autodiff();
        let encoder = params.encoder;
        let seed = Seed::new("segment", params.seed, &[encoder.name(), &params.fold.to_string()]);
        let new_optimizer = || optimizer(params.optimizer, params.weight_decay, params.momentum);
        let restore = |checkpoint: Checkpoint<SegmentCurve>| {
            let unet = Unet::from_tensors(encoder, &checkpoint.tensors, &device).map_err(StageError::new)?;
            let optimizer = checkpoint.restore(new_optimizer())?;
            Ok((unet, optimizer, checkpoint.curve))
        };
        let (mut unet, optimizer, curve) =
            match session.checkpoints.as_ref().and_then(|checkpoints| checkpoints.resume(restore)) {
                Some(resumed) => resumed,
                None => (initial(params, published, &seed, &device)?, new_optimizer(), SegmentCurve::default()),
            };
        if params.freeze == Freeze::Encoder {
            unet = unet.freeze_encoder();
        }
        if published.is_none() {
            say_random(params, curve.epochs.len(), session);
        }
        let normalisation = encoder.normalisation();
        Ok(Self { params, data, session, seed, normalisation, unet, optimizer, curve })
    }

    /// One pass over the training images and one over the validation images.
    fn epoch(&mut self) -> Result<(), StageError> {
        let epoch = self.curve.epochs.len() as u32 + 1;
        let learning_rate = self.params.schedule.learning_rate(self.params.learning_rate, epoch, self.params.epochs);
        let mut order = self.data.train.clone();
        self.seed.generator("order of images", &epoch.to_string()).shuffle(&mut order);
        let mut generator = self.seed.generator("augmentation", &epoch.to_string());

        let batches = order.len().div_ceil(self.params.batch_size);
        let mut sum = 0.0;
        let (data, augment, normalisation) = (self.data, self.params.augment, self.normalisation.clone());
        let inputs = Inputs { data, augment, normalisation };
        let images = order.chunks(self.params.batch_size).enumerate();
        let prepared = images.map(|(index, images)| (index, images.len(), inputs.of(images, &mut generator)));
        ahead(prepared, |(index, images, input)| {
            self.session.check_cancelled()?;
            let loss = self.step(input?, learning_rate)?;
            if !loss.is_finite() {
                return Err(diverged(loss, epoch, index + 1, learning_rate));
            }
            sum += loss * images as f64;
            if Session::reports(index, batches) {
                self.session.report(epoch - 1, self.params.epochs, loss);
            }
            Ok(())
        })?;
        let train_loss = sum / order.len() as f64;

        let (validation_loss, validation_iou) = self.validate()?;
        if !validation_loss.is_finite() {
            return Err(diverged(validation_loss, epoch, batches, learning_rate));
        }
        self.curve.epochs.push(SegmentEpoch { epoch, learning_rate, train_loss, validation_loss, validation_iou });
        self.session.report(epoch, self.params.epochs, train_loss);
        Ok(())
    }

    /// One step of the optimiser; returns the loss before it.
    fn step(&mut self, (images, truth): (TensorData, TensorData), learning_rate: f64) -> Result<f64, StageError> {
        let device = self.session.device.clone().autodiff();
        let logits = self.unet.logits(Tensor::from_data(images, &device));
        let loss = self.params.loss.forward(logits, Tensor::from_data(truth, &device));
        let value = scalar(loss.clone())?;
        let gradients = GradientsParams::from_grads(loss.backward(), &self.unet);
        self.unet = self.optimizer.step(learning_rate, self.unet.clone(), gradients);
        Ok(value)
    }

    /// Loss and mean IoU on the validation images.
    fn validate(&self) -> Result<(f64, Option<f64>), StageError> {
        let unet = self.unet.valid();
        let (height, width) = self.data.size();
        let mut tally = Tally::default();
        let mut ious = Vec::new();
        for batch in self.data.validation.chunks(self.params.batch_size) {
            self.session.check_cancelled()?;
            let pixels = self.data.images.batch(batch)?;
            let images = image_tensor(&pixels, height, width, &self.normalisation, &self.session.device);
            let logits: Vec<f32> = unet.logits(images).into_data().try_into_vec_as().map_err(unreadable)?;
            for (logits, &image) in logits.chunks_exact(height * width).zip(batch) {
                let truth = self.data.mask(image);
                tally.add(logits, &truth);
                ious.extend(mask::iou(logits, &truth, Level::HALF));
            }
        }
        let iou = (!ious.is_empty()).then(|| ious.iter().sum::<f64>() / ious.len() as f64);
        Ok((tally.loss(self.params.loss), iou))
    }

    fn checkpoint(&self) -> Result<Checkpoint<SegmentCurve>, StageError> {
        Checkpoint::new(self.unet.tensors(), &self.optimizer, self.curve.clone())
    }
}

fn initial(params: &Params, published: Option<&Tensors>, seed: &Seed, device: &Device) -> Result<Unet, StageError> {
    let encoder = params.encoder;
    let drawn = Unet::drawn(encoder, seed, device);
    match published {
        None => Ok(drawn),
        Some(tensors) => drawn.with_published(encoder, tensors).map_err(|error| {
            StageError::new(format!("init.weights does not fit a U-Net with encoder `{encoder}`: {error}"))
        }),
    }
}

/// Says that the encoder starts without published weights.
fn say_random(params: &Params, done: usize, session: &Session<'_>) {
    let encoder = params.encoder;
    tracing::warn!("encoder `{encoder}` starts from random weights; published ones are named by `init.weights`");
    let message = "random initial weights".to_owned();
    (session.progress)(Progress { done: done as u64, total: u64::from(params.epochs), message });
}

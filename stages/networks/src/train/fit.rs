//! The loop of a training.

use std::sync::Arc;

use burn::module::Module;
use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Int, Tensor, TensorData};
use orchestrate_engine::stage::{Progress, StageError};

use super::data::Data;
use super::params::{Augment, Freeze, Params};
use crate::model::{Classifier, Tensors, image_data, pool};
use crate::training::augment::Change;
use crate::training::{Checkpoint, Session, ahead, diverged, optimizer, scalar, unreadable};
use orchestrate_stages::artifact::{Curve, Epoch};
use orchestrate_stages::random::{Generator, Seed};

/// Trains from the last checkpoint, or from the start.
///
/// - `trunk`: weights that replace the drawn ones of the trunk
/// - returns: the tensors of the classifier after the last epoch, and the curve
pub(super) fn fit(
    params: &Params,
    data: &Data<'_>,
    trunk: Option<&Tensors>,
    session: &Session<'_>,
) -> Result<(Tensors, Curve), StageError> {
    let mut training = Training::new(params, data, trunk, session)?;
    while (training.curve.epochs.len() as u32) < params.epochs {
        training.epoch()?;
        if let Some(checkpoints) = &session.checkpoints {
            checkpoints.save(&training.checkpoint()?);
        }
    }
    Ok((training.classifier.tensors(), training.curve))
}

struct Training<'a> {
    params: &'a Params,
    data: &'a Data<'a>,
    session: &'a Session<'a>,
    seed: Seed,
    /// Pooled features of every image, where a frozen trunk sees the same images in every epoch.
    pooled: Option<Arc<Pooled>>,
    loss: CrossEntropyLoss,
    classifier: Classifier,
    optimizer: ModuleOptimizer,
    curve: Curve,
}

struct Pooled {
    values: Vec<f32>,
    features: usize,
}

/// What batches are made of, apart from the network, so that another thread can make them.
struct Inputs<'a> {
    data: &'a Data<'a>,
    augment: Augment,
    pooled: Option<Arc<Pooled>>,
}

impl Inputs<'_> {
    /// What the network is given of a batch: pooled features `[batch, feature]` where they are known, or else normalised images
    /// `[batch, channel, height, width]`, changed at random where a generator is given.
    fn of(&self, batch: &[usize], generator: Option<&mut Generator>) -> Result<TensorData, StageError> {
        if let Some(pooled) = &self.pooled {
            let Pooled { values, features } = pooled.as_ref();
            let rows = batch.iter().flat_map(|&image| &values[image * features..(image + 1) * features]);
            return Ok(TensorData::new(rows.copied().collect::<Vec<f32>>(), [batch.len(), *features]));
        }
        let images = self.data.images;
        let mut pixels = images.batch(batch)?;
        if let Some(generator) = generator.filter(|_| !self.augment.is_none()) {
            let mut changed = Vec::with_capacity(pixels.len());
            for image in pixels.chunks_exact(images.height * images.width) {
                Change::draw(self.augment, generator).append(&mut changed, image, images.width);
            }
            pixels = changed;
        }
        Ok(image_data(&pixels, images.height, images.width, &self.data.normalisation))
    }
}

impl<'a> Training<'a> {
    fn new(
        params: &'a Params,
        data: &'a Data<'a>,
        trunk: Option<&Tensors>,
        session: &'a Session<'a>,
    ) -> Result<Self, StageError> {
        let device = session.device.clone().autodiff();
        let seed = Seed::new("train", params.seed, &[&params.model.to_string(), &params.fold.to_string()]);
        let mut classifier = Classifier::drawn(params.model, data.classes, &seed, &device);
        if let Some(tensors) = trunk {
            classifier = classifier.with_trunk(params.model, tensors).map_err(|error| {
                StageError::new(format!("init.weights does not fit model `{}`: {error}", params.model))
            })?;
        }
        params.precision.check(&session.device, classifier.tensors().keys())?;
        let new_optimizer = || optimizer(params.optimizer, params.weight_decay, params.momentum);
        let restore = |checkpoint: Checkpoint<Curve>| {
            let classifier = Classifier::from_tensors(params.model, data.classes, &checkpoint.tensors, &device);
            let optimizer = checkpoint.restore(new_optimizer())?;
            Ok((classifier.map_err(StageError::new)?, optimizer, checkpoint.curve))
        };
        let resumed = session.checkpoints.as_ref().and_then(|checkpoints| checkpoints.resume(restore));
        let (mut classifier, optimizer, curve) =
            resumed.unwrap_or_else(|| (classifier, new_optimizer(), Curve::default()));
        classifier = classifier.with_precision(params.precision);
        if let (Freeze::Trunk, Some(tensors)) = (params.freeze, trunk) {
            classifier = classifier.freeze_trunk(tensors);
        }
        let loss = CrossEntropyLossConfig::new().with_weights(data.class_weights.clone()).init(&device);
        let mut training = Self { params, data, session, seed, pooled: None, loss, classifier, optimizer, curve };
        training.say_if_random(trunk.is_some());
        if training.classifier.is_trunk_frozen() && params.augment.is_none() {
            training.pooled = Some(Arc::new(training.pool_all()?));
        }
        Ok(training)
    }

    /// One pass over the training images and one over the validation images.
    fn epoch(&mut self) -> Result<(), StageError> {
        let epoch = self.curve.epochs.len() as u32 + 1;
        let learning_rate = self.params.schedule.learning_rate(self.params.learning_rate, epoch, self.params.epochs);
        let mut order = self.data.train.clone();
        self.seed.generator("order of images", &epoch.to_string()).shuffle(&mut order);
        let mut generator = self.seed.generator("augmentation", &epoch.to_string());

        let count = order.len().div_ceil(self.params.batch_size);
        let mut sum = 0.0;
        let batches = self.batches(&order);
        let inputs = self.inputs();
        let prepared = batches.map(|(index, images)| (index, images, inputs.of(images, Some(&mut generator))));
        ahead(prepared, |(index, images, input)| {
            self.session.check_cancelled()?;
            let loss = self.step(images, input?, learning_rate)?;
            if !loss.is_finite() {
                return Err(diverged(loss, epoch, index + 1, learning_rate));
            }
            sum += loss * images.len() as f64;
            if Session::reports(index, count) {
                self.report(epoch - 1, loss);
            }
            Ok(())
        })?;
        let train_loss = sum / order.len() as f64;

        let (validation_loss, validation_accuracy) = self.validate()?;
        if !validation_loss.is_finite() {
            return Err(diverged(validation_loss, epoch, count, learning_rate));
        }
        self.curve.epochs.push(Epoch { epoch, learning_rate, train_loss, validation_loss, validation_accuracy });
        self.report(epoch, train_loss);
        Ok(())
    }

    /// One step of the optimiser; returns the loss before it.
    fn step(&mut self, images: &[usize], input: TensorData, learning_rate: f64) -> Result<f64, StageError> {
        let device = self.session.device.clone().autodiff();
        let logits = self.logits(&self.classifier, input, &device);
        let loss = self.loss.forward(logits, self.targets(images, &device));
        let gradients = GradientsParams::from_grads(loss.backward(), &self.classifier);
        self.classifier = self.optimizer.step(learning_rate, self.classifier.clone(), gradients);
        // Read last: a GPU computes in the background until a number is wanted.
        scalar(loss)
    }

    /// Loss and accuracy on the validation images.
    fn validate(&self) -> Result<(f64, f64), StageError> {
        let (device, classifier, loss) = (&self.session.device, self.classifier.valid(), self.loss.valid());
        let (mut sum, mut weight, mut correct) = (0.0, 0.0, 0);
        let inputs = self.inputs();
        let prepared = self.batches(&self.data.validation).map(|(_, images)| (images, inputs.of(images, None)));
        ahead(prepared, |(images, input)| {
            self.session.check_cancelled()?;
            let logits = self.logits(&classifier, input?, device);
            // The loss of a batch is a mean over class weights, and so is the loss of all.
            let batch_weight: f64 = images.iter().map(|&image| self.class_weight(image)).sum();
            sum += batch_weight * scalar(loss.forward(logits.clone(), self.targets(images, device)))?;
            weight += batch_weight;
            let predicted: Vec<i64> = logits.argmax(1).into_data_as::<i64>().try_into_vec().map_err(unreadable)?;
            let hit = |(&image, &class): (&usize, &i64)| i64::from(self.data.labels[image]) == class;
            correct += images.iter().zip(&predicted).filter(|&pair| hit(pair)).count();
            Ok(())
        })?;
        Ok((sum / weight, correct as f64 / self.data.validation.len() as f64))
    }

    /// Class scores of a batch, from what [`Inputs::of`] gives.
    fn logits(&self, classifier: &Classifier, input: TensorData, device: &Device) -> Tensor<2> {
        match &self.pooled {
            Some(_) => classifier.head().forward(Tensor::from_data(input, device)),
            None => classifier.logits(Tensor::from_data(input, device)),
        }
    }

    /// Consecutive images, a batch at a time, with the number of the batch from 0.
    fn batches<'i>(&self, images: &'i [usize]) -> impl Iterator<Item = (usize, &'i [usize])> + Send + use<'i> {
        images.chunks(self.params.batch_size).enumerate()
    }

    fn inputs(&self) -> Inputs<'a> {
        Inputs { data: self.data, augment: self.params.augment, pooled: self.pooled.clone() }
    }

    /// The pooled features of all images, by a trunk that does not change.
    fn pool_all(&self) -> Result<Pooled, StageError> {
        let classifier = self.classifier.valid();
        let images: Vec<usize> = (0..self.data.labels.len()).collect();
        let features = self.params.model.architecture().features;
        let mut values = Vec::with_capacity(images.len() * features);
        let inputs = self.inputs();
        let prepared = self.batches(&images).map(|(_, images)| inputs.of(images, None));
        ahead(prepared, |input| {
            self.session.check_cancelled()?;
            let pooled = pool(classifier.features(Tensor::from_data(input?, &self.session.device)));
            let pooled: Vec<f32> = pooled.into_data().try_into_vec_as().map_err(unreadable)?;
            values.extend(pooled);
            let message = format!("features {}/{}", values.len() / features, images.len());
            let done = self.curve.epochs.len() as u64;
            (self.session.progress)(Progress { done, total: u64::from(self.params.epochs), message });
            Ok(())
        })?;
        Ok(Pooled { values, features })
    }

    fn targets(&self, batch: &[usize], device: &Device) -> Tensor<1, Int> {
        let labels: Vec<i64> = batch.iter().map(|&image| i64::from(self.data.labels[image])).collect();
        Tensor::from_data(TensorData::new(labels, [batch.len()]), device)
    }

    fn class_weight(&self, image: usize) -> f64 {
        let weights = self.data.class_weights.as_ref();
        weights.map_or(1.0, |weights| f64::from(weights[self.data.labels[image] as usize]))
    }

    fn checkpoint(&self) -> Result<Checkpoint<Curve>, StageError> {
        Checkpoint::new(self.classifier.tensors(), &self.optimizer, self.curve.clone())
    }

    /// Says that a trunk for which there are published weights starts without them.
    fn say_if_random(&self, published: bool) {
        let (model, done) = (self.params.model, self.curve.epochs.len() as u64);
        if !published && model.architecture().normalisation.is_some() {
            tracing::warn!("`{model}` starts from random weights; published ones are named by `init.weights`");
            let message = "random initial weights".to_owned();
            (self.session.progress)(Progress { done, total: u64::from(self.params.epochs), message });
        }
    }

    fn report(&self, done: u32, loss: f64) {
        self.session.report(done, self.params.epochs, loss);
    }
}

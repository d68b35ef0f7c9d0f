//! The loop of a training.

use burn::module::Module;
use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Int, Tensor, TensorData};
use orchestrate_engine::stage::{Progress, StageError};

use super::data::Data;
use super::params::{Freeze, Params};
use crate::artifact::{Curve, Epoch};
use crate::model::{Classifier, Generator, Seed, Tensors, image_tensor, pool};
use crate::training::augment::Change;
use crate::training::{Checkpoint, Session, diverged, optimizer, scalar, unreadable};

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
    pooled: Option<Pooled>,
    loss: CrossEntropyLoss,
    classifier: Classifier,
    optimizer: ModuleOptimizer,
    curve: Curve,
}

struct Pooled {
    values: Vec<f32>,
    features: usize,
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
        let mut optimizer = optimizer(params.optimizer, params.weight_decay, params.momentum);
        let mut curve = Curve::default();
        if let Some(checkpoint) = session.checkpoints.as_ref().and_then(|checkpoints| checkpoints.latest()) {
            classifier = Classifier::from_tensors(params.model, data.classes, &checkpoint.tensors, &device)
                .map_err(|error| StageError::new(format!("a checkpoint of this training does not fit: {error}")))?;
            optimizer = checkpoint.restore(optimizer)?;
            curve = checkpoint.curve;
        }
        if let (Freeze::Trunk, Some(tensors)) = (params.freeze, trunk) {
            classifier = classifier.freeze_trunk(tensors);
        }
        let loss = CrossEntropyLossConfig::new().with_weights(data.class_weights.clone()).init(&device);
        let mut training = Self { params, data, session, seed, pooled: None, loss, classifier, optimizer, curve };
        training.say_if_random(trunk.is_some());
        if training.classifier.is_trunk_frozen() && params.augment.is_none() {
            training.pooled = Some(training.pool_all()?);
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

        let batches = order.len().div_ceil(self.params.batch_size);
        let mut sum = 0.0;
        for (index, batch) in order.chunks(self.params.batch_size).enumerate() {
            self.session.check_cancelled()?;
            let loss = self.step(batch, learning_rate, &mut generator)?;
            if !loss.is_finite() {
                return Err(diverged(loss, epoch, index + 1, learning_rate));
            }
            sum += loss * batch.len() as f64;
            if Session::reports(index, batches) {
                self.report(epoch - 1, loss);
            }
        }
        let train_loss = sum / order.len() as f64;

        let (validation_loss, validation_accuracy) = self.validate()?;
        if !validation_loss.is_finite() {
            return Err(diverged(validation_loss, epoch, batches, learning_rate));
        }
        self.curve.epochs.push(Epoch { epoch, learning_rate, train_loss, validation_loss, validation_accuracy });
        self.report(epoch, train_loss);
        Ok(())
    }

    /// One step of the optimiser; returns the loss before it.
    fn step(&mut self, batch: &[usize], learning_rate: f64, generator: &mut Generator) -> Result<f64, StageError> {
        let device = self.session.device.clone().autodiff();
        let logits = self.logits(&self.classifier, batch, Some(generator), &device);
        let loss = self.loss.forward(logits, self.targets(batch, &device));
        let value = scalar(loss.clone())?;
        let gradients = GradientsParams::from_grads(loss.backward(), &self.classifier);
        self.classifier = self.optimizer.step(learning_rate, self.classifier.clone(), gradients);
        Ok(value)
    }

    /// Loss and accuracy on the validation images.
    fn validate(&self) -> Result<(f64, f64), StageError> {
        let (device, classifier, loss) = (&self.session.device, self.classifier.valid(), self.loss.valid());
        let (mut sum, mut weight, mut correct) = (0.0, 0.0, 0);
        for batch in self.data.validation.chunks(self.params.batch_size) {
            self.session.check_cancelled()?;
            let logits = self.logits(&classifier, batch, None, device);
            // The loss of a batch is a mean over class weights, and so is the loss of all.
            let batch_weight: f64 = batch.iter().map(|&image| self.class_weight(image)).sum();
            sum += batch_weight * scalar(loss.forward(logits.clone(), self.targets(batch, device)))?;
            weight += batch_weight;
            let predicted: Vec<i64> = logits.argmax(1).into_data_as::<i64>().try_into_vec().map_err(unreadable)?;
            let hit = |(&image, &class): (&usize, &i64)| i64::from(self.data.labels[image]) == class;
            correct += batch.iter().zip(&predicted).filter(|&pair| hit(pair)).count();
        }
        Ok((sum / weight, correct as f64 / self.data.validation.len() as f64))
    }

    /// Class scores of a batch; augmented where a generator is given.
    fn logits(
        &self,
        classifier: &Classifier,
        batch: &[usize],
        generator: Option<&mut Generator>,
        device: &Device,
    ) -> Tensor<2> {
        if let Some(Pooled { values, features }) = &self.pooled {
            let rows: Vec<f32> =
                batch.iter().flat_map(|&image| &values[image * features..(image + 1) * features]).copied().collect();
            let pooled = Tensor::from_data(TensorData::new(rows, [batch.len(), *features]), device);
            return classifier.head().forward(pooled);
        }
        classifier.logits(self.images(batch, generator, device))
    }

    fn images(&self, batch: &[usize], generator: Option<&mut Generator>, device: &Device) -> Tensor<4> {
        let (height, width) = (self.data.images.height, self.data.images.width);
        let mut pixels = Vec::with_capacity(batch.len() * height * width);
        match generator {
            Some(generator) if !self.params.augment.is_none() => batch.iter().for_each(|&image| {
                Change::draw(self.params.augment, generator).append(&mut pixels, self.data.pixels(image), width);
            }),
            _ => batch.iter().for_each(|&image| pixels.extend(self.data.pixels(image))),
        }
        image_tensor(&pixels, height, width, &self.data.normalisation, device)
    }

    /// The pooled features of all images, by a trunk that does not change.
    fn pool_all(&self) -> Result<Pooled, StageError> {
        let classifier = self.classifier.valid();
        let images: Vec<usize> = (0..self.data.labels.len()).collect();
        let features = self.params.model.architecture().features;
        let mut values = Vec::with_capacity(images.len() * features);
        for batch in images.chunks(self.params.batch_size) {
            self.session.check_cancelled()?;
            let pooled = pool(classifier.features(self.images(batch, None, &self.session.device)));
            let pooled: Vec<f32> = pooled.into_data().try_into_vec_as().map_err(unreadable)?;
            values.extend(pooled);
            let message = format!("features {}/{}", values.len() / features, images.len());
            let done = self.curve.epochs.len() as u64;
            (self.session.progress)(Progress { done, total: u64::from(self.params.epochs), message });
        }
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

//! Transitions of a task.

use std::time::Duration;

use super::image::{Finished, ImageState, ProgressState, TaskStatus};
use super::record::TaskRecord;
use crate::error::Error;
use crate::pipeline::ImageProgress;

impl TaskRecord {
    fn image(&mut self, index: u32) -> Option<&mut ImageState> {
        let image = self.images.get_mut(usize::try_from(index).ok()?)?;
        // An ended image doesn't change.
        (!image.status.is_end()).then_some(image)
    }

    /// Notes that an image waits here for a Space. Returns true where that must be written at once.
    pub fn waiting(&mut self, index: u32, before: usize) -> bool {
        let Some(image) = self.image(index) else { return false };
        let is_back = image.status != TaskStatus::Waiting;
        *image = ImageState::new();
        image.progress.queue_position = u64::try_from(before).ok();
        is_back
    }

    /// Notes the assignment of an image to a Space.
    pub fn placed(&mut self, index: u32, space: Option<String>) {
        if let Some(image) = self.image(index) {
            *image = ImageState { space, ..ImageState::new() };
            image.status = TaskStatus::Queued;
        }
    }

    /// Notes the progress of an image. Returns true where that must be written at once.
    pub fn progress(&mut self, index: u32, progress: &ImageProgress, now: Duration) -> bool {
        let Some(image) = self.image(index) else { return false };
        let before = image.status;
        match progress {
            ImageProgress::Joined(receipt) => {
                image.receipt = Some(receipt.clone());
                image.status = TaskStatus::Queued;
                image.progress = ProgressState::default();
            }
            ImageProgress::Queued(position) => {
                image.status = TaskStatus::Queued;
                image.progress = ProgressState {
                    queue_position: Some(position.rank),
                    queue_size: Some(position.size),
                    eta_seconds: position.eta,
                    ..ProgressState::default()
                };
            }
            ImageProgress::Started(eta) => {
                image.status = TaskStatus::Running;
                image.progress = ProgressState { eta_seconds: *eta, ..ProgressState::default() };
            }
            ImageProgress::Step(step) => {
                image.status = TaskStatus::Running;
                image.progress = ProgressState {
                    step: step.index,
                    steps: step.length,
                    fraction: step.done(),
                    ..ProgressState::default()
                };
            }
        }
        let changed = image.status != before;
        if image.status == TaskStatus::Running && self.status == TaskStatus::Queued {
            self.status = TaskStatus::Running;
            self.started = self.started.or(Some(now.as_secs()));
        }
        changed || matches!(progress, ImageProgress::Joined(_))
    }

    /// Notes a finished image.
    pub fn made(&mut self, index: u32, made: Finished) {
        let Finished { seed, size, format, space, place } = made;
        if let Some(image) = self.image(index) {
            image.end(TaskStatus::Succeeded);
            image.seed = Some(seed);
            image.size = size.map(|size| size.to_string());
            image.format = format.map(|format| format.name().to_owned());
            image.space = space.or(image.space.take());
            image.place = Some(place);
        }
    }

    /// Notes the failure of an image.
    pub fn failed(&mut self, index: u32, error: &Error) {
        if let Some(image) = self.image(index) {
            image.end(TaskStatus::Failed);
            image.error = Some(error.into());
        }
    }

    /// Ends the task: unfinished images get the status `rest`. The task has succeeded if an image was made, unless it
    /// was cancelled.
    pub fn end(&mut self, rest: TaskStatus, now: Duration) {
        for image in self.images.iter_mut().filter(|image| !image.status.is_end()) {
            image.end(rest);
        }
        let made = self.images.iter().any(|image| image.status == TaskStatus::Succeeded);
        self.status = match rest {
            TaskStatus::Cancelled => TaskStatus::Cancelled,
            _ if made => TaskStatus::Succeeded,
            _ => TaskStatus::Failed,
        };
        if self.status == TaskStatus::Failed {
            self.error = self.images.iter().find_map(|image| image.error.clone());
        }
        self.completed = Some(now.as_secs());
    }

    /// Fraction of the work that is done, from 0 to 1.
    pub fn done(&self) -> f64 {
        let done = |image: &ImageState| match image.status {
            status if status.is_end() => 1.0,
            _ => image.progress.fraction.unwrap_or(0.0).clamp(0.0, 1.0),
        };
        let count = f64::from(u32::try_from(self.images.len().max(1)).unwrap_or(u32::MAX));
        self.images.iter().map(done).sum::<f64>() / count
    }
}

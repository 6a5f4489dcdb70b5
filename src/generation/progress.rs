//! Progress of a job, as a Space reports it.

/// Position of a job in a Space's queue.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QueuePosition {
    /// Number of jobs before it.
    pub rank: u64,
    /// Number of jobs that wait in all.
    pub size: u64,
    /// The Space's estimate of the seconds until it is done; it has none before its first job.
    pub eta: Option<f64>,
}

/// Progress of a running job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepProgress {
    /// Steps done.
    pub index: Option<u64>,
    /// Steps in all.
    pub length: Option<u64>,
    /// Fraction done, from 0 to 1, where the function reports that in place of steps.
    pub fraction: Option<f64>,
}

impl StepProgress {
    /// Fraction of the work that is done, from 0 to 1, by steps or as the function reports it.
    pub fn done(&self) -> Option<f64> {
        // A number of steps that no `u32` holds is none that anybody counts.
        let number = |steps: u64| u32::try_from(steps).ok().map(f64::from);
        let steps = || Some(number(self.index?)? / self.length.and_then(number).filter(|length| *length > 0.0)?);
        self.fraction.or_else(steps).map(|done| done.clamp(0.0, 1.0))
    }
}

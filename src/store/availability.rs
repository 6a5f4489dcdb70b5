//! Availability of the database: a circuit breaker for statements.
//!
//! After a timeout no statements are sent for a pause, so that requests go on at once without the database. At the end
//! of the pause one trial is sent in the background. Each trial that times out doubles the pause, up to 10 s.

use std::time::Duration;

/// Pause before the first trial.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Maximum pause before a trial.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Availability of the database, as seen by an instance.
#[derive(Debug, Default)]
pub struct Availability {
    down: Option<Down>,
}

#[derive(Debug)]
struct Down {
    /// Time of the next trial, monotonic.
    trial: Duration,
    pause: Duration,
    is_tried: bool,
}

/// Gate of statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Statements are sent.
    Up,
    /// No statements are sent, but the caller is to send a trial in the background.
    Trial,
    /// No statements are sent.
    Down,
}

impl Availability {
    /// Gate at `now`, in monotonic time.
    pub fn admit(&mut self, now: Duration) -> Gate {
        match &mut self.down {
            None => Gate::Up,
            Some(down) if !down.is_tried && now >= down.trial => {
                down.is_tried = true;
                Gate::Trial
            }
            Some(_) => Gate::Down,
        }
    }

    /// True while statements are sent.
    pub fn is_up(&self) -> bool {
        self.down.is_none()
    }

    /// Records a response to a statement.
    pub fn answered(&mut self) {
        self.down = None;
    }

    /// Records a timeout of a statement.
    pub fn timed_out(&mut self, now: Duration) {
        let pause = match &self.down {
            Some(down) if down.is_tried => (down.pause * 2).min(LONGEST_PAUSE),
            Some(down) => down.pause,
            None => FIRST_PAUSE,
        };
        self.down = Some(Down { trial: now.saturating_add(pause), pause, is_tried: false });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_answered_is_tried_by_one_now_and_then() {
        let at = Duration::from_secs;
        let mut availability = Availability::default();
        assert_eq!(availability.admit(at(1)), Gate::Up);
        availability.timed_out(at(4));
        assert_eq!(availability.admit(at(4)), Gate::Down);
        assert_eq!(availability.admit(at(5)), Gate::Trial);
        assert_eq!(availability.admit(at(5)), Gate::Down, "one tries");
        availability.timed_out(at(8));
        assert_eq!(availability.admit(at(9)), Gate::Down);
        assert_eq!(availability.admit(at(10)), Gate::Trial);
        availability.answered();
        assert_eq!(availability.admit(at(10)), Gate::Up);
    }
}

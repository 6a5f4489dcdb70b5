//! Whether the database answers.
//!
//! A statement that isn't answered in time says that others won't be either, so for a moment none is tried, and whoever
//! can do without goes on at once. When the moment is over, one statement beside all requests finds out, and the moment
//! doubles, up to ten seconds, as long as that one isn't answered.

use std::time::Duration;

/// Time until the first trial.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest time until a trial.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Whether the database answers, as an instance has seen it.
#[derive(Debug, Default)]
pub struct Availability {
    down: Option<Down>,
}

#[derive(Debug)]
struct Down {
    /// When a trial is due, in monotonic time.
    trial: Duration,
    pause: Duration,
    is_tried: bool,
}

/// Whether a statement is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// It is.
    Up,
    /// It isn't, but the caller is to find out, beside all requests, whether the database answers again.
    Trial,
    /// It isn't.
    Down,
}

impl Availability {
    /// Whether a statement is sent at `now`, in monotonic time.
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

    /// Whether statements are sent.
    pub fn is_up(&self) -> bool {
        self.down.is_none()
    }

    /// A statement was answered.
    pub fn answered(&mut self) {
        self.down = None;
    }

    /// A statement was not answered in time.
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

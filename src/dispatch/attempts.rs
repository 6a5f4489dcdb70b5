//! Attempts of a job that have failed, and those that it has left.
//!
//! With several Spaces, a failed job goes to another one, and returns to those that have failed it after all others.
//! Four bounds, of which the first that is reached ends it:
//!
//! - 2 × Spaces + 2 attempts, [`MAX_ATTEMPTS`] at most, and one more for each token where quotas are used up. With one
//!   Space, one attempt;
//! - [`MAX_WORKED`] attempts at a Space that ended after it had worked on them; one of all images of the request, where
//!   its breaker was open by then;
//! - [`MAX_UNCLEAR`] failures that the prompt may have caused;
//! - for all images of the request together, [`MAX_WORKED`] such attempts for each Space, and one for each further
//!   image ([`most_worked`]).

use super::refusal::Tried;
use super::scheduler::Past;
use super::verdict::{Blame, Verdict};
use crate::gradio::failure::Failure;
use crate::gradio::space::Space;

/// Attempts of a job with several Spaces, at most, those with another token left out.
const MAX_ATTEMPTS: usize = 8;
/// Attempts at a Space, at most, that ended after it had worked on them.
const MAX_WORKED: usize = 2;
/// Failures of a job, at most, that the prompt may have caused as well as the Space.
const MAX_UNCLEAR: u32 = 2;
/// Moves of a job for its place in a queue, at most.
const MAX_MOVES: u32 = 2;

/// Attempts of a job.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// Spaces that have failed or that it has left, the latest last.
    tried: Vec<Space>,
    /// Spaces that it doesn't return to.
    unfit: Vec<Space>,
    /// Spaces that have failed after work, each as often as it has.
    worked: Vec<Space>,
    /// First failure of an attempt.
    first: Option<Tried>,
    /// First reason for which a Space can't serve the request.
    cannot: Option<Tried>,
    /// Failed attempts, in order.
    failures: Vec<Tried>,
    unclear: u32,
    moves: u32,
}

/// Space of a failed attempt.
pub(super) struct FailedAt<'a> {
    pub(super) space: &'a Space,
    /// Marks an attempt with a token of its own.
    pub(super) has_token: bool,
    /// Marks a trial of a Space whose breaker was open.
    pub(super) is_probe: bool,
}

/// Attempts that ended after work, at most, of all images of a request with so many Spaces.
pub(super) fn most_worked(spaces: usize, images: u32) -> usize {
    let further = usize::try_from(images.saturating_sub(1)).unwrap_or(usize::MAX);
    spaces.saturating_mul(MAX_WORKED).saturating_add(further)
}

impl Attempts {
    /// Past of the job at `space`; none where it doesn't go there any more.
    pub(super) fn past(&self, space: &Space) -> Option<Past> {
        if self.unfit.contains(space) {
            return None;
        }
        Some(match self.tried.iter().rposition(|tried| tried == space) {
            None => Past::Fresh,
            Some(at) if at + 1 == self.tried.len() => Past::Last,
            Some(_) => Past::Earlier,
        })
    }

    /// Number of failed attempts.
    pub(super) fn count(&self) -> usize {
        self.failures.len()
    }

    /// Failed attempts, in order.
    pub(super) fn failures(&self) -> &[Tried] {
        &self.failures
    }

    /// First failure of an attempt.
    pub(super) fn first(&self) -> Option<&Tried> {
        self.first.as_ref()
    }

    /// Reason for which no Space is left, where it is its own.
    pub(super) fn why_none_is_left(&self) -> Option<Tried> {
        self.first.clone().or_else(|| self.cannot.clone())
    }

    /// True while it may leave a queue for a shorter one.
    pub(super) fn may_move(&self) -> bool {
        self.moves < MAX_MOVES
    }

    /// Notes that it has left the queue of `space`.
    pub(super) fn left(&mut self, space: &Space) {
        self.moves += 1;
        remember(&mut self.tried, space);
    }

    /// Notes that a Space can't serve the request.
    pub(super) fn unsupported(&mut self, space: &Space, failure: Failure) {
        self.cannot.get_or_insert_with(|| Tried::new(space, failure));
        remember(&mut self.unfit, space);
    }

    /// Notes a failed attempt. Returns the first failure of all.
    pub(super) fn failed(&mut self, at: &FailedAt<'_>, failure: &Failure, verdict: &Verdict) -> Tried {
        // With another token the Space is usable at once.
        if !matches!(verdict.blame, Blame::Exhausted(_)) || !at.has_token {
            remember(&mut self.tried, at.space);
        }
        if verdict.has_worked {
            self.worked.push(at.space.clone());
            let times = self.worked.iter().filter(|space| *space == at.space).count();
            if at.is_probe || times >= MAX_WORKED {
                remember(&mut self.unfit, at.space);
            }
        }
        if matches!(failure, Failure::Crashed | Failure::NoImage) {
            self.unclear += 1;
        }
        let tried = Tried::new(at.space, failure.clone());
        self.failures.push(tried.clone());
        self.first.get_or_insert(tried).clone()
    }

    /// True where it has had all attempts that it may have with so many Spaces; `tokens` more where quotas are used up.
    pub(super) fn are_over(&self, spaces: usize, tokens: usize) -> bool {
        let most = if spaces > 1 { (2 * spaces + 2).min(MAX_ATTEMPTS) } else { 1 };
        self.failures.len() >= most + tokens || self.unclear >= MAX_UNCLEAR
    }
}

/// Moves `space` to the end of the list.
fn remember(spaces: &mut Vec<Space>, space: &Space) {
    spaces.retain(|other| other != space);
    spaces.push(space.clone());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(attempts: &mut Attempts, space: &str, failure: &Failure, is_probe: bool) {
        let space = Space::parse(space).unwrap();
        let at = FailedAt { space: &space, has_token: false, is_probe };
        attempts.failed(&at, failure, &Verdict::of(failure));
    }

    fn past(attempts: &Attempts, space: &str) -> Option<Past> {
        attempts.past(&Space::parse(space).unwrap())
    }

    #[test]
    fn a_space_that_has_worked_in_vain_is_tried_once_more_and_one_on_probation_not_again() {
        let mut attempts = Attempts::default();
        fails(&mut attempts, "a/1", &Failure::Cut, false);
        assert_eq!((past(&attempts, "a/1"), past(&attempts, "a/2")), (Some(Past::Last), Some(Past::Fresh)));
        fails(&mut attempts, "a/2", &Failure::QueueFull { detail: String::new() }, false);
        fails(&mut attempts, "a/2", &Failure::QueueFull { detail: String::new() }, true);
        assert_eq!((past(&attempts, "a/1"), past(&attempts, "a/2")), (Some(Past::Earlier), Some(Past::Last)));
        fails(&mut attempts, "a/1", &Failure::Cut, false);
        fails(&mut attempts, "a/3", &Failure::Cut, true);
        assert_eq!((past(&attempts, "a/1"), past(&attempts, "a/3")), (None, None));
        assert!(!attempts.are_over(3, 0) && attempts.are_over(1, 0));
        assert_eq!((most_worked(3, 1), most_worked(3, 10)), (6, 15));
    }
}

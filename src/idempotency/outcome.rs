//! Outcome of a request's images, which decides if the response is stored.

use std::cell::Cell;
use std::rc::Rc;

use http::StatusCode;

use crate::error::Error;

/// Outcome of a request's images so far. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Outcome(Rc<Cell<ImagesFate>>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ImagesFate {
    /// No image has ended.
    #[default]
    None,
    /// All ended images have failed for permanent reasons.
    Refused,
    /// All ended images have failed, some for transient reasons.
    Failed,
    /// An image is made.
    Made,
}

impl Outcome {
    /// Notes a finished image.
    pub fn made(&self) {
        self.0.set(ImagesFate::Made);
    }

    /// Notes the failure of an image.
    pub fn failed(&self, error: &Error) {
        match self.0.get() {
            ImagesFate::None | ImagesFate::Refused if error.may_pass() => self.0.set(ImagesFate::Failed),
            ImagesFate::None => self.0.set(ImagesFate::Refused),
            ImagesFate::Refused | ImagesFate::Failed | ImagesFate::Made => {}
        }
    }

    /// True if a response of that status is final.
    pub fn is_final(&self, status: StatusCode) -> bool {
        let fate = self.0.get();
        if status.is_success() {
            fate != ImagesFate::Failed
        } else {
            status.is_client_error() && fate == ImagesFate::Refused
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradio::failure::Failure;

    #[test]
    fn what_another_try_can_mend_is_not_for_good() {
        let refused = || Error::from(Failure::Rejected { message: String::new() });
        let failed = || Error::from(Failure::Cut);
        let outcome = |of: &dyn Fn(&Outcome)| {
            let outcome = Outcome::default();
            of(&outcome);
            [200, 202, 400, 429, 502].map(|status| outcome.is_final(StatusCode::from_u16(status).unwrap()))
        };
        assert_eq!(
            outcome(&|_| ()),
            [true, true, false, false, false],
            "a text, a task, or a request that can't be read"
        );
        assert_eq!(outcome(&Outcome::made), [true, true, false, false, false]);
        assert_eq!(outcome(&|outcome| outcome.failed(&refused())), [true, true, true, true, false]);
        assert_eq!(outcome(&|outcome| outcome.failed(&failed())), [false; 5]);
        let both = |outcome: &Outcome| [refused(), failed(), refused()].iter().for_each(|error| outcome.failed(error));
        assert_eq!(outcome(&both), [false; 5]);
        let partly = |outcome: &Outcome| {
            outcome.made();
            outcome.failed(&failed());
        };
        assert_eq!(outcome(&partly), [true, true, false, false, false], "what is made is not made again");
    }
}

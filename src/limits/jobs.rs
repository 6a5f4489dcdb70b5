//! How many images of one key are being made at once.
//!
//! A request of n images counts n from its beginning, waiting included, and one less with each that is made or has failed. What is
//! left goes back when the request ends in any way: with its answer, with an error, or because its client has left. The count
//! is kept by each instance for itself: one ends with the instance that would have told of it, so that none can be lost.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use crate::error::Error;

/// For so long a client that was refused is asked to wait: about as long as a fast Space takes for an image.
const WAIT: Duration = Duration::from_secs(2);

/// The images being made, by caller.
#[derive(Clone)]
pub struct Jobs(Rc<Inner>);

struct Inner {
    /// The most at once; 0 for any number.
    most: u32,
    running: RefCell<HashMap<String, u32>>,
}

/// One caller's part of them.
#[derive(Clone)]
pub struct Account {
    jobs: Jobs,
    caller: String,
}

/// Images that count as being made, until they are given back or this is dropped.
pub struct Permit {
    account: Account,
    count: u32,
}

impl Jobs {
    /// None yet, of `most` for each caller; 0 stands for any number.
    pub fn new(most: u32) -> Self {
        Self(Rc::new(Inner { most, running: RefCell::default() }))
    }

    /// The part of `caller`.
    pub fn of(&self, caller: &str) -> Account {
        Account { jobs: self.clone(), caller: caller.to_owned() }
    }
}

impl Account {
    /// Counts `count` images more.
    ///
    /// # Errors
    /// 429 where they would be too many now, 400 where they would always be.
    pub fn take(&self, count: u32) -> Result<Permit, Error> {
        let most = self.jobs.0.most;
        if most == 0 {
            return Ok(Permit { account: self.clone(), count: 0 });
        }
        if count > most {
            let message =
                format!("At most {most} images are made at once for one API key here (variable jobs_per_key).");
            return Err(Error::invalid_value("n", message));
        }
        let mut running = self.jobs.0.running.borrow_mut();
        let mine = running.entry(self.caller.clone()).or_default();
        if count > most.saturating_sub(*mine) {
            return Err(Error::too_many_jobs(most, *mine, WAIT));
        }
        *mine += count;
        Ok(Permit { account: self.clone(), count })
    }
}

impl Permit {
    /// One image is no longer being made.
    pub fn give_back_one(&mut self) {
        self.give_back(1);
    }

    fn give_back(&mut self, count: u32) {
        let count = count.min(self.count);
        self.count -= count;
        let Account { jobs, caller } = &self.account;
        let mut running = jobs.0.running.borrow_mut();
        if let Some(mine) = running.get_mut(caller) {
            *mine = mine.saturating_sub(count);
            if *mine == 0 {
                running.remove(caller);
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.give_back(self.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_count_until_they_are_made_or_nobody_wants_them() {
        let jobs = Jobs::new(3);
        let (a, b) = (jobs.of("a"), jobs.of("b"));
        let mut two = a.take(2).ok().unwrap();
        let one = a.take(1).ok().unwrap();
        let refused = a.take(1).err().unwrap();
        assert_eq!((refused.status.as_u16(), refused.code), (429, Some("rate_limit_exceeded")));
        assert!(b.take(3).is_ok(), "another caller's don't count");
        two.give_back_one();
        let again = a.take(1).ok().unwrap();
        assert!(a.take(1).is_err());
        drop((two, one, again));
        assert!(jobs.0.running.borrow().is_empty());
        assert_eq!(a.take(4).err().unwrap().status, 400, "never as many");
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let jobs = Jobs::new(0);
        let mut permit = jobs.of("a").take(1000).ok().unwrap();
        permit.give_back_one();
        assert!(jobs.0.running.borrow().is_empty());
    }
}

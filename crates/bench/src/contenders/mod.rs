//! Others that do the same, and rounds in which all have their turn.

pub(crate) mod hello;
pub(crate) mod litellm;
pub(crate) mod nginx;
pub(crate) mod worker;

use std::time::Duration;

use anyhow::Result;

use crate::calls::{Call, Caller};
use crate::program::Program;
use crate::stats::{Round, median_ratio};

/// Somebody who answers the calls.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) caller: Caller,
    pub(crate) call: Call,
    /// Other program that has to run.
    pub(crate) _program: Option<Program>,
}

/// The rounds of each contender that took part.
pub(crate) struct Contest(Vec<(&'static str, Vec<Round>)>);

impl Contest {
    /// Has each make calls in turn, in rounds of `time`, so that whatever slows the machine slows all. One whose call
    /// fails takes no part any longer, which is told.
    pub(crate) async fn hold(
        contenders: &mut Vec<Contender>,
        at_once: usize,
        rounds: usize,
        time: Duration,
    ) -> Result<Self> {
        let mut held: Vec<(&'static str, Vec<Round>)> =
            contenders.iter().map(|contender| (contender.name, Vec::new())).collect();
        // The first round brings caches and tables to where they stay.
        for round in 0..=rounds {
            let mut failed = Vec::new();
            let order: Vec<&Contender> =
                if round % 2 == 1 { contenders.iter().rev().collect() } else { contenders.iter().collect() };
            for contender in order {
                match contender.turn(at_once, if round == 0 { time / 2 } else { time }).await {
                    Ok(figures) if round > 0 => {
                        held.iter_mut()
                            .filter(|(name, _)| *name == contender.name)
                            .for_each(|(_, own)| own.push(figures));
                    }
                    Ok(_) => {}
                    Err(error) => {
                        eprintln!("{}, {at_once} at once: {error:#}", contender.name);
                        failed.push(contender.name);
                    }
                }
            }
            contenders.retain(|contender| !failed.contains(&contender.name));
            held.retain(|(name, _)| !failed.contains(name));
        }
        Ok(Self(held))
    }

    /// Rounds of a contender, unless it failed.
    pub(crate) fn rounds(&self, name: &str) -> Option<&[Round]> {
        self.0.iter().find(|(own, _)| *own == name).map(|(_, rounds)| rounds.as_slice())
    }

    /// Median of what a figure of `name` is of the same of `other`.
    pub(crate) fn ratio(&self, name: &str, other: &str, of: fn(&Round) -> f64) -> Option<f64> {
        Some(median_ratio(self.rounds(name)?, self.rounds(other)?, of))
    }
}

impl Contender {
    async fn turn(&self, at_once: usize, time: Duration) -> Result<Round> {
        // Instances have died meanwhile.
        self.caller.many(self.call, at_once, at_once.max(8)).await?;
        self.caller.for_time(self.call, at_once, time).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Upstream;

    #[tokio::test]
    async fn who_fails_is_out_and_the_others_go_on() {
        let upstream = Upstream::start().await.unwrap();
        let contender = |name, call| {
            let caller = Caller::new(&upstream.url, "http://127.0.0.1:1", "k");
            Contender { name, caller, call, _program: None }
        };
        let mut contenders = vec![contender("direct", Call::DirectUrl), contender("nobody", Call::Models)];
        let contest = Contest::hold(&mut contenders, 2, 3, Duration::from_millis(5)).await.unwrap();
        assert_eq!(contest.rounds("direct").map(<[Round]>::len), Some(3));
        assert!(contest.rounds("nobody").is_none() && contenders.len() == 1);
        let ratio = contest.ratio("direct", "direct", |round| round.per_second).unwrap();
        assert!((ratio - 1.0).abs() < 1e-9 && contest.ratio("direct", "nobody", |round| round.p50).is_none());
    }
}

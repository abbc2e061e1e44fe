//! The request loop: the only loop in the program that repeats a request.

use std::{future::Future, time::Duration};

use backoff::{ExponentialBackoff, ExponentialBackoffBuilder, backoff::Backoff};
use tokio::time::{Instant, sleep};

use super::{
    limit::Budget,
    remedy::{Failure, Outcome, Remedy},
};

/// How long, and what, the request loop repeats.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The first pause; later ones double. The real pause is anything from zero to twice that.
    pub first: Duration,
    /// The longest pause between two attempts, unless the other side asks for more.
    pub longest: Duration,
    /// When to stop repeating; `None` is never.
    pub give_up_after: Option<Duration>,
    /// Whether a request whose outcome nobody knows may be made again. False for
    /// requests that would do harm if done twice: the caller settles those.
    pub repeat_unknown: bool,
}

impl Patience {
    /// Repeats for ever, for requests that change nothing.
    pub const ENDLESS: Patience = Patience {
        first: Duration::from_millis(500),
        longest: Duration::from_secs(60),
        give_up_after: None,
        repeat_unknown: true,
    };

    fn backoff(&self) -> ExponentialBackoff {
        // Only the policy object: the crate's own loop gives up after 15
        // minutes and knows no virtual time.
        ExponentialBackoffBuilder::new()
            .with_initial_interval(self.first)
            .with_max_interval(self.longest)
            .with_multiplier(2.0)
            .with_randomization_factor(1.0)
            .with_max_elapsed_time(None)
            .build()
    }
}

/// Repeats `attempt` until it succeeds or a failure's remedy is something other than a retry.
///
/// Each attempt first waits for the budget, if there is one. A 429 empties the
/// budget, so that everybody who shares it waits. `failed` sees every failure
/// that will be repeated.
///
/// # Errors
///
/// The last failure: one with another remedy, one of unknown outcome that must
/// not be repeated, or the one at which patience ended.
pub async fn until_done<T, F>(
    budget: Option<&Budget>,
    patience: &Patience,
    mut failed: impl FnMut(&Failure),
    mut attempt: impl FnMut() -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut backoff = patience.backoff();
    let start = Instant::now();
    loop {
        if let Some(budget) = budget {
            budget.acquire().await;
        }
        let failure = match attempt().await {
            Ok(done) => return Ok(done),
            Err(failure) => failure,
        };
        let Remedy::Retry { after } = failure.remedy else { return Err(failure) };
        if failure.outcome == Outcome::Unknown && !patience.repeat_unknown {
            return Err(failure);
        }
        let pause = after.unwrap_or_default().max(backoff.next_backoff().unwrap_or(patience.longest));
        if patience.give_up_after.is_some_and(|limit| start.elapsed() + pause > limit) {
            return Err(failure);
        }
        if let (Some(429), Some(budget)) = (failure.status, budget) {
            budget.empty(pause);
        }
        failed(&failure);
        sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::http::remedy::Halt;

    fn failure(remedy: Remedy, outcome: Outcome) -> Failure {
        let doing = "do it".to_owned();
        Failure { doing, status: Some(503), code: None, outcome, remedy, cause: "busy".into() }
    }

    /// Fails `times`, then succeeds; answers how often it was tried.
    async fn run(
        times: usize,
        patience: Patience,
        remedy: Remedy,
        outcome: Outcome,
    ) -> (Result<(), Failure>, usize) {
        let tries = Cell::new(0);
        let result = until_done(
            None,
            &patience,
            |_| (),
            || {
                tries.set(tries.get() + 1);
                let fails = tries.get() <= times;
                let remedy = remedy.clone();
                async move { if fails { Err(failure(remedy, outcome)) } else { Ok(()) } }
            },
        )
        .await;
        (result, tries.get())
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_repeated_until_it_succeeds_and_for_ever() {
        let start = Instant::now();
        let (result, tries) = run(2000, Patience::ENDLESS, Remedy::RETRY, Outcome::Unknown).await;
        assert!(result.is_ok());
        assert_eq!(tries, 2001);
        assert!(start.elapsed() > Duration::from_secs(15 * 60), "the policy itself must not give up");
        assert!(start.elapsed() < Duration::from_secs(2000 * 120));
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_when_it_says_so() {
        let patience = Patience { give_up_after: Some(Duration::from_secs(60)), ..Patience::ENDLESS };
        let start = Instant::now();
        let (result, tries) = run(usize::MAX, patience, Remedy::RETRY, Outcome::NotDone).await;
        assert!(result.is_err() && tries > 1);
        assert!(start.elapsed() <= Duration::from_secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_outcome_is_not_repeated_unless_that_is_harmless() {
        let careful = Patience { repeat_unknown: false, ..Patience::ENDLESS };
        let (result, tries) = run(1, careful, Remedy::RETRY, Outcome::Unknown).await;
        assert!(result.is_err());
        assert_eq!(tries, 1);
        let (result, tries) = run(1, careful, Remedy::RETRY, Outcome::NotDone).await;
        assert!(result.is_ok());
        assert_eq!(tries, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn another_remedy_ends_the_loop_at_once() {
        let halt = Remedy::Halt(Halt::Credentials { hint: "x".to_owned() });
        for remedy in [Remedy::Rewind, Remedy::Park { hint: "x".to_owned() }, halt] {
            let (result, tries) = run(1, Patience::ENDLESS, remedy.clone(), Outcome::NotDone).await;
            assert_eq!(result.unwrap_err().remedy, remedy);
            assert_eq!(tries, 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_pause_is_never_shorter_than_what_was_asked_for() {
        let after = Some(Duration::from_secs(90));
        let start = Instant::now();
        let (result, _) = run(1, Patience::ENDLESS, Remedy::Retry { after }, Outcome::NotDone).await;
        assert!(result.is_ok());
        assert!(start.elapsed() >= Duration::from_secs(90));
    }
}

//! Bytes that may be in memory at once: a tenant's own, and what all tenants share.

use std::{future::pending, sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

/// Bytes that one permit stands for.
const UNIT: usize = 1024;

/// How long something that is larger than what is the tenant's own waits for what
/// is common before it travels alone. Where many tenants catch up at once, all of
/// them are done with theirs long before; only what stands still takes longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What all tenants of the process share of one kind of memory.
#[derive(Clone, Debug)]
pub struct Pool {
    permits: Arc<Semaphore>,
    units: u32,
}

/// What one tenant may have of one kind of memory. Clones share it.
///
/// Some of it is the tenant's own: nobody else can take that, so whatever the
/// others hold, and for however long, the tenant goes on. The rest is taken
/// from what all share, up to a bound. Both are handed out first come, first
/// served. So tenants whose sinks stand still slow the others down to their own
/// share at worst, and do not stop them: what is larger than that waits for a
/// second, and then travels alone.
#[derive(Clone, Debug)]
pub struct Allowance {
    own: Pool,
    /// The most that the tenant may have of what is common.
    most: Pool,
    common: Pool,
}

/// Bytes that were taken; given back when this is dropped.
#[must_use = "dropped, it is given back"]
#[derive(Debug)]
pub struct Share {
    /// One of the tenant's own, or two of what is common.
    permits: Box<[OwnedSemaphorePermit]>,
}

impl Share {
    /// Gives back what exceeds so many bytes.
    pub fn keep(&mut self, bytes: usize) {
        let kept = units(bytes) as usize;
        for permit in &mut self.permits {
            let more = permit.num_permits().saturating_sub(kept);
            drop(permit.split(more));
        }
    }
}

impl Pool {
    /// Shares so many bytes.
    pub fn new(bytes: usize) -> Pool {
        let units = (bytes / UNIT).min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
        Pool { permits: Arc::new(Semaphore::new(units)), units: units as u32 }
    }

    /// How many bytes there are in all.
    pub fn bytes(&self) -> usize {
        self.units as usize * UNIT
    }

    /// How many bytes are taken.
    pub fn taken(&self) -> usize {
        self.bytes() - self.permits.available_permits() * UNIT
    }

    /// How many bytes nobody holds.
    pub fn left(&self) -> usize {
        self.permits.available_permits() * UNIT
    }

    /// Takes so many bytes away for good, or as many as nobody holds.
    pub fn shrink(&self, bytes: usize) {
        self.permits.forget_permits(bytes.div_ceil(UNIT));
    }

    async fn take(&self, units: u32) -> Option<OwnedSemaphorePermit> {
        if units > self.units {
            return pending().await;
        }
        self.permits.clone().acquire_many_owned(units).await.ok()
    }

    fn take_now(&self, units: u32) -> Option<OwnedSemaphorePermit> {
        self.permits.clone().try_acquire_many_owned(units).ok()
    }
}

impl Allowance {
    /// An allowance of `own` bytes, and up to `most` of what is `common`.
    pub fn of(common: &Pool, own: usize, most: usize) -> Allowance {
        // With nothing at all of its own a tenant could be stopped by the others.
        Allowance { own: Pool::new(own.max(UNIT)), most: Pool::new(most), common: common.clone() }
    }

    /// An allowance that shares nothing with anybody.
    pub fn alone(bytes: usize) -> Allowance {
        Allowance::of(&Pool::new(0), bytes, 0)
    }

    /// How many bytes the tenant may have at most.
    pub fn bytes(&self) -> usize {
        self.own.bytes() + self.most.bytes()
    }

    /// How many bytes the tenant has.
    pub fn taken(&self) -> usize {
        self.own.taken() + self.most.taken()
    }

    /// Waits until so many bytes may be had.
    ///
    /// What is larger than the tenant's own waits for what is common: for a second,
    /// if there is ever so much of that; then also until nothing else is held of
    /// its own: then it takes all of that, and travels alone.
    pub async fn take(&self, bytes: usize) -> Share {
        let units = units(bytes);
        if let Some(share) = self.take_now(units) {
            return share;
        }
        let own = async {
            if self.is_for_all(units) {
                sleep(PATIENCE).await;
            }
            self.own.take(units.min(self.own.units)).await
        };
        let common = async {
            let most = self.most.take(units).await?;
            Some([most, self.common.take(units).await?])
        };
        // None of the semaphores is ever closed.
        tokio::select! {
            own = own => Share { permits: own.into_iter().collect() },
            common = common => Share { permits: common.into_iter().flatten().collect() },
        }
    }

    /// Takes so many bytes if they may be had at once.
    pub fn try_take(&self, bytes: usize) -> Option<Share> {
        self.take_now(units(bytes))
    }

    /// Whether so many are too much for the tenant's own, and not for what is common.
    fn is_for_all(&self, units: u32) -> bool {
        units > self.own.units && units <= self.most.units.min(self.common.units)
    }

    /// Nobody waits and enough is there: the tenant's own first, and what
    /// exceeds both (then the count is too low) alone.
    fn take_now(&self, units: u32) -> Option<Share> {
        let own = |units| Some(Share { permits: [self.own.take_now(units)?].into() });
        let common = || {
            let most = self.most.take_now(units)?;
            Some(Share { permits: [most, self.common.take_now(units)?].into() })
        };
        if units <= self.own.units {
            own(units).or_else(common)
        } else if self.is_for_all(units) {
            common()
        } else {
            own(self.own.units)
        }
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;
    use tokio::time::{Instant, sleep};

    use super::*;

    const KB: usize = UNIT;

    #[tokio::test(start_paused = true)]
    async fn a_tenant_goes_on_with_its_own_while_others_hold_all_that_is_shared() {
        let common = Pool::new(100 * KB);
        let stuck: Vec<Allowance> = (0..4).map(|_| Allowance::of(&common, 10 * KB, 50 * KB)).collect();
        let mut held = Vec::new();
        for allowance in &stuck {
            while let Some(share) = allowance.try_take(5 * KB) {
                held.push(share);
            }
        }
        assert_eq!(held.len(), 4 * 2 + 20, "their own, and all that is common");
        for allowance in &stuck {
            assert!(allowance.take(5 * KB).now_or_never().is_none());
        }
        let well = Allowance::of(&common, 10 * KB, 50 * KB);
        for _ in 0..1000 {
            let share = well.take(8 * KB).now_or_never().expect("its own is always there");
            drop(share);
            // What could never be had travels alone at once.
            drop(well.take(60 * KB).now_or_never().expect("alone"));
        }
        // What could be had waits a moment for it.
        let began = Instant::now();
        let share = well.take(30 * KB).await;
        assert_eq!((began.elapsed(), well.own.left()), (PATIENCE, 0));
        drop(share);
        drop(held);
        let share = well.take(30 * KB).now_or_never().expect("it is there");
        assert_eq!((well.own.left(), common.left()), (10 * KB, 70 * KB));
        drop(share);
    }

    #[tokio::test(start_paused = true)]
    async fn what_turns_out_not_to_be_needed_is_given_back() {
        let common = Pool::new(100 * KB);
        let tenant = Allowance::of(&common, 10 * KB, 50 * KB);
        let mut large = tenant.take(40 * KB).await;
        assert_eq!((common.taken(), tenant.taken()), (40 * KB, 40 * KB));
        large.keep(100 * KB);
        large.keep(15 * KB);
        assert_eq!((common.taken(), tenant.taken()), (15 * KB, 15 * KB));
        let mut small = tenant.take(8 * KB).await;
        small.keep(0);
        assert_eq!(tenant.taken(), 15 * KB);
        drop((large, small));
        assert_eq!((common.taken(), tenant.taken()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn none_takes_more_than_its_bound_and_all_together_no_more_than_there_is() {
        let common = Pool::new(100 * KB);
        let one = Allowance::of(&common, 10 * KB, 50 * KB);
        let mut held: Vec<Share> = std::iter::from_fn(|| one.try_take(KB)).collect();
        assert_eq!(held.len(), 60);
        let two = Allowance::of(&common, 10 * KB, 80 * KB);
        held.extend(std::iter::from_fn(|| two.try_take(KB)));
        assert_eq!(held.len(), 120);
        drop(held);
        assert_eq!((common.permits.available_permits(), one.own.permits.available_permits()), (100, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_larger_than_everything_still_travels_alone() {
        let allowance = Allowance::alone(10 * KB);
        let small = allowance.take(KB).await;
        assert!(allowance.take(1000 * KB).now_or_never().is_none(), "not beside anything");
        drop(small);
        let large = allowance.take(1000 * KB).now_or_never().expect("alone");
        assert!(allowance.take(KB).now_or_never().is_none());
        drop(large);
        assert!(allowance.take(10 * KB).now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn twenty_tenants_get_the_same_of_what_is_shared() {
        let common = Pool::new(64 * KB);
        let start = Instant::now();
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let allowance = Allowance::of(&common, KB, 64 * KB);
                tokio::spawn(async move {
                    let mut turns = 0;
                    while start.elapsed() < Duration::from_secs(100) {
                        let _share = allowance.take(16 * KB).await;
                        sleep(Duration::from_millis(100)).await;
                        turns += 1;
                    }
                    turns
                })
            })
            .collect();
        let mut turns = Vec::new();
        for task in tasks {
            turns.push(task.await.unwrap());
        }
        let (least, most) = (turns.iter().min().unwrap(), turns.iter().max().unwrap());
        assert!(*least >= 200 && most - least <= 2, "four at a time: {turns:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_gives_up_waiting_takes_nothing_with_him() {
        let allowance = Allowance::of(&Pool::new(10 * KB), 10 * KB, 10 * KB);
        let held = (allowance.take(10 * KB).await, allowance.take(4 * KB).await);
        assert!(tokio::time::timeout(Duration::from_secs(1), allowance.take(8 * KB)).await.is_err());
        drop(held);
        let all = (allowance.take(10 * KB).now_or_never(), allowance.take(10 * KB).now_or_never());
        assert!(all.0.is_some() && all.1.is_some());
    }
}

//! The budgets of the process: one an account, whichever of its tenants asks.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use opgraph_state::{Store, StoreError, UnixMs};
use tracing::warn;

use crate::http::{Budget, Limits};

/// Who makes requests from which budget. Clones share it.
///
/// Two tenants of one account share its budget, first come first served. The
/// lowest of their limits hold for all of them.
#[derive(Clone, Debug, Default)]
pub struct Budgets(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    earlier: Earlier,
    shares: Mutex<HashMap<Owner, Share>>,
}

/// Until when runs of earlier processes may have made requests.
#[derive(Debug, Default)]
struct Earlier {
    accounts: HashMap<String, UnixMs>,
    /// Those of tenants of which the account is not known: it may be any.
    unknown: Option<UnixMs>,
}

/// Whose a budget is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Owner {
    Account(String),
    /// Nobody has told the tenant's account yet.
    Tenant(Arc<str>),
}

#[derive(Debug)]
struct Share {
    budget: Arc<Budget>,
    limits: Limits,
    /// The limits that each tenant was given.
    tenants: BTreeMap<Arc<str>, Limits>,
}

/// What a tenant knows when it asks for a budget.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking<'a> {
    pub(super) tenant: &'a Arc<str>,
    /// The account's uuid, if anybody has told it: the token, a checkpoint, the API.
    pub(super) account: Option<&'a str>,
    pub(super) limits: Limits,
    /// Until when earlier runs of the tenant may have made requests.
    pub(super) active_until: Option<UnixMs>,
    pub(super) now: UnixMs,
}

impl Budgets {
    /// Begins with what earlier processes left behind. An account's tenants may
    /// start again one after the other: its budget has to know of all of them
    /// before the first request of the first.
    ///
    /// # Errors
    ///
    /// The state cannot be read.
    pub async fn after_earlier_runs<T: Store>(store: &T) -> Result<Budgets, StoreError> {
        let mut earlier = Earlier::default();
        for (tenant, streams) in store.checkpoints().await? {
            let Some(until) = store.active_until(&tenant).await? else { continue };
            let mut known = false;
            for account in streams.into_values().filter_map(|checkpoint| checkpoint.source.account) {
                let latest = earlier.accounts.entry(account).or_insert(until);
                *latest = until.max(*latest);
                known = true;
            }
            if !known {
                earlier.unknown = earlier.unknown.max(Some(until));
            }
        }
        Ok(Budgets(Arc::new(Inner { earlier, shares: Mutex::default() })))
    }

    /// Answers the budget from which the tenant makes its requests from now on.
    pub(super) fn join(&self, asking: Asking<'_>) -> Arc<Budget> {
        let Asking { tenant, account, limits, active_until, now } = asking;
        let owner = match account {
            Some(account) => Owner::Account(account.to_owned()),
            None => Owner::Tenant(tenant.clone()),
        };
        let mut shares = self.shares();
        leave(&mut shares, tenant, Some(&owner));
        let share = shares.entry(owner).or_insert_with(|| {
            let until = active_until.max(account.and_then(|account| self.0.earlier.of(account)));
            let budget = Arc::new(Budget::new(limits, idle(until, now)));
            Share { budget, limits, tenants: BTreeMap::new() }
        });
        share.tenants.insert(tenant.clone(), limits);
        share.keep_to_the_lowest();
        if let (Some(account), true) = (account, share.limits != limits) {
            let Limits { per_minute, per_hour } = share.limits;
            warn!(
                account,
                per_minute, per_hour, "tenants of one account have different limits: the lowest hold for all"
            );
        }
        share.budget.clone()
    }

    /// The tenant is no more: its limits bind nobody.
    pub fn leave(&self, tenant: &str) {
        leave(&mut self.shares(), tenant, None);
    }

    fn shares(&self) -> MutexGuard<'_, HashMap<Owner, Share>> {
        self.0.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a tenant out of every share but one. An account's budget stays, so
/// that whoever comes back finds what is left of it.
fn leave(shares: &mut HashMap<Owner, Share>, tenant: &str, but: Option<&Owner>) {
    shares.retain(|owner, share| {
        if Some(owner) != but && share.tenants.remove(tenant).is_some() {
            share.keep_to_the_lowest();
        }
        matches!(owner, Owner::Account(_)) || !share.tenants.is_empty() || Some(owner) == but
    });
}

impl Earlier {
    fn of(&self, account: &str) -> Option<UnixMs> {
        self.accounts.get(account).copied().max(self.unknown)
    }
}

impl Share {
    fn keep_to_the_lowest(&mut self) {
        let lowest = self.tenants.values().copied().reduce(|one, other| Limits {
            per_minute: one.per_minute.min(other.per_minute),
            per_hour: one.per_hour.min(other.per_hour),
        });
        if let Some(lowest) = lowest.filter(|lowest| *lowest != self.limits) {
            self.limits = lowest;
            self.budget.keep_to(lowest);
        }
    }
}

/// How long the account has certainly made no request, as [`Budget::new`] wants it.
///
/// | earlier runs were active | answer                                          |
/// |--------------------------|-------------------------------------------------|
/// | never                    | none: a full budget                             |
/// | until some time ago      | that time: what has been refilled since         |
/// | until some time to come  | zero: an empty budget, which refills at once    |
///
/// The last is a run that was killed within its lease, or a clock that was set
/// back, by however much: the budget itself never asks the wall clock.
pub fn idle(active_until: Option<UnixMs>, now: UnixMs) -> Option<Duration> {
    active_until.map(|until| now.since(until))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use opgraph_state::{Checkpoint, Cursor, MemoryStore, SourceInfo};
    use tokio::{
        task::JoinSet,
        time::{Instant, sleep},
    };

    use super::*;
    use crate::{clock::Clock, supervisor::life::LEASE};

    const ACCOUNT: &str = "ACCOUNT";

    /// The most requests that any window of this length holds.
    fn densest(times: &[Duration], window: Duration) -> usize {
        let (mut inside, mut most) = (VecDeque::new(), 0);
        for &at in times {
            inside.push_back(at);
            while inside.front().is_some_and(|first| at - *first > window) {
                inside.pop_front();
            }
            most = most.max(inside.len());
        }
        most
    }

    fn asking<'a>(tenant: &'a Arc<str>, account: Option<&'a str>, now: UnixMs) -> Asking<'a> {
        Asking { tenant, account, limits: Limits::default(), active_until: None, now }
    }

    /// What a run of a tenant does until it is killed: it asks whose its token
    /// is, then for pages as fast as it may.
    async fn life(tenant: Arc<str>, tells: bool, keeps: bool, world: World) {
        let World { store, budgets, clock, times, start } = world;
        let first = [("auditevents".to_owned(), Cursor::Since(clock.now()))];
        let claim = store.claim(&tenant, &first, clock.now()).await.unwrap();
        store.renew(&tenant, claim.epoch, clock.now().plus(LEASE)).await.unwrap();
        let checkpoint = claim.checkpoints["auditevents"].clone();
        let told = tells.then_some(ACCOUNT).or(checkpoint.source.account.as_deref());
        let asking = Asking { active_until: claim.active_until, ..asking(&tenant, told, clock.now()) };
        let budget = budgets.join(asking);
        budget.acquire().await;
        times.lock().unwrap().push(start.elapsed());
        if keeps {
            let source = SourceInfo { account: Some(ACCOUNT.to_owned()), ..checkpoint.source.clone() };
            let known = Checkpoint { source, ..checkpoint.clone() };
            let known = BTreeMap::from([("auditevents".to_owned(), known)]);
            store.import(&tenant, known, true, clock.now().plus(LEASE)).await.unwrap();
        }
        let whole = budgets.join(Asking { account: Some(ACCOUNT), ..asking });
        if !Arc::ptr_eq(&whole, &budget) {
            whole.pay(budget.granted()).await;
        }
        loop {
            whole.acquire().await;
            times.lock().unwrap().push(start.elapsed());
        }
    }

    #[derive(Clone)]
    struct World {
        store: MemoryStore,
        budgets: Budgets,
        clock: Clock,
        times: Arc<Mutex<Vec<Duration>>>,
        start: Instant,
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_its_tenants_know_of_it_and_however_often_they_are_killed_an_accounts_limits_hold() {
        let mut dense = 0;
        for seed in 0..40 {
            let mut dice = fastrand::Rng::with_seed(seed);
            let (store, clock) = (MemoryStore::default(), Clock::starting_at(UnixMs(1_780_000_000_000)));
            let (times, start) = (Arc::<Mutex<Vec<Duration>>>::default(), Instant::now());
            for _ in 0..8 {
                let budgets = Budgets::after_earlier_runs(&store).await.unwrap();
                let (store, clock, times) = (store.clone(), clock.clone(), times.clone());
                let world = World { store, budgets, clock, times, start };
                let mut lives = JoinSet::new();
                for tenant in ["one", "two", "three"] {
                    let (there, tells, keeps) = (dice.u8(0..4) > 0, dice.bool(), dice.u8(0..4) == 0);
                    let (late, world) = (Duration::from_millis(dice.u64(0..3000)), world.clone());
                    if there {
                        lives.spawn(async move {
                            sleep(late).await;
                            life(tenant.into(), tells, keeps, world).await;
                        });
                    }
                }
                // Killed.
                sleep(Duration::from_millis(dice.u64(0..40_000))).await;
            }
            let mut times = times.lock().unwrap().clone();
            times.sort();
            let most = densest(&times, Duration::from_secs(60));
            assert!(most <= 600, "seed {seed}: {most} requests in a minute");
            dense = dense.max(most);
        }
        assert!(dense > 450, "{dense}: the limits were never near");
    }

    #[tokio::test(start_paused = true)]
    async fn accounts_do_not_share_and_tenants_of_one_do_until_they_leave() {
        let (budgets, now) = (Budgets::default(), UnixMs(0));
        let [one, two, three]: [Arc<str>; 3] = ["one".into(), "two".into(), "three".into()];
        let of = |tenant, account| budgets.join(asking(tenant, account, now));
        let shared = of(&one, Some("A"));
        assert!(Arc::ptr_eq(&shared, &of(&two, Some("A"))));
        assert!(!Arc::ptr_eq(&shared, &of(&three, Some("B"))));
        // Nobody knows whose these are: each is on its own.
        assert!(!Arc::ptr_eq(&of(&one, None), &of(&two, None)));
        assert!(Arc::ptr_eq(&shared, &of(&two, Some("A"))), "an account's budget stays");

        // The lowest of each limit holds, for as long as the tenant is there that has it.
        let n = |limit| std::num::NonZeroU32::new(limit).unwrap();
        let limits = |per_minute, per_hour| Limits { per_minute: n(per_minute), per_hour: n(per_hour) };
        let ask = |tenant, limits| drop(budgets.join(Asking { limits, ..asking(tenant, Some("A"), now) }));
        let held = || budgets.shares()[&Owner::Account("A".to_owned())].limits;
        ask(&one, limits(600, 100));
        ask(&two, limits(60, 1000));
        assert_eq!(held(), limits(60, 100));
        budgets.leave("one");
        assert_eq!(held(), limits(60, 1000));
        ask(&two, limits(500, 1000));
        assert_eq!(held(), limits(500, 1000));
        // Moving to another account leaves this one.
        ask(&one, limits(10, 10));
        of(&one, Some("B"));
        assert_eq!(held(), limits(500, 1000));
    }
}

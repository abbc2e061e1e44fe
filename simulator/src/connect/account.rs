//! The account while it lives: its vaults and items, changed one step after the other.
//!
//! Versions move as 1Password documents them: whatever happens to an item raises its version and its vault's
//! `contentVersion`; a vault's name raises `attributeVersion`. The state after n changes comes from the seed and the
//! changes alone.

use std::sync::Arc;

use super::{
    change::{Change, ChangeError},
    state::{ItemState, Presence, VaultState},
};
use crate::{
    generate::{Cast, MOST_VAULTS, World},
    mix::{Dice, mix},
};

/// How often a rolled change looks for an item to change before it makes one.
const TRIES: usize = 8;

/// The vaults and items of the account.
#[derive(Debug)]
pub(crate) struct Account {
    seed: u64,
    world: Arc<World>,
    /// By number. A deleted vault leaves its place empty.
    vaults: Vec<Option<Arc<VaultState>>>,
    /// Changes so far, ordered and rolled.
    changes: u64,
    /// Changes among them that came with time.
    timed: u64,
    /// Items made so far.
    made: u64,
}

impl Account {
    pub(crate) fn new(seed: u64, world: Arc<World>) -> Account {
        let began = |at| Some(Arc::new(VaultState::began(at, &world.cast)));
        let vaults = (0..world.cast.vaults.len() as u32).map(began).collect();
        Account { seed: mix(seed ^ 0x6368_616e_6765), world, vaults, changes: 0, timed: 0, made: 0 }
    }

    /// Returns how many changes there were.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// Returns the vaults there are.
    pub(crate) fn vaults(&self) -> impl Iterator<Item = &Arc<VaultState>> {
        self.vaults.iter().flatten()
    }

    /// Returns the vault with this id, if there is one.
    pub(crate) fn vault(&self, id: &str) -> Option<&Arc<VaultState>> {
        self.vaults.get(self.world.cast.vault(id)? as usize)?.as_ref()
    }

    /// Lets every change happen that is due by `now`, with `per_hour` of them from the start on.
    pub(crate) fn catch_up(&mut self, now: i64, per_hour: f64) {
        let hours = (now - self.world.start) as f64 / 3.6e12;
        let due = (hours * per_hour).max(0.0) as u64;
        while self.timed < due {
            self.timed += 1;
            let at = self.world.start.saturating_add((self.timed as f64 / per_hour * 3.6e12) as i64);
            self.roll(at);
        }
    }

    /// Makes a change at a time, nanoseconds. Returns the id of what was made, if anything was.
    pub(crate) fn apply(&mut self, change: &Change, time: i64) -> Result<Option<String>, ChangeError> {
        let world = Arc::clone(&self.world);
        let cast = &world.cast;
        let step = match change {
            Change::Any { n } => {
                (0..*n).for_each(|_| self.roll(time));
                return Ok(None);
            }
            Change::CreateVault => Step::CreateVault,
            Change::CreateItem { vault } => Step::CreateItem(self.number(vault)?),
            Change::RenameVault { vault, name } => Step::Rename(self.number(vault)?, name.clone()),
            Change::DeleteVault { vault } => Step::DeleteVault(self.number(vault)?),
            Change::EditItem { vault, item } => {
                let (vault, item) = self.find(vault, item, &[Presence::Active], cast)?;
                Step::Edit(vault, item)
            }
            Change::ArchiveItem { vault, item } => {
                let (vault, item) = self.find(vault, item, &[Presence::Active], cast)?;
                Step::PutAway(vault, item, Presence::Archived)
            }
            Change::DeleteItem { vault, item } => {
                let (vault, item) = self.find(vault, item, &[Presence::Active, Presence::Archived], cast)?;
                Step::PutAway(vault, item, Presence::Deleted)
            }
            Change::RestoreItem { vault, item } => {
                let (vault, item) = self.find(vault, item, &[Presence::Archived], cast)?;
                Step::Restore(vault, item)
            }
            Change::MoveItem { vault, item, to_vault } => {
                let (vault, item) = self.find(vault, item, &[Presence::Active], cast)?;
                Step::Move(vault, item, self.number(to_vault)?)
            }
        };
        self.take(step, time)
    }

    fn number(&self, vault: &str) -> Result<u32, ChangeError> {
        let found = self.vault(vault).map(|vault| vault.at);
        found.ok_or_else(|| ChangeError::NoVault(vault.to_owned()))
    }

    fn find(
        &self,
        vault: &str,
        item: &str,
        fitting: &[Presence],
        cast: &Cast,
    ) -> Result<(u32, ItemState), ChangeError> {
        let vault = self.vault(vault).ok_or_else(|| ChangeError::NoVault(vault.to_owned()))?;
        let found = cast.items.number_of(item).and_then(|number| vault.item(number, cast));
        let found = found.filter(|item| fitting.contains(&item.presence));
        Ok((vault.at, found.ok_or_else(|| ChangeError::NoItem(item.to_owned()))?))
    }

    /// Takes one step. What it changes is in the vaults and items that it names.
    fn take(&mut self, step: Step, time: i64) -> Result<Option<String>, ChangeError> {
        let world = Arc::clone(&self.world);
        let editor = mix(self.seed ^ mix(self.changes) ^ 0x7573_6572) % world.cast.people.len() as u64;
        let changed = Some((time, editor as u32));
        self.changes += 1;
        let mut made = None;
        match step {
            Step::CreateVault => {
                let at = self.vaults.len() as u32;
                if at >= MOST_VAULTS {
                    return Err(ChangeError::TooManyVaults);
                }
                let began = VaultState::began(at, &world.cast);
                self.vaults.push(Some(Arc::new(VaultState {
                    made: Some(time),
                    changed: Some(time),
                    ..began
                })));
                made = Some(world.cast.vault_id(at).into_owned());
            }
            Step::DeleteVault(at) => self.vaults[at as usize] = None,
            Step::Rename(at, name) => {
                if let Some(vault) = self.edit(at) {
                    vault.name = Some(name);
                    vault.attributes_raised += 1;
                    vault.changed = Some(time);
                }
            }
            Step::CreateItem(at) => {
                let number = world.cast.items.later(self.made);
                self.made += 1;
                self.put(at, ItemState { made: Some(time), changed, ..ItemState::began(number) }, 1);
                made = Some(world.cast.items.id(number));
            }
            Step::Edit(at, item) => {
                self.put(at, ItemState { edits: item.edits + 1, changed, ..item.raised() }, 0);
            }
            Step::PutAway(at, item, presence) => {
                let was_active = item.presence == Presence::Active;
                self.put(at, ItemState { presence, changed, ..item.raised() }, -i64::from(was_active));
            }
            Step::Restore(at, item) => {
                self.put(at, ItemState { presence: Presence::Active, changed, ..item.raised() }, 1);
            }
            Step::Move(from, item, to) => {
                self.put(from, ItemState { presence: Presence::Moved, ..item }, -1);
                self.put(to, ItemState { changed, ..item.raised() }, 1);
            }
        }
        Ok(made)
    }

    /// Returns a vault to be changed: a list that is still being sent keeps the vault as it was.
    fn edit(&mut self, at: u32) -> Option<&mut VaultState> {
        self.vaults.get_mut(at as usize)?.as_mut().map(Arc::make_mut)
    }

    fn put(&mut self, at: u32, item: ItemState, more: i64) {
        if let Some(vault) = self.edit(at) {
            vault.differing.insert(item.number, item);
            vault.contents_raised += 1;
            vault.items = vault.items.saturating_add_signed(more);
        }
    }

    /// Makes the next change by chance.
    fn roll(&mut self, time: i64) {
        let world = Arc::clone(&self.world);
        let mut dice = Dice::new(self.seed ^ mix(self.changes));
        let there: Vec<u32> = self.vaults().map(|vault| vault.at).collect();
        let step = match there.is_empty() {
            true => Step::CreateVault,
            false => self.rolled(&mut dice, &there, &world.cast),
        };
        // The only step that is ever refused is one vault too many; then this change is that nothing changes.
        if let Err(error) = self.take(step, time) {
            tracing::debug!(%error, "the account did not change");
        }
    }

    fn rolled(&self, dice: &mut Dice, there: &[u32], cast: &Cast) -> Step {
        let (at, other) = (*dice.pick(there), *dice.pick(there));
        let what = dice.below(100);
        match what {
            0..=1 => return Step::CreateVault,
            2..=2 if there.len() > 1 => return Step::DeleteVault(at),
            2..=6 => return Step::Rename(at, format!("Renamed {}", dice.below(1000))),
            7..=21 => return Step::CreateItem(at),
            _ => {}
        }
        let wanted = if (22..=29).contains(&what) { Presence::Archived } else { Presence::Active };
        let Some(vault) = self.vaults[at as usize].as_deref() else { return Step::CreateVault };
        let places = vault.places(cast);
        let found = (0..TRIES.min(places as usize)).find_map(|_| {
            let item = match wanted {
                // Few are archived: they are among those that differ.
                Presence::Archived => {
                    let nth = dice.below(vault.differing.len().max(1));
                    vault.differing.values().nth(nth).copied()
                }
                _ => vault.place(dice.below(places as usize) as u64, cast),
            };
            item.filter(|item| item.presence == wanted)
        });
        match (found, what) {
            (None, _) => Step::CreateItem(at),
            (Some(item), 22..=29) => Step::Restore(at, item),
            (Some(item), 30..=39) => Step::PutAway(at, item, Presence::Archived),
            (Some(item), 40..=47) => Step::PutAway(at, item, Presence::Deleted),
            (Some(item), 48..=55) if other != at => Step::Move(at, item, other),
            (Some(item), _) => Step::Edit(at, item),
        }
    }
}

impl ItemState {
    /// Returns the item one version later.
    fn raised(self) -> ItemState {
        ItemState { raised: self.raised + 1, ..self }
    }
}

/// A change whose vaults and items were found.
enum Step {
    CreateVault,
    DeleteVault(u32),
    Rename(u32, String),
    CreateItem(u32),
    Edit(u32, ItemState),
    /// Archives or deletes.
    PutAway(u32, ItemState, Presence),
    Restore(u32, ItemState),
    Move(u32, ItemState, u32),
}

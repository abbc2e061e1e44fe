//! 1Password Connect: vaults and items.

pub mod wire;

pub mod records;

mod elements;

pub use wire::{Item, Labels, Vault};

//! Uses of items in shared vaults: `POST /api/v2/itemusages`.

use serde::Deserialize;

use super::{
    Event, Origin,
    parts::{Client, Location, Text, User, filled, object},
    told::{Profile, Told},
    write::{client, close_event, count_unknown, country, event, joined, location, time, user},
};
use crate::graph::{EntityType, Records, RelationshipType};

/// `ItemUsage` (1Password's OpenAPI file and v2 reference).
///
/// Late by design: it is sent when the client next syncs, up to a day or two
/// after it happened.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ItemUsage<'a> {
    /// The event's id.
    #[serde(borrow)]
    pub uuid: Option<Text<'a>>,
    /// When.
    #[serde(borrow)]
    pub timestamp: Option<Text<'a>>,
    /// The version of the item; 0 occurs.
    pub used_version: Option<i64>,
    /// The vault.
    #[serde(borrow)]
    pub vault_uuid: Option<Text<'a>>,
    /// The item.
    #[serde(borrow)]
    pub item_uuid: Option<Text<'a>>,
    /// What was done; absent in old events. See [`ACTIONS`].
    #[serde(borrow)]
    pub action: Option<Text<'a>>,
    /// Who.
    #[serde(borrow, default, deserialize_with = "object")]
    pub user: Option<User<'a>>,
    /// With what.
    #[serde(borrow, default, deserialize_with = "object")]
    pub client: Option<Client<'a>>,
    /// From where.
    #[serde(borrow, default, deserialize_with = "object")]
    pub location: Option<Location<'a>>,
    /// The account; MSP accounts only.
    #[serde(borrow)]
    pub account_uuid: Option<Text<'a>>,
}

/// The documented actions. `other` is any action of a client before 8.4.0.
pub const ACTIONS: &[&str] = &[
    "enter-item-edit-mode",
    "export",
    "fill",
    "other",
    "reveal",
    "secure-copy",
    "select-sso-provider",
    "server-create",
    "server-fetch",
    "server-update",
    "share",
];

impl<'a> Event<'a> for ItemUsage<'a> {
    fn uuid(&self) -> Option<&str> {
        self.uuid.as_deref()
    }

    fn timestamp(&self) -> Option<&str> {
        self.timestamp.as_deref()
    }

    fn map<'e>(&'e self, origin: &Origin<'e>, told: &mut Told<'e>, records: &mut Records) {
        count_unknown(records, ACTIONS, &self.action);
        let user_uuid = self.user.as_ref().and_then(|user| filled(&user.uuid));
        let action = filled(&self.action);
        let called = self.user.as_ref().and_then(User::called).or(user_uuid);

        let mut entity = event(
            records,
            EntityType::ItemUsageEvent,
            origin,
            &joined(action, &[], origin.uuid),
            &joined(called, &[(": ", action), (" ", filled(&self.item_uuid))], origin.uuid),
        );
        entity.text("mspAccountUUID", filled(&self.account_uuid));
        entity.text("action", action);
        entity.text("userUUID", user_uuid);
        entity.text("itemUUID", filled(&self.item_uuid));
        entity.text("vaultUUID", filled(&self.vault_uuid));
        entity.integer("usedVersion", self.used_version);
        client(&mut entity, self.client.as_ref());
        entity.text("country", country(self.location.as_ref()));
        location(&mut entity, self.location.as_ref());
        close_event(entity, origin);

        match (&self.user, user_uuid) {
            (Some(who), Some(uuid)) => {
                use RelationshipType::{TargetUserPerformedUsage, UserPerformedUsage};
                // The same person twice: as who used the item, and as who signs in.
                for (of, link) in [
                    (EntityType::ItemUsageUser, UserPerformedUsage),
                    (EntityType::SignInTargetUser, TargetUserPerformedUsage),
                ] {
                    user(records, told, of, uuid, Profile::of(who), origin);
                    records.relationship(link, uuid, origin.uuid, time(origin));
                }
            }
            (Some(_), None) => records.counts.users_without_uuid += 1,
            (None, _) => (),
        }
    }
}

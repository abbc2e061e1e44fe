//! Uses of items in shared vaults: `POST /api/v2/itemusages`.

use super::{
    Event, Origin,
    parts::{Client, Location, User, filled},
    told::{Profile, Told},
    wire::wire,
    write::{client, close_event, count_unknown, country, event, location, time, user},
};
use crate::graph::{EntityType, Records, RelationshipType, Text};

wire! {
    /// `ItemUsage` (1Password's OpenAPI file and v2 reference).
    ///
    /// Late by design: it is sent when the client next syncs, up to a day or two
    /// after it happened.
    pub struct ItemUsage<'a> {
        /// The event's id.
        pub uuid: Option<Text<'a>>,
        /// When.
        pub timestamp: Option<Text<'a>>,
        /// The version of the item; 0 occurs.
        pub used_version: Option<i64>,
        /// The vault.
        pub vault_uuid: Option<Text<'a>>,
        /// The item.
        pub item_uuid: Option<Text<'a>>,
        /// What was done; absent in old events. See [`ACTIONS`].
        pub action: Option<Text<'a>>,
        /// Who.
        pub user: Option<User<'a>>,
        /// With what.
        pub client: Option<Client<'a>>,
        /// From where.
        pub location: Option<Location<'a>>,
        /// The account; MSP accounts only.
        pub account_uuid: Option<Text<'a>>,
    }
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
    fn uuid(&self) -> Option<Text<'a>> {
        self.uuid
    }

    fn timestamp(&self) -> Option<Text<'a>> {
        self.timestamp
    }

    fn map(&self, origin: &Origin<'a>, told: &mut Told<'a>, records: &mut Records) {
        count_unknown(records, ACTIONS, self.action);
        let user_uuid = self.user.as_ref().and_then(|user| filled(user.uuid));
        let action = filled(self.action);
        let called = self.user.as_ref().and_then(User::called).or(user_uuid);

        let mut entity = event(
            records,
            EntityType::ItemUsageEvent,
            origin,
            [("", action), ("", None), ("", None)],
            [("", called), (": ", action), (" ", filled(self.item_uuid))],
        );
        entity.text("mspAccountUUID", filled(self.account_uuid));
        entity.text("action", action);
        entity.text("userUUID", user_uuid);
        entity.text("itemUUID", filled(self.item_uuid));
        entity.text("vaultUUID", filled(self.vault_uuid));
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

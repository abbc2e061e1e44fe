//! Attempts to sign in: `POST /api/v2/signinattempts`.

use super::{
    Event, Origin,
    parts::{Client, Details, Location, User, filled},
    told::{Profile, Told},
    wire::wire,
    write::{client, close_event, count_unknown, country, event, location, time, user},
};
use crate::graph::{EntityType, Records, RelationshipType, Text};

wire! {
    /// `SignInAttempt` (1Password's OpenAPI file and v2 reference).
    pub struct SignInAttempt<'a> {
        /// The event's id.
        pub uuid: Option<Text<'a>>,
        /// The session that was tried.
        pub session_uuid: Option<Text<'a>>,
        /// When.
        pub timestamp: Option<Text<'a>>,
        /// How it ended; see [`CATEGORIES`].
        pub category: Option<Text<'a>>,
        /// Why; see [`TYPES`].
        pub kind: Option<Text<'a>> as "type",
        /// The country of the firewall's view: a code or a name. Not always the location's.
        pub country: Option<Text<'a>>,
        /// What else is known.
        pub details: Option<Details<'a>>,
        /// Who tried.
        pub target_user: Option<User<'a>>,
        /// From what.
        pub client: Option<Client<'a>>,
        /// From where.
        pub location: Option<Location<'a>>,
        /// The account; MSP accounts only.
        pub account_uuid: Option<Text<'a>>,
    }
}

/// The documented categories. `firewall_reported_success` is a success.
pub const CATEGORIES: &[&str] = &[
    "credentials_failed",
    "firewall_failed",
    "firewall_reported_success",
    "mfa_failed",
    "modern_version_failed",
    "sso_failed",
    "success",
];

/// The documented types; `u2f_timout` is how the OpenAPI file spells it.
pub const TYPES: &[&str] = &[
    "all_blocked",
    "anonymous_blocked",
    "code_bad",
    "code_disabled",
    "code_timeout",
    "continent_blocked",
    "country_blocked",
    "credentials_ok",
    "duo_bad",
    "duo_disabled",
    "duo_native_bad",
    "duo_timeout",
    "federated",
    "ip_blocked",
    "mfa_missing",
    "mfa_ok",
    "modern_version_missing",
    "modern_version_old",
    "non_sso_user",
    "password_secret_bad",
    "platform_secret_bad",
    "platform_secret_disabled",
    "platform_secret_proxy",
    "service_account_sso_denied",
    "sso_user_mismatch",
    "totp_bad",
    "totp_disabled",
    "totp_timeout",
    "u2f_bad",
    "u2f_disabled",
    "u2f_timeout",
    "u2f_timout",
];

impl<'a> Event<'a> for SignInAttempt<'a> {
    fn uuid(&self) -> Option<Text<'a>> {
        self.uuid
    }

    fn timestamp(&self) -> Option<Text<'a>> {
        self.timestamp
    }

    fn map(&self, origin: &Origin<'a>, told: &mut Told<'a>, records: &mut Records) {
        count_unknown(records, CATEGORIES, self.category);
        count_unknown(records, TYPES, self.kind);
        let target = self.target_user.as_ref();
        let target_uuid = target.and_then(|user| filled(user.uuid));
        let category = filled(self.category);
        let called = target.and_then(User::called).or(target_uuid);

        let mut entity = event(
            records,
            EntityType::SignInAttemptEvent,
            origin,
            [("", category), (" ", filled(self.kind)), ("", None)],
            [("", called), (": ", category), ("", None)],
        );
        entity.text("mspAccountUUID", filled(self.account_uuid));
        entity.text("category", category);
        entity.text("type", filled(self.kind));
        entity.text("details", self.details.as_ref().and_then(|details| filled(details.value)));
        entity.text("sessionUUID", filled(self.session_uuid));
        entity.text("targetUserUUID", target_uuid);
        client(&mut entity, self.client.as_ref());
        let located = country(self.location.as_ref());
        let seen = filled(self.country).or(located);
        entity.text("country", seen);
        entity.text("locationCountry", located.filter(|located| Some(*located) != seen));
        location(&mut entity, self.location.as_ref());
        close_event(entity, origin);

        match (target, target_uuid) {
            (Some(target), Some(uuid)) => {
                user(records, told, EntityType::SignInTargetUser, uuid, Profile::of(target), origin);
                let link = RelationshipType::TargetUserPerformedSignIn;
                records.relationship(link, uuid, origin.uuid, time(origin));
            }
            (Some(_), None) => records.counts.users_without_uuid += 1,
            (None, _) => (),
        }
    }
}

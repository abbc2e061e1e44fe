//! What was changed in the account, and by whom: `POST /api/v2/auditevents`.

use super::{
    Event, Origin,
    parts::{Location, Session, User, filled},
    told::{Profile, Told},
    wire::wire,
    write::{close_event, count_unknown, country, event, location, time, user, vault_stub},
};
use crate::graph::{EntityType, Records, RelationshipType, Text, Textual};

wire! {
    /// `AuditEvent` (1Password's OpenAPI file and v2 reference).
    pub struct AuditEvent<'a> {
        /// The event's id.
        pub uuid: Option<Text<'a>>,
        /// When.
        pub timestamp: Option<Text<'a>>,
        /// Who.
        pub actor_uuid: Option<Text<'a>>,
        /// Who, with name and e-mail.
        pub actor_details: Option<User<'a>>,
        /// `user` or `external_user`.
        pub actor_type: Option<Text<'a>>,
        /// The actor's account.
        pub actor_account_uuid: Option<Text<'a>>,
        /// The account.
        pub account_uuid: Option<Text<'a>>,
        /// What was done; see [`ACTIONS`]. Missing in the official v2 example.
        pub action: Option<Text<'a>>,
        /// To what kind of thing; see [`OBJECT_TYPES`].
        pub object_type: Option<Text<'a>>,
        /// To which; the vault for `uva` and `gva`, the group for `gm`.
        pub object_uuid: Option<Text<'a>>,
        /// The object, where it is a user.
        pub object_details: Option<User<'a>>,
        /// An integer where every other id is a string; more than 32 bits.
        pub aux_id: Option<i64>,
        /// The second thing concerned, such as the user who joins a group.
        pub aux_uuid: Option<Text<'a>>,
        /// The second thing, where it is a user.
        pub aux_details: Option<User<'a>>,
        /// Codes of the action's own, such as `A` for a group's manager.
        pub aux_info: Option<Text<'a>>,
        /// The actor's session.
        pub session: Option<Session<'a>>,
        /// From where.
        pub location: Option<Location<'a>>,
    }
}

/// The documented actions; `unknown` is one of them.
#[rustfmt::skip]
pub const ACTIONS: &[&str] = &[
    "activate", "addgsso", "begin", "beginr", "cancel", "cancelr", "changeks", "changela", "changemp",
    "changenm", "changesk", "chngasso", "chngdsso", "chngpsso", "complete", "completr", "convert", "create",
    "dealldev", "delete", "delgsso", "delshare", "deolddev", "detchild", "disblduo", "disblmfa", "disblsso",
    "dlgsess", "dvrfydmn", "enblduo", "enblmfa", "enblsso", "expire", "export", "grant", "hide", "join",
    "launchi", "leave", "musercom", "muserdec", "patch", "propose", "provsn", "prsndall", "purge",
    "rdmchild", "reactive", "reauth", "replace", "resendts", "revoke", "role", "sdvcsso", "sendpkg",
    "sendts", "share", "ssotknv", "suspend", "tdvcsso", "trename", "trevoke", "trvlaway", "trvlback",
    "tverify", "uisas", "unhide", "unknown", "unlink", "updatduo", "update", "updatea", "updatfw",
    "updatmfa", "upguest", "uvrfydmn", "verify", "view", "vrfydmn",
];

/// The documented object types.
#[rustfmt::skip]
pub const OBJECT_TYPES: &[&str] = &[
    "account", "card", "cred", "device", "dlgdsess", "ec", "famchild", "file", "gm", "group", "gva",
    "invite", "item", "itemhist", "items", "miguser", "mngdacc", "pm", "report", "sa", "satoken",
    "slackapp", "sso", "ssotkn", "sub", "template", "user", "uva", "vault", "vaultkey",
];

/// The object types whose `object_uuid` is a vault: the vault itself, and a
/// user's or a group's access to it.
const VAULT_OBJECTS: &[&str] = &["vault", "uva", "gva"];

impl<'a> Event<'a> for AuditEvent<'a> {
    fn uuid(&self) -> Option<Text<'a>> {
        self.uuid
    }

    fn timestamp(&self) -> Option<Text<'a>> {
        self.timestamp
    }

    fn map(&self, origin: &Origin<'a>, told: &mut Told<'a>, records: &mut Records) {
        count_unknown(records, ACTIONS, self.action);
        count_unknown(records, OBJECT_TYPES, self.object_type);
        self.map_event(origin, records);
        let actor = self.map_actor(origin, told, records);
        if let Some((uuid, details)) = concerned(&self.aux_details, self.aux_uuid, records) {
            user(records, told, EntityType::AuxDetails, uuid, details, origin);
            records.relationship(RelationshipType::EventUpdatedAux, origin.uuid, uuid, time(origin));
        }
        if let Some((uuid, details)) = concerned(&self.object_details, self.object_uuid, records) {
            user(records, told, EntityType::ObjectDetails, uuid, details, origin);
            records.relationship(RelationshipType::EventUpdatedObject, origin.uuid, uuid, time(origin));
        }
        if let (Some(actor), Some(vault)) = (actor, self.vault()) {
            vault_stub(records, told, vault, origin);
            records.relationship(RelationshipType::ActorPerformedVault, actor, vault, time(origin));
        }
    }
}

impl<'a> AuditEvent<'a> {
    fn map_event(&self, origin: &Origin<'_>, records: &mut Records) {
        let (action, object_type) = (filled(self.action), filled(self.object_type));
        let called = self.actor_details.as_ref().and_then(User::called).or(self.actor());
        let mut entity = event(
            records,
            EntityType::AuditEvent,
            origin,
            [("", action), (" ", object_type), ("", None)],
            [("", called), (": ", action), (" ", object_type)],
        );
        entity.text("accountUUID", filled(self.account_uuid));
        entity.text("action", action);
        entity.text("actorUUID", filled(self.actor_uuid));
        entity.text("actorType", filled(self.actor_type));
        entity.text("actorAccountUUID", filled(self.actor_account_uuid));
        entity.text("objectType", object_type);
        entity.text("objectUUID", filled(self.object_uuid));
        entity.integer_as_text("auxId", self.aux_id);
        entity.text("auxInfo", filled(self.aux_info));
        entity.text("auxUUID", filled(self.aux_uuid));
        if let Some(session) = &self.session {
            entity.text("sessionUUID", filled(session.uuid));
            entity.text("sessionDeviceUUID", filled(session.device_uuid));
            entity.text("sessionIP", filled(session.ip));
            entity.text("sessionLoginOn", filled(session.login_time));
        }
        entity.text("country", country(self.location.as_ref()));
        location(&mut entity, self.location.as_ref());
        close_event(entity, origin);
    }

    /// Maps the actor; answers its uuid.
    fn map_actor(&self, origin: &Origin<'a>, told: &mut Told<'a>, records: &mut Records) -> Option<Text<'a>> {
        let details = self.actor_details.as_ref();
        let Some(uuid) = self.actor() else {
            records.counts.users_without_uuid += u64::from(details.is_some());
            return None;
        };
        let account = details.and_then(|details| filled(details.user_account_uuid));
        let kind = details.and_then(|details| filled(details.user_type));
        let profile = Profile {
            account: account.or(filled(self.actor_account_uuid)),
            kind: kind.or(filled(self.actor_type)),
            ..details.map(Profile::of).unwrap_or_default()
        };
        user(records, told, EntityType::ActorDetails, uuid, profile, origin);
        records.relationship(RelationshipType::ActorPerformedEvent, uuid, origin.uuid, time(origin));
        Some(uuid)
    }

    /// The uuid of who did it.
    fn actor(&self) -> Option<Text<'a>> {
        let details = self.actor_details.as_ref();
        filled(self.actor_uuid).or(details.and_then(|details| filled(details.uuid)))
    }

    /// The vault that was changed, if it was one.
    fn vault(&self) -> Option<Text<'a>> {
        let object_type = filled(self.object_type)?;
        filled(self.object_uuid).filter(|_| VAULT_OBJECTS.contains(&&*object_type.says()))
    }
}

/// A user the event is about: there has to be a user object, and a uuid in it or beside it.
fn concerned<'a>(
    details: &Option<User<'a>>,
    beside: Option<Text<'a>>,
    records: &mut Records,
) -> Option<(Text<'a>, Profile<'a>)> {
    let details = details.as_ref()?;
    let uuid = filled(details.uuid).or(filled(beside));
    records.counts.users_without_uuid += u64::from(uuid.is_none());
    Some((uuid?, Profile::of(details)))
}

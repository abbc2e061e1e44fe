//! The ten entity types and eight relationship types, with everything that is fixed about them.
//!
//! `_type`, `_class`, property names and verbs follow JupiterOne's data model
//! for 1Password.

/// Who a record belongs to. Decides where it goes and what happens when it comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// One event's own: its key contains the event's uuid, it is written once and never changes.
    Event,
    /// Named by many events: the newest version counts.
    Shared,
}

/// What a property holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// An array of strings.
    Texts,
    /// A finite number.
    Number,
    /// True or false.
    Boolean,
    /// Milliseconds since the Unix epoch, UTC.
    Time,
}

/// One property an entity of a type may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Property {
    /// Its camelCase name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
}

use Kind::{Boolean, Number, Text, Texts, Time};

macro_rules! properties {
    ($($name:literal $kind:expr),* $(,)?) => { &[$(Property { name: $name, kind: $kind }),*] };
}

const USER: &[Property] = properties![
    "id" Text, "name" Text, "displayName" Text, "email" Texts, "username" Texts, "shortLoginId" Texts,
    "firstName" Text, "lastName" Text,
];

const ACTOR: &[Property] = properties![
    "id" Text, "name" Text, "displayName" Text, "email" Texts, "username" Texts, "shortLoginId" Texts,
    "firstName" Text, "lastName" Text, "mspUserAccountId" Text, "mspUserType" Text,
];

macro_rules! entity_types {
    ($(#[doc = $doc:literal] $variant:ident $name:literal $class:literal $sharing:ident $properties:expr;)*) => {
        /// The kinds of entity.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum EntityType { $(#[doc = $doc] $variant,)* }

        impl EntityType {
            /// Every entity type.
            pub const ALL: &[EntityType] = &[$(EntityType::$variant),*];

            /// The `_type`, which also starts every `_key`.
            pub const fn name(self) -> &'static str {
                match self { $(EntityType::$variant => $name),* }
            }

            /// The one `_class`.
            pub const fn class(self) -> &'static str {
                match self { $(EntityType::$variant => $class),* }
            }

            /// What is written of one before its id, behind the comma that is before each record.
            pub(super) const fn before_id(self) -> &'static str {
                match self { $(EntityType::$variant => concat!(",{\"_key\":\"", $name, ":")),* }
            }

            /// What is written of one behind its id in the key, up to the property `id`.
            pub(super) const fn behind_id(self) -> &'static str {
                match self {
                    $(EntityType::$variant => concat!("\",\"_type\":\"", $name, "\",\"_class\":[\"", $class, "\"],\"id\":")),*
                }
            }

            /// What one of them is, as a sentence.
            pub const fn about(self) -> &'static str {
                match self { $(EntityType::$variant => $doc.trim_ascii_start()),* }
            }

            /// Whether many events may name the same entity.
            pub const fn sharing(self) -> Sharing {
                match self { $(EntityType::$variant => Sharing::$sharing),* }
            }

            /// Every property an entity of this type may have, `_`-properties and tags aside.
            pub const fn properties(self) -> &'static [Property] {
                match self { $(EntityType::$variant => $properties),* }
            }
        }
    };
}

entity_types! {
    /// One audit event.
    AuditEvent "one_password_audit_event" "Record" Event properties![
        "id" Text, "name" Text, "displayName" Text, "createdOn" Time, "accountUUID" Text, "action" Text,
        "actorUUID" Text, "actorType" Text, "actorAccountUUID" Text, "objectType" Text, "objectUUID" Text,
        "auxId" Text, "auxInfo" Text, "auxUUID" Text, "sessionUUID" Text, "sessionDeviceUUID" Text,
        "sessionIP" Text, "sessionLoginOn" Text, "country" Text, "region" Text, "city" Text,
        "latitude" Number, "longitude" Number,
    ];
    /// Who did what an audit event tells of.
    ActorDetails "one_password_audit_event_actor_details" "User" Shared ACTOR;
    /// The second user an audit event is about.
    AuxDetails "one_password_audit_event_aux_details" "User" Shared USER;
    /// The user an audit event was done to.
    ObjectDetails "one_password_audit_event_object_details" "User" Shared USER;
    /// One use of an item.
    ItemUsageEvent "one_password_item_usage_event" "Record" Event properties![
        "id" Text, "name" Text, "displayName" Text, "createdOn" Time, "mspAccountUUID" Text, "action" Text,
        "userUUID" Text, "itemUUID" Text, "vaultUUID" Text, "usedVersion" Number, "appName" Text,
        "appVersion" Text, "platformName" Text, "platformVersion" Text, "osName" Text, "osVersion" Text,
        "ipAddress" Text, "country" Text, "region" Text, "city" Text, "latitude" Number, "longitude" Number,
    ];
    /// Who used an item.
    ItemUsageUser "one_password_item_usage_user" "User" Shared USER;
    /// One attempt to sign in.
    SignInAttemptEvent "one_password_signin_attempt_event" "Record" Event properties![
        "id" Text, "name" Text, "displayName" Text, "createdOn" Time, "mspAccountUUID" Text,
        "category" Text, "type" Text, "details" Text, "sessionUUID" Text, "targetUserUUID" Text,
        "appName" Text, "appVersion" Text, "platformName" Text, "platformVersion" Text, "osName" Text,
        "osVersion" Text, "ipAddress" Text, "country" Text, "locationCountry" Text, "region" Text,
        "city" Text, "latitude" Number, "longitude" Number,
    ];
    /// Who tried to sign in; also the user of an item usage, seen as one who signs in.
    SignInTargetUser "one_password_signin_attempt_target_user" "User" Shared USER;
    /// A vault, as Connect lists it or as a stub named by an audit event.
    Vault "one_password_vault" "Vault" Shared properties![
        "id" Text, "name" Text, "displayName" Text, "description" Text, "type" Text,
        "attributeVersion" Number, "contentVersion" Number, "itemsCount" Number, "createdOn" Time,
        "updatedOn" Time,
    ];
    /// An active item, as Connect lists it. Never a secret value.
    Secret "one_password_secret" "Secret" Shared properties![
        "id" Text, "name" Text, "displayName" Text, "favorite" Boolean, "version" Number,
        "lastEditedBy" Text, "vaultId" Text, "vaultName" Text, "category" Text, "tags" Texts,
        "sectionLabels" Texts, "fileNames" Texts, "createdOn" Time, "updatedOn" Time,
    ];
}

macro_rules! relationship_types {
    ($(#[doc = $doc:literal] $variant:ident $name:literal: $from:ident $verb:literal $action:literal $to:ident, $sharing:ident;)*) => {
        /// The kinds of relationship.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum RelationshipType { $(#[doc = $doc] $variant,)* }

        impl RelationshipType {
            /// Every relationship type.
            pub const ALL: &[RelationshipType] = &[$(RelationshipType::$variant),*];

            /// The `_type`.
            pub const fn name(self) -> &'static str {
                match self { $(RelationshipType::$variant => $name),* }
            }

            /// The `_class`: a verb in upper case.
            pub const fn verb(self) -> &'static str {
                match self { $(RelationshipType::$variant => $verb),* }
            }

            /// The verb as it stands in a `_key`: in lower case.
            pub const fn action(self) -> &'static str {
                match self { $(RelationshipType::$variant => $action),* }
            }

            /// What is written of one between its key and that of its start.
            pub(super) const fn behind_key(self) -> &'static str {
                match self {
                    $(RelationshipType::$variant => concat!("\",\"_type\":\"", $name, "\",\"_class\":\"", $verb, "\",\"_fromEntityKey\":\"")),*
                }
            }

            /// What is written of one behind the key of its end.
            pub(super) const fn behind_end(self) -> &'static str {
                match self { $(RelationshipType::$variant => concat!("\",\"displayName\":\"", $verb, "\"}")),* }
            }

            /// What it starts at.
            pub const fn from(self) -> EntityType {
                match self { $(RelationshipType::$variant => EntityType::$from),* }
            }

            /// What it ends at.
            pub const fn to(self) -> EntityType {
                match self { $(RelationshipType::$variant => EntityType::$to),* }
            }

            /// What one of them says, as a sentence.
            pub const fn about(self) -> &'static str {
                match self { $(RelationshipType::$variant => $doc.trim_ascii_start()),* }
            }

            /// Whether many events may name the same relationship.
            pub const fn sharing(self) -> Sharing {
                match self { $(RelationshipType::$variant => Sharing::$sharing),* }
            }
        }
    };
}

relationship_types! {
    /// An audit event and its second user.
    EventUpdatedAux "one_password_audit_event_updated_aux_details":
        AuditEvent "UPDATED" "updated" AuxDetails, Event;
    /// An audit event and the user it was done to.
    EventUpdatedObject "one_password_audit_event_updated_object_details":
        AuditEvent "UPDATED" "updated" ObjectDetails, Event;
    /// Who did what an audit event tells of.
    ActorPerformedEvent "one_password_audit_event_actor_details_performed_event":
        ActorDetails "PERFORMED" "performed" AuditEvent, Event;
    /// Who changed a vault or its access.
    ActorPerformedVault "one_password_audit_event_actor_details_performed_vault":
        ActorDetails "PERFORMED" "performed" Vault, Shared;
    /// Who used an item.
    UserPerformedUsage "one_password_item_usage_user_performed_event":
        ItemUsageUser "PERFORMED" "performed" ItemUsageEvent, Event;
    /// Who used an item, seen as a user who signs in.
    TargetUserPerformedUsage "one_password_signin_attempt_target_user_performed_item_usage_event":
        SignInTargetUser "PERFORMED" "performed" ItemUsageEvent, Event;
    /// What a vault holds.
    VaultHasSecret "one_password_vault_has_secret":
        Vault "HAS" "has" Secret, Shared;
    /// Who tried to sign in. JupiterOne's page has none for sign-ins; ours is a superset.
    TargetUserPerformedSignIn "one_password_signin_attempt_target_user_performed_event":
        SignInTargetUser "PERFORMED" "performed" SignInAttemptEvent, Event;
}

/// The kind of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordType {
    /// An entity of this type.
    Entity(EntityType),
    /// A relationship of this type.
    Relationship(RelationshipType),
}

impl RecordType {
    /// Every type of record, entities first.
    pub fn all() -> impl Iterator<Item = RecordType> {
        let entities = EntityType::ALL.iter().copied().map(RecordType::Entity);
        entities.chain(RelationshipType::ALL.iter().copied().map(RecordType::Relationship))
    }

    /// The `_type`.
    pub const fn name(self) -> &'static str {
        match self {
            RecordType::Entity(of) => of.name(),
            RecordType::Relationship(of) => of.name(),
        }
    }

    /// Whether many events may name the same record.
    pub const fn sharing(self) -> Sharing {
        match self {
            RecordType::Entity(of) => of.sharing(),
            RecordType::Relationship(of) => of.sharing(),
        }
    }

    /// Reads a `_key`: the type of its record and, for a relationship, the keys
    /// of both ends. `None` if it is no key of ours.
    pub fn of_key(key: &str) -> Option<(RecordType, Option<(&str, &str)>)> {
        let is_of =
            |of: EntityType, key: &str| key.strip_prefix(of.name()).is_some_and(|rest| rest.starts_with(':'));
        let relationship = RelationshipType::ALL.iter().find_map(|of| {
            let middle = format!("|{}|{}:", of.action(), of.to().name());
            let at = key.find(&middle).filter(|_| is_of(of.from(), key))?;
            let to = at + of.verb().len() + 2;
            Some((RecordType::Relationship(*of), Some((&key[..at], &key[to..]))))
        });
        let entity = || EntityType::ALL.iter().find(|of| is_of(**of, key));
        relationship.or_else(|| Some((RecordType::Entity(*entity()?), None)))
    }

    /// Whether this is a relationship.
    pub const fn is_relationship(self) -> bool {
        matches!(self, RecordType::Relationship(_))
    }
}

#[cfg(test)]
mod tests {
    use opgraph_state::{UnixMs, Version};

    use super::*;
    use crate::graph::Records;

    #[test]
    fn a_key_holds_the_verb_in_lower_case() {
        for of in RelationshipType::ALL {
            assert_eq!(of.action(), of.verb().to_ascii_lowercase());
        }
    }

    #[test]
    fn every_key_tells_its_type_and_its_ends() {
        let mut records = Records::default();
        let version = Version { rank: 0, at: UnixMs(0) };
        for id in ["A7", "a:b", "x|y", "|has|"] {
            EntityType::ALL.iter().for_each(|of| records.entity(*of, id, version).close());
            RelationshipType::ALL.iter().for_each(|of| records.relationship(*of, id, "TO", UnixMs(0)));
        }
        for record in records.iter() {
            assert_eq!(RecordType::of_key(record.key), Some((record.of, record.ends)), "{}", record.key);
        }
        for none in ["", "one_password_vault", "one_password_vaults:1", "A7|has|one_password_secret:1"] {
            assert_eq!(RecordType::of_key(none), None, "{none}");
        }
    }
}

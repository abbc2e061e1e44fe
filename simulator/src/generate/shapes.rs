//! The three event shapes of the Events API v2, each with every field sometimes absent, null or empty.
//!
//! Source: 1Password's OpenAPI file and docs: SignInAttempt, ItemUsage, AuditEvent, Client, Location.

use super::{
    json::{Field, Object},
    people::{Cast, Seen},
    uuid, words,
};
use crate::{Stream, mix::Dice};

/// One event without its uuid and time.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    Signin(Signin),
    Usage(Usage),
    Audit(Audit),
}

#[derive(Clone, Debug)]
pub(crate) struct Signin {
    pub(crate) category: Field<String>,
    pub(crate) type_: Field<String>,
    pub(crate) target_user: Field<Seen>,
    session_uuid: Field<String>,
    country: Field<String>,
    details: Field<Field<String>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Usage {
    pub(crate) action: Field<String>,
    pub(crate) item_uuid: Field<String>,
    pub(crate) user: Field<Seen>,
    vault_uuid: Field<String>,
    used_version: Field<i64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Audit {
    pub(crate) action: Field<String>,
    pub(crate) object_type: Field<String>,
    pub(crate) actor_uuid: Field<String>,
    pub(crate) actor_details: Field<Seen>,
    pub(crate) object_uuid: Field<String>,
    pub(crate) object_details: Field<Seen>,
    pub(crate) aux_uuid: Field<String>,
    pub(crate) aux_details: Field<Seen>,
    aux_id: Field<i64>,
    aux_info: Field<String>,
    actor_type: Field<String>,
    actor_account_uuid: Field<String>,
    session: bool,
}

/// What shapes are rolled from.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) cast: &'a Cast,
    /// The first shape of a stream: every field there.
    pub(crate) complete: bool,
    /// Whom the event is about; `None`: anybody.
    pub(crate) user: Option<usize>,
    /// No names, for events without a time: no version of a user is newer than another there.
    pub(crate) blank: bool,
}

impl Frame<'_> {
    /// Returns a field: nearly always there, else absent or null.
    fn field<T>(&self, dice: &mut Dice, value: T) -> Field<T> {
        match dice.below(100) {
            _ if self.complete => Field::Is(value),
            0..=3 => Field::Absent,
            4..=5 => Field::Null,
            _ => Field::Is(value),
        }
    }

    /// Returns a text field: as [`field`](Self::field), and now and then empty.
    fn text(&self, dice: &mut Dice, value: impl Into<String>) -> Field<String> {
        let empty = dice.below(100) < 2 && !self.complete;
        let value = if empty { String::new() } else { value.into() };
        self.field(dice, value)
    }

    /// Returns a field that is there in `percent` of all events.
    fn rare<T>(&self, dice: &mut Dice, percent: u64, value: T) -> Field<T> {
        if dice.chance(percent) || self.complete { self.field(dice, value) } else { Field::Absent }
    }

    /// Returns a user; a few are seen in many events, most in few.
    fn user(&self, dice: &mut Dice) -> usize {
        if let Some(user) = self.user {
            return user;
        }
        let (a, b) = (dice.below(1 << 20), dice.below(1 << 20));
        ((self.cast.people.len() as u128 * a as u128 * b as u128) >> 40) as usize
    }

    /// Returns a user object; a full one where it must be there.
    fn person(&self, dice: &mut Dice, user: usize) -> Field<Seen> {
        if self.complete || self.user.is_some() {
            return Field::Is(Seen::full(user));
        }
        let seen = Seen::roll(dice, user, self.blank);
        self.field(dice, seen)
    }
}

/// Rolls a shape of `stream`.
pub(crate) fn roll(stream: Stream, dice: &mut Dice, frame: &Frame<'_>) -> Shape {
    match stream {
        Stream::SigninAttempts => Shape::Signin(signin(dice, frame)),
        Stream::ItemUsages => Shape::Usage(usage(dice, frame)),
        Stream::AuditEvents => Shape::Audit(audit(dice, frame)),
    }
}

fn signin(dice: &mut Dice, frame: &Frame<'_>) -> Signin {
    let ok = dice.chance(70);
    let category = if ok { "success" } else { dice.pick(&words::SIGNIN_CATEGORIES) };
    let type_ = if ok { "credentials_ok" } else { dice.pick(&words::SIGNIN_TYPES) };
    let user = frame.user(dice);
    let value = frame.field(dice, "Europe".to_owned());
    Signin {
        category: frame.text(dice, category),
        type_: frame.text(dice, type_),
        target_user: frame.person(dice, user),
        session_uuid: {
            let session = uuid::upper(dice.next());
            frame.text(dice, session)
        },
        country: {
            let country = *dice.pick(&["AR", "France", "CA", "DE"]);
            frame.text(dice, country)
        },
        details: if ok && !frame.complete { Field::Null } else { frame.field(dice, value) },
    }
}

fn usage(dice: &mut Dice, frame: &Frame<'_>) -> Usage {
    let action = if dice.chance(60) { "fill" } else { dice.pick(&words::USAGE_ACTIONS) };
    let user = frame.user(dice);
    let number = frame.cast.items.pick(dice);
    let item = frame.cast.items.id(number);
    let vault = frame.cast.vaults[frame.cast.items.vault_of(number)].clone();
    Usage {
        action: frame.text(dice, action),
        item_uuid: frame.text(dice, item),
        user: frame.person(dice, user),
        vault_uuid: frame.text(dice, vault),
        used_version: {
            let version = dice.below(30) as i64;
            frame.field(dice, version)
        },
    }
}

fn audit(dice: &mut Dice, frame: &Frame<'_>) -> Audit {
    let usual = ["user", "user", "gm", "uva", "uva", "gva", "vault", "device"];
    let object_type = if dice.chance(75) { *dice.pick(&usual) } else { *dice.pick(&words::AUDIT_OBJECTS) };
    let action = *dice.pick(&words::AUDIT_ACTIONS);
    let names_vault = matches!(object_type, "vault" | "uva" | "gva");
    let actor = frame.user(dice);
    let (object_user, aux_user) = (frame.user(dice), frame.user(dice));
    let object_uuid = match object_type {
        "user" => frame.cast.people[object_user].uuid.clone(),
        _ if names_vault => dice.pick(&frame.cast.vaults).clone(),
        _ => uuid::lower(dice.below(300) as u64 + 90_000),
    };
    let aux_uuid = match object_type {
        "gva" => uuid::lower(dice.below(20) as u64 + 80_000),
        _ => frame.cast.people[aux_user].uuid.clone(),
    };
    // The aux of `gva` is a group, of which a user object would be a lie.
    let has_aux = match object_type {
        "gm" | "uva" => true,
        "gva" => frame.complete,
        _ => dice.chance(10) || frame.complete,
    };
    let has_object = object_type == "user" || frame.complete;
    let actor_details = frame.person(dice, actor);
    Audit {
        action: frame.text(dice, action),
        object_type: if names_vault {
            Field::Is(object_type.to_owned())
        } else {
            frame.text(dice, object_type)
        },
        // Who looked at a vault is always told: the data model says nothing of a vault that nobody touched.
        actor_uuid: if names_vault {
            Field::Is(frame.cast.people[actor].uuid.clone())
        } else {
            frame.text(dice, frame.cast.people[actor].uuid.as_str())
        },
        actor_details,
        object_uuid: frame.text(dice, object_uuid),
        object_details: if has_object { frame.person(dice, object_user) } else { Field::Absent },
        aux_uuid: frame.rare(dice, if has_aux { 95 } else { 20 }, aux_uuid),
        aux_details: if has_aux { frame.person(dice, aux_user) } else { Field::Absent },
        aux_id: {
            let id = if dice.chance(50) { 9_277_034 } else { (dice.next() >> 12) as i64 };
            frame.rare(dice, 30, id)
        },
        aux_info: {
            let info = *dice.pick(&["R", "A", "1048576", "", "from: 192.0.2.1/32"]);
            frame.rare(dice, 25, info.to_owned())
        },
        actor_type: {
            let type_ = *dice.pick(&["user", "user", "external_user", "robot"]);
            frame.text(dice, type_)
        },
        actor_account_uuid: frame.rare(dice, 50, uuid::upper(5)),
        session: dice.chance(92) || frame.complete,
    }
}

impl Shape {
    /// Adds the stream's own fields to `object`.
    pub(crate) fn write(&self, object: &mut Object, user: impl Fn(&Seen, &mut Object)) {
        match self {
            Shape::Signin(signin) => {
                object.text("session_uuid", &signin.session_uuid);
                object.text("category", &signin.category);
                object.text("type", &signin.type_);
                object.text("country", &signin.country);
                object.object("details", &signin.details, |value, object| object.text("value", value));
                object.object("target_user", &signin.target_user, user);
            }
            Shape::Usage(usage) => {
                object.number("used_version", &usage.used_version);
                object.text("vault_uuid", &usage.vault_uuid);
                object.text("item_uuid", &usage.item_uuid);
                object.text("action", &usage.action);
                object.object("user", &usage.user, user);
            }
            Shape::Audit(audit) => {
                object.text("actor_uuid", &audit.actor_uuid);
                object.object("actor_details", &audit.actor_details, &user);
                object.text("actor_type", &audit.actor_type);
                object.text("actor_account_uuid", &audit.actor_account_uuid);
                object.text("action", &audit.action);
                object.text("object_type", &audit.object_type);
                object.text("object_uuid", &audit.object_uuid);
                object.object("object_details", &audit.object_details, &user);
                object.number("aux_id", &audit.aux_id);
                object.text("aux_uuid", &audit.aux_uuid);
                object.object("aux_details", &audit.aux_details, &user);
                object.text("aux_info", &audit.aux_info);
            }
        }
    }

    /// Adds what every stream has around its own fields: client, location, session, account.
    pub(crate) fn write_circumstances(&self, dice: &mut Dice, frame: &Frame<'_>, object: &mut Object) {
        let account = frame.rare(dice, 30, uuid::upper(6));
        object.text("account_uuid", &account);
        let [app, platform, os] = *dice.pick(&words::CLIENTS);
        let version = format!("{}", 70_902_005 + dice.below(50));
        let ip = (*dice.pick(&words::ADDRESSES)).to_owned();
        let parts = [
            ("app_name", frame.text(dice, app)),
            ("app_version", frame.text(dice, version)),
            ("platform_name", frame.text(dice, platform)),
            ("platform_version", frame.text(dice, "93.0.4577.62")),
            ("os_name", frame.text(dice, os)),
            ("os_version", frame.text(dice, "10")),
            ("ip_address", frame.text(dice, ip.as_str())),
        ];
        let place = *dice.pick(&words::PLACES);
        let texts = [
            ("country", frame.text(dice, place.0)),
            ("region", frame.text(dice, place.1)),
            ("city", frame.text(dice, place.2)),
        ];
        let numbers =
            [("latitude", frame.rare(dice, 85, place.3)), ("longitude", frame.rare(dice, 85, place.4))];
        match self {
            Shape::Audit(audit) if audit.session => {
                let session = [
                    ("uuid", frame.text(dice, uuid::upper(ip.len() as u64 + 100))),
                    ("login_time", frame.text(dice, "2026-01-05T07:09:11.6931Z")),
                    ("device_uuid", frame.text(dice, uuid::lower(101))),
                    ("ip", frame.text(dice, ip.as_str())),
                ];
                let session = frame.field(dice, session);
                object.object("session", &session, write_texts);
            }
            Shape::Audit(_) => {}
            Shape::Signin(_) | Shape::Usage(_) => {
                let client = frame.field(dice, parts);
                object.object("client", &client, write_texts);
            }
        }
        let location = frame.rare(dice, 70, (texts, numbers));
        object.object("location", &location, |(texts, numbers), object| {
            write_texts(texts, object);
            for (name, value) in numbers {
                object.decimal(name, value);
            }
        });
    }
}

fn write_texts<const N: usize>(fields: &[(&'static str, Field<String>); N], object: &mut Object) {
    for (name, value) in fields {
        object.text(name, value);
    }
}

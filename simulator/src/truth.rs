//! What one event must become: the oracle's own reading of the data model's tables.

use std::sync::Arc;

use crate::{
    generate::{Cast, Field, Seen, Shape},
    kinds::{ACTOR, AUX, Kind, OBJECT, TARGET_USER, USAGE_USER},
};

/// Letters that a property keeps; longer strings are cut (data model, "Keys, names, times").
const LONGEST: usize = 4096;

/// What the events of one template must become.
#[derive(Clone, Debug)]
pub(crate) struct Truth {
    /// The event's `name`; `None`: its uuid.
    pub(crate) name: Option<Arc<str>>,
    /// The event's `displayName`: the first one, or the second one where the rule leaves a choice; none: its uuid.
    pub(crate) display: Vec<Arc<str>>,
    /// The users seen, each in one role.
    pub(crate) mentions: Vec<Mention>,
    /// The vault that the actor worked on.
    pub(crate) vault: Option<u32>,
}

/// A user seen in an event.
#[derive(Clone, Debug)]
pub(crate) struct Mention {
    /// The entity kind of the role.
    pub(crate) role: Kind,
    /// Index of the user.
    pub(crate) user: u32,
    /// `name`, else `email`, as the event tells them.
    pub(crate) label: Option<Arc<str>>,
}

/// Reads a shape as the data model tells, with users named as they were in an era.
pub(crate) fn truth(shape: &Shape, cast: &Cast, era: usize) -> Truth {
    let people = &cast.people;
    let shown = |seen: &Field<Seen>| seen.get().and_then(|seen| seen.label(people, era));
    let own = |seen: &Field<Seen>| seen.get().filter(|seen| seen.has_uuid()).map(|seen| seen.user);
    let known = |uuid: Option<&str>| uuid.and_then(|uuid| cast.user(uuid)).map(|user| user as usize);
    let caption = |seen: &Field<Seen>, user: Option<usize>| {
        shown(seen).map(|label| label.to_string()).or_else(|| user.map(|user| people[user].uuid.clone()))
    };
    let mention = |role, seen: &Field<Seen>, user: Option<usize>| {
        user.map(|user| Mention { role, user: user as u32, label: shown(seen).map(cut_shared) })
    };
    match shape {
        Shape::Signin(signin) => {
            let user = own(&signin.target_user);
            let category = signin.category.text();
            Truth {
                name: joined([category, signin.type_.text()]).map(cut),
                display: titled(caption(&signin.target_user, user), [category, None]),
                mentions: mention(TARGET_USER, &signin.target_user, user).into_iter().collect(),
                vault: None,
            }
        }
        Shape::Usage(usage) => {
            let user = own(&usage.user);
            let action = usage.action.text();
            Truth {
                name: action.map(|action| cut(action.to_owned())),
                display: titled(caption(&usage.user, user), [action, usage.item_uuid.text()]),
                mentions: [USAGE_USER, TARGET_USER]
                    .into_iter()
                    .filter_map(|role| mention(role, &usage.user, user))
                    .collect(),
                vault: None,
            }
        }
        Shape::Audit(audit) => {
            let actor = known(audit.actor_uuid.text()).or_else(|| own(&audit.actor_details));
            let aux = own(&audit.aux_details)
                .or_else(|| audit.aux_details.get().and_then(|_| known(audit.aux_uuid.text())));
            let object = own(&audit.object_details)
                .or_else(|| audit.object_details.get().and_then(|_| known(audit.object_uuid.text())));
            let (action, object_type) = (audit.action.text(), audit.object_type.text());
            let vault = match object_type {
                Some("vault" | "uva" | "gva") => audit.object_uuid.text(),
                _ => None,
            };
            Truth {
                name: joined([action, object_type]).map(cut),
                display: titled(caption(&audit.actor_details, actor), [action, object_type]),
                mentions: [
                    mention(ACTOR, &audit.actor_details, actor),
                    mention(AUX, &audit.aux_details, aux),
                    mention(OBJECT, &audit.object_details, object),
                ]
                .into_iter()
                .flatten()
                .collect(),
                vault: vault.and_then(|uuid| cast.vault(uuid)),
            }
        }
    }
}

/// Joins the parts that are there with a blank.
fn joined(parts: [Option<&str>; 2]) -> Option<String> {
    match parts {
        [None, None] => None,
        [Some(only), None] | [None, Some(only)] => Some(only.to_owned()),
        [Some(first), Some(second)] => Some(format!("{first} {second}")),
    }
}

/// Returns `<who>: <first> <second>` without the parts that are missing, each with the separator before it.
///
/// Where `first` is missing and both others are there, the rule's words leave `<who> <second>`, its sense
/// `<who>: <second>`: either is right.
fn titled(who: Option<String>, parts: [Option<&str>; 2]) -> Vec<Arc<str>> {
    let titles = match (who, joined(parts)) {
        (None, None) => vec![],
        (Some(only), None) | (None, Some(only)) => vec![only],
        (Some(who), Some(what)) if parts[0].is_none() => {
            vec![format!("{who} {what}"), format!("{who}: {what}")]
        }
        (Some(who), Some(what)) => vec![format!("{who}: {what}")],
    };
    titles.into_iter().map(cut).collect()
}

/// Cuts a string to what a property keeps.
pub(crate) fn cut(text: String) -> Arc<str> {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => text[..end].into(),
        None => text.into(),
    }
}

fn cut_shared(text: Arc<str>) -> Arc<str> {
    if text.len() <= LONGEST { text } else { cut(text.to_string()) }
}

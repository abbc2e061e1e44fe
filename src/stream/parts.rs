//! The objects that the events of all streams share.

use std::{borrow::Cow, fmt, marker::PhantomData, ops::Deref};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

/// A string that borrows from the page unless it holds an escape.
///
/// A bare `Option<Cow<str>>` always copies (serde#2016); this one does not.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// The text of an optional field; an empty one counts as absent.
pub(crate) fn filled<'e>(field: &'e Option<Text<'_>>) -> Option<&'e str> {
    field.as_deref().filter(|text| !text.is_empty())
}

/// A `T` that has to be a JSON object: what serde derives for a struct would
/// also take an array of its fields.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<T>, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(Members(PhantomData))
    }
}

/// Decodes an optional field whose value has to be an object.
pub(super) fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Ok(Option::<Object<T>>::deserialize(deserializer)?.map(|Object(value)| value))
}

/// `User` and `UserV2`. Name and e-mail are as they were when the event happened.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct User<'a> {
    /// The user's uuid; missing in sanitised data.
    #[serde(borrow)]
    pub uuid: Option<Text<'a>>,
    /// The full name.
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    /// The e-mail address.
    #[serde(borrow)]
    pub email: Option<Text<'a>>,
    /// `user` or `external_user`; MSP accounts only.
    #[serde(borrow)]
    pub user_type: Option<Text<'a>>,
    /// The account the user belongs to; MSP accounts only.
    #[serde(borrow)]
    pub user_account_uuid: Option<Text<'a>>,
}

impl User<'_> {
    /// What a person calls the user: the name, else the e-mail.
    pub fn called(&self) -> Option<&str> {
        filled(&self.name).or(filled(&self.email))
    }
}

/// The program and machine an event came from. All strings; `platform_name` may be a device's name.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Client<'a> {
    /// Such as `1Password Browser Extension`.
    #[serde(borrow)]
    pub app_name: Option<Text<'a>>,
    /// Digits, such as `70902005`.
    #[serde(borrow)]
    pub app_version: Option<Text<'a>>,
    /// Such as `Chrome`, or a device's name.
    #[serde(borrow)]
    pub platform_name: Option<Text<'a>>,
    /// The platform's version.
    #[serde(borrow)]
    pub platform_version: Option<Text<'a>>,
    /// Such as `Android`.
    #[serde(borrow)]
    pub os_name: Option<Text<'a>>,
    /// The system's version.
    #[serde(borrow)]
    pub os_version: Option<Text<'a>>,
    /// IPv4 or IPv6, public or not.
    #[serde(borrow)]
    pub ip_address: Option<Text<'a>>,
}

/// Where the client's address is thought to be. Often absent as a whole.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Location<'a> {
    /// A name or an ISO 3166 code.
    #[serde(borrow)]
    pub country: Option<Text<'a>>,
    /// The region.
    #[serde(borrow)]
    pub region: Option<Text<'a>>,
    /// The city.
    #[serde(borrow)]
    pub city: Option<Text<'a>>,
    /// Degrees; official examples swap it with the longitude.
    pub latitude: Option<f64>,
    /// Degrees.
    pub longitude: Option<f64>,
}

/// The session of the actor of an audit event.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Session<'a> {
    /// The session's uuid.
    #[serde(borrow)]
    pub uuid: Option<Text<'a>>,
    /// When the actor signed in, RFC 3339.
    #[serde(borrow)]
    pub login_time: Option<Text<'a>>,
    /// The device's uuid.
    #[serde(borrow)]
    pub device_uuid: Option<Text<'a>>,
    /// The actor's address.
    #[serde(borrow)]
    pub ip: Option<Text<'a>>,
}

/// What else is known of a sign-in attempt; an object, `null` or absent.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Details<'a> {
    /// For firewall blocks a continent, a country or an address.
    #[serde(borrow)]
    pub value: Option<Text<'a>>,
}

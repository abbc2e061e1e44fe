//! The objects that the events of all streams share.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::wire::wire;
use crate::graph::{Text, Textual};

/// The text of an optional field; an empty one counts as absent.
#[inline]
pub(crate) fn filled(field: Option<Text<'_>>) -> Option<Text<'_>> {
    field.filter(|text| !text.is_empty())
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

wire! {
    /// `User` and `UserV2`. Name and e-mail are as they were when the event happened.
    pub struct User<'a> {
        /// The user's uuid; missing in sanitised data.
        pub uuid: Option<Text<'a>>,
        /// The full name.
        pub name: Option<Text<'a>>,
        /// The e-mail address.
        pub email: Option<Text<'a>>,
        /// `user` or `external_user`; MSP accounts only.
        pub user_type: Option<Text<'a>>,
        /// The account the user belongs to; MSP accounts only.
        pub user_account_uuid: Option<Text<'a>>,
    }
}

impl<'a> User<'a> {
    /// What a person calls the user: the name, else the e-mail.
    pub fn called(&self) -> Option<Text<'a>> {
        filled(self.name).or(filled(self.email))
    }
}

wire! {
    /// The program and machine an event came from. All strings; `platform_name` may be a device's name.
    pub struct Client<'a> {
        /// Such as `1Password Browser Extension`.
        pub app_name: Option<Text<'a>>,
        /// Digits, such as `70902005`.
        pub app_version: Option<Text<'a>>,
        /// Such as `Chrome`, or a device's name.
        pub platform_name: Option<Text<'a>>,
        /// The platform's version.
        pub platform_version: Option<Text<'a>>,
        /// Such as `Android`.
        pub os_name: Option<Text<'a>>,
        /// The system's version.
        pub os_version: Option<Text<'a>>,
        /// IPv4 or IPv6, public or not.
        pub ip_address: Option<Text<'a>>,
    }
}

wire! {
    /// Where the client's address is thought to be. Often absent as a whole.
    pub struct Location<'a> {
        /// A name or an ISO 3166 code.
        pub country: Option<Text<'a>>,
        /// The region.
        pub region: Option<Text<'a>>,
        /// The city.
        pub city: Option<Text<'a>>,
        /// Degrees; official examples swap it with the longitude.
        pub latitude: Option<f64>,
        /// Degrees.
        pub longitude: Option<f64>,
    }
}

wire! {
    /// The session of the actor of an audit event.
    pub struct Session<'a> {
        /// The session's uuid.
        pub uuid: Option<Text<'a>>,
        /// When the actor signed in, RFC 3339.
        pub login_time: Option<Text<'a>>,
        /// The device's uuid.
        pub device_uuid: Option<Text<'a>>,
        /// The actor's address.
        pub ip: Option<Text<'a>>,
    }
}

wire! {
    /// What else is known of a sign-in attempt; an object, `null` or absent.
    pub struct Details<'a> {
        /// For firewall blocks a continent, a country or an address.
        pub value: Option<Text<'a>>,
    }
}

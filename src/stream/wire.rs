//! Declares the objects of the wire, once for both ways to read them.

use serde::{Deserialize, Deserializer};

use super::{
    parts::Object,
    reader::{Reader, Unusual},
};
use crate::graph::Text;

/// An object whose members are all optional.
pub(super) trait Members<'a>: Default {
    /// Reads the members and the brace behind them.
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), Unusual>;
}

/// The value of a member, or none: then it is missing, or `null`.
pub(super) trait Member<'de>: Sized {
    /// Reads it as it always is.
    fn quickly(reader: &mut Reader<'de>) -> Result<Self, Unusual>;

    /// Reads it whatever it looks like, or says what is wrong with it.
    fn thoroughly<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

impl<'de: 'a, 'a> Member<'de> for Option<Text<'a>> {
    #[inline(always)]
    fn quickly(reader: &mut Reader<'de>) -> Result<Self, Unusual> {
        match reader.quoted() {
            Some(text) => Ok(Some(Text::of_clean(text))),
            None => reader.optional(Reader::text),
        }
    }

    fn thoroughly<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer)
    }
}

impl<'de> Member<'de> for Option<i64> {
    #[inline]
    fn quickly(reader: &mut Reader<'de>) -> Result<Self, Unusual> {
        reader.optional(Reader::integer)
    }

    fn thoroughly<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer)
    }
}

impl<'de> Member<'de> for Option<f64> {
    #[inline]
    fn quickly(reader: &mut Reader<'de>) -> Result<Self, Unusual> {
        reader.optional(Reader::number)
    }

    fn thoroughly<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer)
    }
}

impl<'de, T: Members<'de> + Deserialize<'de>> Member<'de> for Option<T> {
    #[inline]
    fn quickly(reader: &mut Reader<'de>) -> Result<Self, Unusual> {
        reader.optional(Reader::object)
    }

    fn thoroughly<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<Object<T>>::deserialize(deserializer)?.map(|Object(value)| value))
    }
}

/// Declares an object: a struct of optional members. A member has the name of
/// its field, unless `as` says another.
macro_rules! wire {
    ($(
        $(#[$about:meta])*
        pub struct $object:ident<'a> {
            $($(#[$doc:meta])* pub $field:ident: Option<$of:ty> $(as $name:literal)?,)*
        }
    )*) => {$(
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
        #[serde(default, bound(deserialize = "'de: 'a"))]
        pub struct $object<'a> {
            $(
                $(#[$doc])*
                #[serde(deserialize_with = "crate::stream::wire::Member::thoroughly" $(, rename = $name)?)]
                pub $field: Option<$of>,
            )*
        }

        impl<'a> $crate::stream::wire::Members<'a> for $object<'a> {
            fn read(&mut self, reader: &mut $crate::stream::reader::Reader<'a>) -> Result<(), $crate::stream::reader::Unusual> {
                #[allow(non_camel_case_types, reason = "they are the fields")]
                enum Bit { $($field),* }
                let mut met = 0;
                let mut goes_on = reader.goes_in()?;
                while goes_on {
                    let mark = reader.mark();
                    // In the order in which they are declared: nearly always they come so.
                    $(if reader.named(concat!("\"", $crate::stream::wire::name!($field $($name)?), "\":")) {
                        reader.once(&mut met, Bit::$field as u32)?;
                        self.$field = $crate::stream::wire::Member::quickly(reader)?;
                        if !reader.goes_on()? {
                            return Ok(());
                        }
                    })*
                    if reader.mark() == mark {
                        // None of them, or it is written in another way.
                        let known = [$($crate::stream::wire::name!($field $($name)?)),*];
                        goes_on = reader.skip_member(&known)?;
                    }
                }
                Ok(())
            }
        }
    )*};
}

/// The name of a member.
macro_rules! name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $name:literal) => {
        $name
    };
}

pub(super) use {name, wire};

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;
    use crate::stream::parts::{Location, User};

    /// Whether it is read quickly; then it is what serde_json reads.
    fn check<'a, T: Members<'a> + Deserialize<'a> + Debug>(text: &'a str, quickly: bool) {
        let mut reader = Reader::new(text);
        let read = reader.object::<T>().ok();
        assert_eq!(read.is_some(), quickly, "{text}");
        if let Some(read) = read {
            let thorough: T = serde_json::from_str(text).unwrap();
            assert_eq!(format!("{read:?}"), format!("{thorough:?}"), "{text}");
            assert_eq!(reader.left(), 0, "{text}");
        }
    }

    #[test]
    fn members_are_read_in_any_order_and_what_is_unusual_is_left_to_serde_json() {
        for text in [
            "{}",
            r#"{"uuid":"A","name":"B","email":null,"user_type":"","user_account_uuid":"C"}"#,
            r#"{"user_type":"u","email":"e","uuid":"A","name":"B"}"#,
            r#"{"x":[1,{"uuid":"no"}],"uuid":"A","y":"z","name":"B","x":1}"#,
            "{ \"name\": \"B\",\n  \"uuid\": \"A\" }",
            r#"{"name":"\"\u00e9\ud83d\ude00\/"}"#,
        ] {
            check::<User<'_>>(text, true);
        }
        check::<Location<'_>>(r#"{"longitude":-0.5,"latitude":1e1,"country":"é"}"#, true);
        for text in [
            r#"{"uuid":"A","uuid":"B"}"#,
            r#"{"uuid":null,"name":"B","uuid":"B"}"#,
            r#"{"uu\u0069d":"A"}"#,
            r#"{"uuid" :"A"}"#,
            r#"{"uuid":"A",}"#,
            r#"{"uuid":"A" "name":"B"}"#,
            r#"{"uuid":1}"#,
            r#"{"uuid":"\ud800"}"#,
            r#"{"uuid":"A""#,
            r#"["A"]"#,
            "",
        ] {
            check::<User<'_>>(text, false);
        }
    }
}

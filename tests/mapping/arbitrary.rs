//! Events nobody would send: every field absent, null, empty, odd or as documented, each on its own.

use opgraph::stream::Stream;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

type Field = BoxedStrategy<Option<Value>>;

/// A text that is anything: quotes, controls, separators of keys and names, and all of Unicode.
fn odd() -> BoxedStrategy<String> {
    let special = prop::sample::select(vec![
        '"', '\\', '\0', '\n', '\u{1f}', '\u{7f}', '\u{2028}', 'é', '😀', '|', ':', ' ', '@', '.', '\u{fffd}',
    ]);
    prop::collection::vec(prop_oneof![special, any::<char>()], 1..8)
        .prop_map(|characters| characters.into_iter().collect())
        .boxed()
}

/// A field that is absent, null, or one of `values`.
fn field(values: impl Strategy<Value = Value> + 'static) -> Field {
    prop_oneof![2 => Just(None), 1 => Just(Some(Value::Null)), 5 => values.prop_map(Some)].boxed()
}

/// A text: empty, one of `usual`, odd, over-long, or (rarely) no text at all.
fn text(usual: &'static [&'static str]) -> Field {
    field(prop_oneof![
        20 => Just(json!("")),
        80 => prop::sample::select(usual).prop_map(|usual| json!(usual)),
        40 => odd().prop_map(Value::String),
        2 => Just(json!("界".repeat(4097))),
        1 => prop::sample::select(vec![json!(7), json!(false), json!([]), json!({"x": 1})]),
    ])
}

fn number(usual: impl Strategy<Value = Value> + 'static) -> Field {
    field(prop_oneof![60 => usual, 1 => Just(json!("7"))])
}

/// An object with each of these fields, or none at all.
fn object(fields: Vec<(&'static str, Field)>) -> Field {
    let (names, values): (Vec<&str>, Vec<Field>) = fields.into_iter().unzip();
    field(values.prop_map(move |values| {
        let members = names.iter().zip(values);
        let present = members.filter_map(|(name, value)| Some(((*name).to_owned(), value?)));
        Value::Object(present.collect::<Map<_, _>>())
    }))
}

const IDS: &[&str] = &["A1", "B2", "C3", "a1"];
const TIMES: &[&str] =
    &["2025-01-02T03:04:05Z", "2025-01-02T03:04:05.123456789+02:00", "1969-12-31T23:59:59.5Z", "2025-01-02"];
const PLACES: &[&str] = &["Norway", "NO", "Bergen"];

fn user() -> Field {
    object(vec![
        ("uuid", text(IDS)),
        ("name", text(&["Maja Lind", "Cher", " Ana  María de la Cruz "])),
        ("email", text(&["maja@x.example", "nobody", "a@b"])),
        ("user_type", text(&["user", "external_user", "robot"])),
        ("user_account_uuid", text(IDS)),
    ])
}

fn client() -> Field {
    let names = [
        "app_name",
        "app_version",
        "platform_name",
        "platform_version",
        "os_name",
        "os_version",
        "ip_address",
    ];
    object(names.map(|name| (name, text(&["1Password CLI", "2300201", "::1"]))).to_vec())
}

fn location() -> Field {
    let degrees = || {
        let usual = prop::sample::select(vec![0.0, 60.39, -79.433, 90.0, -90.5, 180.0, 181.0, -0.0, 1e300]);
        number(
            prop_oneof![usual, any::<f64>().prop_filter("JSON knows finite numbers", |x| x.is_finite())]
                .prop_map(Value::from),
        )
    };
    object(vec![
        ("country", text(PLACES)),
        ("region", text(PLACES)),
        ("city", text(PLACES)),
        ("latitude", degrees()),
        ("longitude", degrees()),
    ])
}

fn session() -> Field {
    object(vec![
        ("uuid", text(IDS)),
        ("login_time", text(TIMES)),
        ("device_uuid", text(IDS)),
        ("ip", text(&["192.0.2.7", "::1"])),
    ])
}

fn fields(stream: Stream) -> Vec<(&'static str, Field)> {
    let integer =
        || number(prop_oneof![Just(0), Just(-1), Just(1 << 40), any::<i64>()].prop_map(Value::from));
    let common = vec![
        ("timestamp", text(TIMES)),
        ("account_uuid", text(IDS)),
        ("location", location()),
        ("a_new_field", field(odd().prop_map(|odd| json!({odd: [1.5, null]})))),
    ];
    let own = match stream {
        Stream::AuditEvents => vec![
            ("actor_uuid", text(IDS)),
            ("actor_details", user()),
            ("actor_type", text(&["user", "external_user"])),
            ("actor_account_uuid", text(IDS)),
            ("action", text(&["join", "grant", "unheard_of"])),
            ("object_type", text(&["vault", "uva", "gva", "user", "gm"])),
            ("object_uuid", text(IDS)),
            ("object_details", user()),
            ("aux_id", integer()),
            ("aux_uuid", text(IDS)),
            ("aux_details", user()),
            ("aux_info", text(&["A", "R"])),
            ("session", session()),
        ],
        Stream::ItemUsages => vec![
            ("used_version", integer()),
            ("vault_uuid", text(IDS)),
            ("item_uuid", text(IDS)),
            ("action", text(&["fill", "reveal", "unheard_of"])),
            ("user", user()),
            ("client", client()),
        ],
        Stream::SignInAttempts => vec![
            ("session_uuid", text(IDS)),
            ("category", text(&["success", "mfa_failed", "unheard_of"])),
            ("type", text(&["mfa_ok", "u2f_timout", "unheard_of"])),
            ("country", text(PLACES)),
            ("details", object(vec![("value", text(PLACES))])),
            ("target_user", user()),
            ("client", client()),
        ],
    };
    [common, own].concat()
}

/// The text of an event of this stream, mostly with a uuid.
fn event(stream: Stream) -> BoxedStrategy<String> {
    let uuid = prop_oneof![
        6 => "[A-Z2-7]{26}".prop_map(|uuid| Some(json!(uuid))),
        3 => odd().prop_map(|odd| Some(json!(odd))),
        1 => text(IDS),
    ];
    (uuid, object(fields(stream)))
        .prop_map(|(uuid, event)| {
            let mut event = event.unwrap_or_default();
            match (uuid, event.as_object_mut()) {
                (Some(uuid), Some(members)) => _ = members.insert("uuid".to_owned(), uuid),
                (Some(uuid), None) => return json!({"uuid": uuid}).to_string(),
                (None, _) => (),
            }
            event.to_string()
        })
        .boxed()
}

/// Up to a page of events of one stream.
pub(super) fn events(most: usize) -> impl Strategy<Value = (Stream, Vec<String>)> {
    prop::sample::select(Stream::ALL).prop_flat_map(move |stream| {
        prop::collection::vec(event(stream), 0..=most).prop_map(move |events| (stream, events))
    })
}

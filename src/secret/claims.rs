//! What a token says about itself.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use opgraph_state::UnixMs;
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use serde_json::{Map, Value};
use url::Url;

use crate::http::hosts;

/// The claims of an Events API token (a JWT), as far as they are of use.
///
/// Nobody has verified them: the server does. They serve to choose among hosts
/// that are trusted anyway and to warn before the token ends; never to decide
/// what is allowed.
///
/// Source: 1Password/events-api-splunk `src/utils/jwt.go` (`aud`,
/// `1password.com/fts`); other copies of the same code (`1password.com/auuid`, `exp`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// The first `aud`: the host without a scheme. Old tokens have
    /// `com.1password.streamingservice` there.
    pub audience: Option<String>,
    /// When the token ends; `None` if it does not.
    pub expires: Option<UnixMs>,
    /// The streams that it may read.
    pub features: Option<Vec<String>>,
    /// The account's uuid.
    pub account: Option<String>,
}

impl Claims {
    /// Reads the claims. `None` if the token is no JWT, which is no error:
    /// JupiterOne's keys are none.
    pub fn read(token: &SecretString) -> Option<Claims> {
        let mut parts = token.expose_secret().split('.');
        let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let json = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?);
        let claims: Map<String, Value> = serde_json::from_slice(&json).ok()?;
        // Each on its own: one of an unknown shape is no reason to miss the others.
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let texts = |values: &Value| Some(values.as_array()?.iter().filter_map(text).collect());
        Some(Claims {
            audience: claims.get("aud").and_then(|aud| text(aud).or_else(|| text(aud.get(0)?))),
            // Seconds; a fraction is allowed (RFC 7519, NumericDate).
            expires: claims
                .get("exp")
                .and_then(Value::as_f64)
                .map(|seconds| UnixMs((seconds * 1000.0) as i64)),
            features: claims.get("1password.com/fts").and_then(texts),
            account: claims.get("1password.com/auuid").and_then(text),
        })
    }

    /// The base URL that the token is for, if it is one of 1Password's. A token
    /// cannot send itself anywhere else.
    pub fn base_url(&self) -> Option<Url> {
        let audience = self.audience.as_deref()?;
        let host = hosts::ONEPASSWORD.iter().find(|host| **host == audience)?;
        Url::parse(&format!("https://{host}")).ok()
    }
}

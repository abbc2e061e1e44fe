//! Bearer tokens of the Events API and of Connect.
//!
//! Source: 1Password's own clients read `aud` and `1password.com/fts` from a JWT signed ES256; other tokens of the
//! family carry `1password.com/auuid`, `iss`, `sub`, `jti`, `iat` and optionally `exp`.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::mix::mix;

/// What a token of the Events API says, under the names of the wire.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    #[serde(rename = "1password.com/auuid")]
    pub(crate) account_uuid: String,
    #[serde(rename = "1password.com/fts")]
    pub(crate) features: Vec<String>,
    pub(crate) aud: Vec<String>,
    pub(crate) sub: String,
    pub(crate) iss: String,
    pub(crate) jti: String,
    /// Seconds since the epoch.
    pub(crate) iat: i64,
    /// Seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) exp: Option<i64>,
}

impl Claims {
    /// Returns the token, signed in a way that only this secret checks.
    pub(crate) fn sign(&self, secret: u64) -> String {
        sign(self, secret)
    }

    /// Returns what a token says, if it was signed here and is not out of date `now`, seconds since the epoch.
    pub(crate) fn verify(token: &str, secret: u64, now: i64) -> Option<Claims> {
        let claims: Claims = verify(token, secret)?;
        claims.exp.is_none_or(|exp| now < exp).then_some(claims)
    }
}

/// Tells Connect's signatures from the Events API's.
const CONNECT: u64 = 0x636f_6e6e;

/// What a token of Connect says, under the names of the wire. It does not run out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ConnectClaims {
    #[serde(rename = "1password.com/auuid")]
    pub(crate) account_uuid: String,
    #[serde(rename = "1password.com/fts")]
    pub(crate) features: Vec<String>,
    #[serde(rename = "1password.com/vts")]
    pub(crate) vaults: Vec<VaultScope>,
    pub(crate) aud: Vec<String>,
    pub(crate) sub: String,
    pub(crate) iss: String,
    pub(crate) jti: String,
    /// Seconds since the epoch.
    pub(crate) iat: i64,
}

/// Stands for every vault there is or will be. Only here: a token of 1Password's names its vaults.
pub(crate) const EVERY_VAULT: &str = "*";

/// One vault that a token of Connect may read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct VaultScope {
    /// The vault's id.
    #[serde(rename = "u")]
    pub(crate) vault: String,
    /// What may be done; not read here, where everything is reading.
    #[serde(rename = "a")]
    pub(crate) access: u32,
}

impl ConnectClaims {
    /// Returns the token, signed in a way that only this seed checks.
    pub(crate) fn sign(&self, seed: u64) -> String {
        sign(self, seed ^ CONNECT)
    }

    /// Returns what a token says, if it was signed here.
    pub(crate) fn verify(token: &str, seed: u64) -> Option<ConnectClaims> {
        verify(token, seed ^ CONNECT)
    }

    /// Whether the token may read a vault.
    pub(crate) fn covers(&self, vault: &str) -> bool {
        self.vaults.iter().any(|scope| scope.vault == vault || scope.vault == EVERY_VAULT)
    }
}

fn sign(claims: &impl Serialize, seed: u64) -> String {
    let head = BASE64.encode(br#"{"alg":"ES256","kid":"opgraph-simulator","typ":"JWT"}"#);
    let body = BASE64.encode(serde_json::to_vec(claims).unwrap_or_default());
    let signed = format!("{head}.{body}");
    let signature = BASE64.encode(signature(seed, &signed));
    format!("{signed}.{signature}")
}

fn verify<T: DeserializeOwned>(token: &str, seed: u64) -> Option<T> {
    let (signed, sent) = token.rsplit_once('.')?;
    if BASE64.decode(sent).ok()? != signature(seed, signed) {
        return None;
    }
    let body = BASE64.decode(signed.split_once('.')?.1).ok()?;
    serde_json::from_slice(&body).ok()
}

/// Returns 64 bytes, as long as an ES256 signature.
fn signature(seed: u64, text: &str) -> Vec<u8> {
    let mut state = text.bytes().fold(mix(seed ^ 0x006a_7774), |state, byte| mix(state ^ u64::from(byte)));
    (0..8)
        .flat_map(|_| {
            state = mix(state);
            state.to_le_bytes()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_believed_only_whole_and_in_time() {
        let claims = Claims {
            account_uuid: "A".into(),
            features: vec!["itemusages".into()],
            aud: vec!["127.0.0.1:1".into()],
            sub: String::new(),
            iss: String::new(),
            jti: String::new(),
            iat: 100,
            exp: Some(200),
        };
        let token = claims.sign(1);
        assert_eq!(token.split('.').count(), 3);
        assert!(Claims::verify(&token, 1, 199).is_some());
        assert!(Claims::verify(&token, 1, 200).is_none(), "out of date");
        assert!(Claims::verify(&token, 2, 150).is_none(), "another account's");
        assert!(Claims::verify(&token[..token.len() - 3], 1, 150).is_none(), "cut off");
        assert!(Claims::verify("secret", 1, 150).is_none());
    }
}

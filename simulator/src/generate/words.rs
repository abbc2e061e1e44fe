//! The values that fields take.
//!
//! Sources: the enumerations of 1Password's OpenAPI file 1.2.0 and of its docs, joined; each list ends with
//! a value that no source has, since enumerations grow.

use std::sync::LazyLock;

pub(crate) const SIGNIN_CATEGORIES: [&str; 8] = [
    "success",
    "credentials_failed",
    "mfa_failed",
    "sso_failed",
    "modern_version_failed",
    "firewall_failed",
    "firewall_reported_success",
    "passkey_failed",
];

pub(crate) const SIGNIN_TYPES: [&str; 33] = [
    "all_blocked",
    "anonymous_blocked",
    "code_bad",
    "code_disabled",
    "code_timeout",
    "continent_blocked",
    "country_blocked",
    "credentials_ok",
    "duo_bad",
    "duo_disabled",
    "duo_native_bad",
    "duo_timeout",
    "federated",
    "ip_blocked",
    "mfa_missing",
    "mfa_ok",
    "modern_version_missing",
    "modern_version_old",
    "non_sso_user",
    "password_secret_bad",
    "platform_secret_bad",
    "platform_secret_disabled",
    "platform_secret_proxy",
    "service_account_sso_denied",
    "sso_user_mismatch",
    "totp_bad",
    "totp_disabled",
    "totp_timeout",
    "u2f_bad",
    "u2f_disabled",
    "u2f_timeout",
    "u2f_timout",
    "passkey_bad",
];

pub(crate) const USAGE_ACTIONS: [&str; 12] = [
    "fill",
    "reveal",
    "secure-copy",
    "enter-item-edit-mode",
    "export",
    "other",
    "select-sso-provider",
    "server-create",
    "server-fetch",
    "server-update",
    "share",
    "autotype",
];

pub(crate) static AUDIT_ACTIONS: LazyLock<Vec<&str>> = LazyLock::new(|| ACTIONS.split(' ').collect());
pub(crate) static AUDIT_OBJECTS: LazyLock<Vec<&str>> = LazyLock::new(|| OBJECTS.split(' ').collect());

const ACTIONS: &str = "activate addgsso begin beginr cancel cancelr changeks changela \
    changemp changenm changesk chngasso chngdsso chngpsso complete completr convert create dealldev delete delgsso \
    delshare deolddev detchild disblduo disblmfa disblsso dlgsess dvrfydmn enblduo enblmfa enblsso expire export grant \
    hide join launchi leave musercom muserdec patch propose provsn prsndall purge rdmchild reactive reauth replace \
    resendts revoke role sdvcsso sendpkg sendts share ssotknv suspend tdvcsso trename trevoke trvlaway trvlback tverify \
    uisas unhide unknown unlink updatduo update updatea updatfw updatmfa upguest uvrfydmn verify view vrfydmn teleport";

const OBJECTS: &str = "account card cred device dlgdsess ec famchild file gm group gva invite item \
    itemhist items miguser mngdacc pm report sa satoken slackapp sso ssotkn sub template user uva vault vaultkey orchard";

pub(crate) const FIRST_NAMES: [&str; 16] = [
    "Ada",
    "Zoë",
    "Jack",
    "太郎",
    "Øystein",
    "Анна",
    "محمد",
    "Thị Minh",
    "José María",
    "Ingrid",
    "Chloé",
    "Łukasz",
    "Siân",
    "Noor",
    "Ελένη",
    "지우",
];

pub(crate) const LAST_NAMES: [&str; 16] = [
    "Lovelace",
    "O'Neill",
    "Müller",
    "山田",
    "Ångström",
    "Каренина",
    "علي",
    "Nguyễn",
    "de la Cruz",
    "Smith-Jones",
    "Żółć",
    "\"Bob\" Tables",
    "Back\\slash",
    "👩‍🚀 Astro",
    "Παπαδοπούλου",
    "김",
];

/// `app_name`, `platform_name`, `os_name`.
pub(crate) const CLIENTS: [[&str; 3]; 6] = [
    ["1Password Browser Extension", "Chrome", "Windows"],
    ["1Password for Mac", "Noor's MacBook Pro", "MacOSX"],
    ["1Password for Android", "Pixel 9 / work", "Android"],
    ["1Password CLI", "build-agent-07", "Linux"],
    ["1Password SCIM Bridge", "", ""],
    ["1Password for iOS", "iPhone", "iOS"],
];

/// `country`, `region`, `city`, latitude, longitude. The last two have their coordinates swapped or out
/// of range, as two official examples have.
pub(crate) const PLACES: [(&str, &str, &str, f64, f64); 7] = [
    ("Canada", "Ontario", "Toronto", 43.64, -79.433),
    ("DE", "Bayern", "München", 48.137, 11.575),
    ("Japan", "東京都", "東京", 35.68, 139.69),
    ("Brazil", "São Paulo", "São Paulo", -23.55, -46.63),
    ("US", "California", "Santa Clara", 37.354, -121.955),
    ("Canada", "Ontario", "Toronto", -79.433, 43.64),
    ("NZ", "Otago", "Dunedin", 170.5, -245.9),
];

/// Addresses of documentation and private ranges.
pub(crate) const ADDRESSES: [&str; 5] =
    ["192.0.2.17", "198.51.100.200", "203.0.113.5", "2001:db8::17:5", "172.19.0.1"];

//! `[admin]`: where a running opgraph shows itself, and to whom.

use std::net::SocketAddr;

use super::Check;
use crate::config::{
    ADMIN_TOKEN, Admin,
    tables::{AdminTable, Given},
};

impl Check<'_, '_> {
    pub(super) fn admin(&mut self, given: &Given<AdminTable>) -> Option<Admin> {
        let table = &given.value;
        let token = table.token.as_ref().map(|token| self.token(token, "admin.token", ADMIN_TOKEN));
        let hint = "say where to listen, as in `listen = \"127.0.0.1:9184\"`";
        let listen = self.required(table.listen.as_ref(), given, "admin", "listen", hint)?;
        let Ok(address) = listen.value.parse::<SocketAddr>() else {
            let what = format!("`{}` is no address with a port", listen.value.escape_debug());
            return self.refuse(&listen.at, "admin.listen", what, "write it like `127.0.0.1:9184`");
        };
        if let (Some((what, hint)), false) =
            (refusal(address, token.is_some()), self.problems.struck_in("admin"))
        {
            return self.refuse(&listen.at, "admin.listen", what, hint);
        }
        Some(Admin { listen: address, token: token.map_or(Some(None), |token| token.map(Some))? })
    }
}

/// What is wrong with an address that others reach, if nothing keeps them out; and what to write.
pub(in crate::config) fn refusal(listen: SocketAddr, token: bool) -> Option<(String, &'static str)> {
    if token || listen.ip().is_loopback() {
        return None;
    }
    let what = format!("other machines reach `{listen}`: it needs a token");
    let hint = "add `token = { env = \"OPGRAPH_ADMIN_TOKEN\" }` to `[admin]`, or listen on 127.0.0.1";
    Some((what, hint))
}

//! Which call a request is.

use hyper::Method;

use crate::{Endpoint, Stream};

/// A call of one of the three APIs, or of the simulator itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `GET /api/v2/auth/introspect`
    Introspect,
    /// `POST /api/v2/{stream}`
    Page(Stream),
    /// A call of JupiterOne, with the job's id where the path has one.
    Job(Endpoint, String),
    /// A call of Connect, whatever its method.
    Connect(ConnectCall),
    /// `GET /report`
    Report,
    /// `GET /expected`
    Expected,
    /// `POST /script`
    Script,
    /// `POST /change`
    Change,
    /// `POST /settle`
    Settle,
    /// The path exists with another method.
    WrongMethod,
    /// No such path.
    Unknown,
}

/// A call of Connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ConnectCall {
    /// `GET /heartbeat`
    Heartbeat,
    /// `GET /health`
    Health,
    /// `GET /v1/vaults`
    Vaults,
    /// `GET /v1/vaults/{vault}`
    Vault(String),
    /// `GET /v1/vaults/{vault}/items`
    Items(String),
    /// `GET /v1/vaults/{vault}/items/{item}`
    Item(String, String),
    /// The path exists with another method: nothing here writes.
    WrongMethod,
    /// No such path, or one that nobody should call: files and their content.
    Unknown,
}

impl ConnectCall {
    /// Returns the endpoint that faults and reports know the call by, if they do.
    pub(crate) fn endpoint(&self) -> Option<Endpoint> {
        match self {
            ConnectCall::Vaults | ConnectCall::Vault(_) => Some(Endpoint::ConnectVaults),
            ConnectCall::Items(_) => Some(Endpoint::ConnectItems),
            ConnectCall::Item(..) => Some(Endpoint::ConnectItem),
            _ => None,
        }
    }
}

/// Returns the call that a method and path are.
pub(crate) fn route(method: &Method, path: &str) -> Route {
    if let Some(call) = of_connect(path) {
        return Route::Connect(match call {
            ConnectCall::Unknown => ConnectCall::Unknown,
            call if *method == Method::GET => call,
            _ => ConnectCall::WrongMethod,
        });
    }
    let (expected, route) = match path {
        "/api/v2/auth/introspect" => (Method::GET, Route::Introspect),
        "/report" => (Method::GET, Route::Report),
        "/expected" => (Method::GET, Route::Expected),
        "/script" => (Method::POST, Route::Script),
        "/change" => (Method::POST, Route::Change),
        "/settle" => (Method::POST, Route::Settle),
        _ => match of_an_api(path) {
            Some(Route::Job(Endpoint::Status, id)) => (Method::GET, Route::Job(Endpoint::Status, id)),
            Some(route) => (Method::POST, route),
            None => return Route::Unknown,
        },
    };
    if *method == expected { route } else { Route::WrongMethod }
}

/// Returns the call of Connect that a path is; `None`: the path is not Connect's.
fn of_connect(path: &str) -> Option<ConnectCall> {
    let parts: Vec<&str> = match path {
        "/heartbeat" => return Some(ConnectCall::Heartbeat),
        "/health" => return Some(ConnectCall::Health),
        _ => path.strip_prefix("/v1/")?.split('/').collect(),
    };
    Some(match parts[..] {
        ["vaults"] => ConnectCall::Vaults,
        ["vaults", vault] if !vault.is_empty() => ConnectCall::Vault(vault.to_owned()),
        ["vaults", vault, "items"] => ConnectCall::Items(vault.to_owned()),
        ["vaults", vault, "items", item] if !item.is_empty() => {
            ConnectCall::Item(vault.to_owned(), item.to_owned())
        }
        _ => ConnectCall::Unknown,
    })
}

fn of_an_api(path: &str) -> Option<Route> {
    if let Some(name) = path.strip_prefix("/api/v2/") {
        return Stream::ALL.into_iter().find(|stream| stream.name() == name).map(Route::Page);
    }
    let rest = path.strip_prefix("/persister/synchronization/jobs")?;
    if rest.is_empty() {
        return Some(Route::Job(Endpoint::Start, String::new()));
    }
    let rest = rest.strip_prefix('/')?;
    let (id, call) = rest.split_once('/').unwrap_or((rest, ""));
    let endpoint = match call {
        "" if rest == id => Endpoint::Status,
        "upload" => Endpoint::Upload,
        "entities" => Endpoint::Entities,
        "relationships" => Endpoint::Relationships,
        "finalize" => Endpoint::Finalize,
        "abort" => Endpoint::Abort,
        "events" => Endpoint::JobEvents,
        _ => return None,
    };
    (!id.is_empty()).then(|| Route::Job(endpoint, id.to_owned()))
}

/// Returns the endpoint of a stream's pages.
pub(crate) fn page_endpoint(stream: Stream) -> Endpoint {
    match stream {
        Stream::SigninAttempts => Endpoint::Signinattempts,
        Stream::ItemUsages => Endpoint::Itemusages,
        Stream::AuditEvents => Endpoint::Auditevents,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_calls() {
        let jobs = "/persister/synchronization/jobs";
        let job = |endpoint| Route::Job(endpoint, "7".to_owned());
        let cases = [
            (Method::GET, "/api/v2/auth/introspect".to_owned(), Route::Introspect),
            (Method::POST, "/api/v2/itemusages".to_owned(), Route::Page(Stream::ItemUsages)),
            (Method::GET, "/api/v2/itemusages".to_owned(), Route::WrongMethod),
            (Method::POST, "/api/v1/itemusages".to_owned(), Route::Unknown),
            (Method::POST, jobs.to_owned(), Route::Job(Endpoint::Start, String::new())),
            (Method::GET, format!("{jobs}/7"), job(Endpoint::Status)),
            (Method::POST, format!("{jobs}/7/entities"), job(Endpoint::Entities)),
            (Method::POST, format!("{jobs}/7/finalize"), job(Endpoint::Finalize)),
            (Method::POST, format!("{jobs}/7"), Route::WrongMethod),
            (Method::POST, format!("{jobs}/7/other"), Route::Unknown),
            (Method::POST, format!("{jobs}//upload"), Route::Unknown),
            (Method::GET, "/".to_owned(), Route::Unknown),
            (Method::GET, "/health".to_owned(), Route::Connect(ConnectCall::Health)),
            (Method::GET, "/v1/vaults".to_owned(), Route::Connect(ConnectCall::Vaults)),
            (Method::GET, "/v1/vaults/v".to_owned(), Route::Connect(ConnectCall::Vault("v".to_owned()))),
            (
                Method::GET,
                "/v1/vaults/v/items".to_owned(),
                Route::Connect(ConnectCall::Items("v".to_owned())),
            ),
            (
                Method::GET,
                "/v1/vaults/v/items/i".to_owned(),
                Route::Connect(ConnectCall::Item("v".to_owned(), "i".to_owned())),
            ),
            (Method::POST, "/v1/vaults/v/items".to_owned(), Route::Connect(ConnectCall::WrongMethod)),
            (Method::GET, "/v1/vaults/".to_owned(), Route::Connect(ConnectCall::Unknown)),
            (Method::GET, "/v1/vaults/v/items/i/files".to_owned(), Route::Connect(ConnectCall::Unknown)),
        ];
        for (method, path, expect) in cases {
            assert_eq!(route(&method, &path), expect, "{method} {path}");
        }
    }
}

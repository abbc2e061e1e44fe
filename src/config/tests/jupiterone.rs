//! Accounts and plans.

use super::*;
use crate::sink::jupiterone::JupiterOneSettings;

#[test]
fn jupiterone_needs_an_account_a_key_and_one_plan() {
    let neither = "neither `integration_instance_id` nor `scope` is given\n  \
                   hint: write `integration_instance_id = \"…\"`, or `scope = \"1password/acme\"`";
    check(
        &format!("{ACME}[tenant.jupiterone]"),
        &[
            "opgraph.toml:6:1: tenant[0].jupiterone: `account` is missing\n  hint: write the JupiterOne account id",
            "opgraph.toml:6:1: tenant[0].jupiterone: `token` is missing\n  \
             hint: say where the API key is read from, as in `token = { env = \"JUPITERONE_API_KEY\" }`",
            &format!("opgraph.toml:6:1: tenant[0].jupiterone: {neither}"),
        ],
    );
    check_jupiterone(
        "integration_instance_id = \"i\"\nscope = \"s\"",
        &[
            "opgraph.toml:10:9: tenant[0].jupiterone.scope: both an integration instance and a scope are given\n  \
           hint: keep the instance if JupiterOne gave you one, else the scope; never both",
        ],
    );
    check_jupiterone(
        "scope = \"s\"\nsource = \"integration-external\"",
        &["opgraph.toml:10:10: tenant[0].jupiterone.source: `source` goes with an integration instance; \
           a scope's is always `api`\n  hint: remove it"],
    );
    check_jupiterone(
        "integration_instance_id = \"i\"\nsource = \"api\"",
        &["opgraph.toml:10:10: tenant[0].jupiterone.source: there is no source `api`\n  \
           hint: write `integration-external`, or `integration-managed`"],
    );
    check_jupiterone(
        "integration_instance_id = \"i \"\nbase_url = \"https://api.jupiterone.io\"",
        &[
            "opgraph.toml:9:27: tenant[0].jupiterone.integration_instance_id: it holds a space or another character \
             that is no visible ASCII\n  hint: copy it again from JupiterOne",
            "opgraph.toml:10:12: tenant[0].jupiterone.base_url: `api.jupiterone.io` is none of api.us.jupiterone.io, \
             api.eu.jupiterone.io\n  hint: correct it, or set `allow_custom_hosts = true` if the token may go there",
        ],
    );
    check_jupiterone(
        "scope = \"s\"\nupload_age = \"2h\"\nupload_events = 0",
        &["opgraph.toml:10:14: tenant[0].jupiterone.upload_age: it is out of range\n  \
           hint: write `1s` to `1h`; `60s` is usual"],
    );
    check_jupiterone(
        "scope = \"s\"\nupload_events = 100001",
        &[
            "opgraph.toml:10:17: tenant[0].jupiterone.upload_events: it is out of range\n  hint: write 1 to 100000",
        ],
    );
    let start = format!("{ACME}[tenant.jupiterone]\naccount = \"j1\"\ntoken = {{ env = \"K\" }}\n");
    let expect = |plan: Plan| JupiterOne {
        base_url: "https://api.us.jupiterone.io".parse().unwrap(),
        account: "j1".to_owned(),
        token: TokenSource::Env("K".to_owned()),
        plan,
        gzip: true,
        job_events: true,
        upload: JupiterOneSettings::LIMITS,
    };
    let scope = tenant(&format!("{start}scope = \"1password/acme\""));
    assert_eq!(scope.jupiterone, Some(expect(Plan::Scope { prefix: "1password/acme".to_owned() })));
    assert_eq!(scope.graph, None, "JupiterOne alone, unless a graph is asked for");
    let managed = tenant(&format!(
        "{start}integration_instance_id = \"i\"\nsource = \"integration-managed\"\n[tenant.graph]"
    ));
    let plan = Plan::Instance { id: "i".to_owned(), source: InstanceSource::Managed };
    assert_eq!(managed.jupiterone, Some(expect(plan)));
    assert_eq!(managed.graph, Some(Graph { path: "graph.db".into() }));
}

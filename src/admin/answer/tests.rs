//! What is answered to whom.

use http_body_util::BodyExt;
use hyper::Method;
use opgraph_state::{MemoryStore, UnixMs};

use super::*;
use crate::{
    admin::{Status, Warnings},
    clock::Clock,
    stream::Stream,
    telemetry::{Meter, TenantState},
    tenants::Roster,
};

fn site(meters: &[Arc<Meter>]) -> Arc<Site> {
    let tenant = |(number, meter): (usize, &Arc<Meter>)| (format!("tenant{number}").into(), meter.clone());
    let tenants = Roster::of(meters.iter().enumerate().map(tenant).collect());
    Site::new(tenants, MemoryStore::default(), Warnings::default(), Clock::reading(|| UnixMs(9_000)))
}

async fn ask(site: &Arc<Site>, door: &Door, path: &str, accept: Option<&str>) -> (u16, HeaderMap, String) {
    let mut request = Request::builder().method(Method::GET).uri(path).header("host", "localhost");
    if let Some(accept) = accept {
        request = request.header("accept", accept);
    }
    let (head, body) = answer(site, door, &request.body(()).unwrap()).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), head.headers, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn every_answer_carries_the_policy_and_says_what_it_is() {
    let site = site(&[Arc::default()]);
    let open = Door::Open("a-token-of-this-test".into());
    for (path, status, kind) in [
        ("/", 200, "text/html; charset=utf-8"),
        ("/api/status", 200, "application/json"),
        ("/metrics", 200, "text/plain; version=0.0.4; charset=utf-8"),
        ("/healthz", 200, "text/plain; charset=utf-8"),
        ("/readyz", 503, "text/plain; charset=utf-8"),
        ("/assets/page.js", 200, "text/javascript; charset=utf-8"),
        ("/nothing", 404, "text/plain; charset=utf-8"),
    ] {
        for (door, status) in [(&Door::Loopback(None), status), (&open, 401)] {
            if path.ends_with('z') && status == 401 {
                continue;
            }
            let (found, headers, _) = ask(&site, door, path, None).await;
            assert_eq!(found, status, "{path}");
            let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
            assert!(status == 401 || header("content-type") == Some(kind), "{path}: {headers:?}");
            let policy = header("content-security-policy").unwrap();
            assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
            assert_eq!(header("x-content-type-options"), Some("nosniff"));
            assert_eq!(header("referrer-policy"), Some("no-referrer"));
            assert_eq!(
                header("cache-control") == Some("no-store"),
                !path.starts_with("/assets") || status == 401
            );
            assert_eq!(headers.get_all("www-authenticate").iter().count(), if status == 401 { 2 } else { 0 });
        }
    }
}

#[tokio::test]
async fn the_status_is_one_thing_in_three_forms() {
    let meter = Arc::new(Meter::default());
    meter.state.set(TenantState::Stopped("no token. Issue one".to_owned()));
    let counted = meter.stream(Stream::ItemUsages);
    counted.wanted.set(1);
    counted.events.add(41);
    let site = site(&[meter]);
    let door = Door::Socket;
    let (_, _, json) = ask(&site, &door, "/api/status", None).await;
    let status: Status = serde_json::from_str(&json).unwrap();
    let tenant = &status.tenants["tenant0"];
    assert_eq!((status.running, status.now, tenant.state.as_deref()), (true, UnixMs(9_000), Some("stopped")));
    assert_eq!(tenant.streams["itemusages"].metrics["opgraph_events_read_total"], 41.0);
    assert_eq!(tenant.metrics["opgraph_tenant_state{state=\"stopped\"}"], 1.0);
    assert_eq!(tenant.streams.len(), 1, "a stream that is not read is not shown");

    let (_, _, html) = ask(&site, &door, "/api/status", Some("text/html")).await;
    assert!(html.starts_with("<header") && html.contains("no token. Issue one"), "{html}");
    let (_, _, page) = ask(&site, &door, "/", None).await;
    let article =
        |text: &str| text.split("<article").nth(1).unwrap().split("</article").next().unwrap().to_owned();
    assert_eq!(article(&page), article(&html), "the page is what is asked for later");
    let (_, _, metrics) = ask(&site, &door, "/metrics", None).await;
    let line = r#"opgraph_events_read_total{tenant="tenant0",stream="itemusages"} 41"#;
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn it_is_ready_once_every_tenant_is_at_work_and_names_nobody() {
    let meters = [Arc::new(Meter::default()), Arc::new(Meter::default())];
    let site = site(&meters);
    let ready = async || {
        let (status, _, said) = ask(&site, &Door::Loopback(None), "/readyz", None).await;
        assert!(!said.contains("tenant0"), "{said}");
        status
    };
    assert_eq!(ready().await, 503);
    meters[0].state.set(TenantState::Running);
    assert_eq!(ready().await, 503);
    meters[1].state.set(TenantState::Pausing("busy".to_owned()));
    assert_eq!(ready().await, 200);
    meters[1].state.set(TenantState::Stopped("no token".to_owned()));
    assert_eq!(ready().await, 503);
    let (status, _, said) = ask(&site, &Door::Loopback(None), "/healthz", None).await;
    assert_eq!((status, said.as_str()), (200, "ok\n"), "starting it again would not mend it");
}

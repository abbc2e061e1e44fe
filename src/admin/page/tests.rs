//! The page as text: what may be in it, and what comes first.

use super::*;
use crate::admin::{Reason, StreamStatus, TenantStatus};

const EVIL: &str = "<script>alert(\"1\")</script>'&";

fn tenant(state: &str) -> TenantStatus {
    TenantStatus { state: Some(state.to_owned()), ..TenantStatus::default() }
}

#[test]
fn whatever_was_said_elsewhere_cannot_become_markup() {
    let text = || EVIL.to_owned();
    let mut evil = TenantStatus {
        why: Some(text()),
        description: Some(text()),
        sinks: vec![text()],
        quarantined: 3,
        reasons: vec![Reason { stream: text(), reason: text(), entries: 3 }],
        ..tenant(EVIL)
    };
    let stream = StreamStatus { state: Some(text()), why: Some(text()), ..StreamStatus::default() };
    evil.streams.insert("auditevents".to_owned(), stream);
    let mut status = Status { version: text(), ..Status::default() };
    status.tenants.insert(text(), evil);
    status.warnings = vec![Warning {
        at: status.now,
        level: text(),
        tenant: Some(text()),
        stream: Some(text()),
        text: text(),
        times: 2,
    }];
    let page = whole(&status);
    assert!(page.contains("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&#39;&amp;"));
    assert!(!page.contains("alert(\"1\")") && !page.contains("'&\""), "{page}");
    // One script, and that from a file.
    assert_eq!(page.matches("<script").count(), 1);
}

#[test]
fn nothing_in_the_page_needs_more_than_its_policy_allows() {
    let page =
        whole(&Status { tenants: [("acme".to_owned(), tenant("running"))].into(), ..Status::default() });
    for inline in
        [" style=", " onclick=", " onload=", "<style", "javascript:", "http://", "https://", "//cdn"]
    {
        assert!(!page.contains(inline), "{inline}");
    }
    let files = page.split(['"', '?']).filter(|part| part.starts_with("/assets/"));
    let files: Vec<_> = files.collect();
    assert_eq!(files.len(), 3);
    for file in files {
        let (_, body) = asset(file).unwrap();
        assert!(!body.contains("@import") && !body.contains("url("), "{file} loads something else");
    }
    assert!(asset("/assets/../Cargo.toml").is_none());
}

#[test]
fn whoever_needs_a_person_comes_first_and_a_thousand_tenants_are_one_page() {
    let mut status = Status::default();
    for number in 0..1000 {
        status.tenants.insert(format!("t{number:04}"), tenant("running"));
    }
    status.tenants.insert("zoe".to_owned(), tenant("stopped"));
    status.tenants.insert("yan".to_owned(), tenant("pausing"));
    let page = whole(&status);
    let at = |name: &str| page.find(&format!("<h2>{name}</h2>")).unwrap();
    assert!(at("zoe") < at("yan") && at("yan") < at("t0000"));
    assert_eq!(page.matches("<article").count(), MOST_TENANTS);
    assert!(page.contains("and 952 more tenants") && page.contains("1 tenant needs you"));
    assert!(page.len() < 300_000, "{} bytes", page.len());
}

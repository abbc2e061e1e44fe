//! When something is removed, and when not.

use opgraph::http::Remedy;
use opgraph_state::Store;

use super::{
    Place,
    fake::{Account, item},
};

/// Two vaults; then something happens, and `snapshots` are made. `gone` are
/// the parts of keys of which nothing may be left, `there` those that stay.
struct Case {
    name: &'static str,
    happens: fn(&mut Account),
    snapshots: usize,
    whole: bool,
    there: &'static [&'static str],
    gone: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case {
        name: "item gone",
        happens: |a| drop(a.take("v", "a")),
        snapshots: 1,
        whole: true,
        there: &["secret:b", "vault:v"],
        gone: &["secret:a"],
    },
    Case {
        name: "item archived",
        happens: |a| {
            a.edit("v", "a", |i| {
                i.state = Some("ARCHIVED".into());
                i.version = Some(2)
            })
        },
        snapshots: 1,
        whole: true,
        there: &["secret:b"],
        gone: &["secret:a"],
    },
    Case {
        name: "last item gone",
        happens: |a| drop((a.take("v", "a"), a.take("v", "b"))),
        snapshots: 1,
        whole: true,
        there: &["vault:v", "secret:c"],
        gone: &["secret:a", "secret:b"],
    },
    Case {
        name: "item moved",
        happens: |a| {
            let i = a.take("v", "a");
            a.put("w", i)
        },
        snapshots: 1,
        whole: true,
        there: &["vault:w|has|one_password_secret:a", "secret:a"],
        gone: &["vault:v|has|one_password_secret:a"],
    },
    Case {
        name: "item moved from a vault of higher version",
        happens: |a| {
            let i = a.take("w", "c");
            a.put("v", i)
        },
        snapshots: 1,
        whole: true,
        there: &["vault:v|has|one_password_secret:c", "secret:c"],
        gone: &["vault:w|has|one_password_secret:c"],
    },
    Case {
        name: "vault gone once",
        happens: |a| drop(a.vaults.remove("v")),
        snapshots: 1,
        whole: true,
        there: &["vault:v", "secret:a", "secret:b"],
        gone: &[],
    },
    Case {
        name: "vault gone twice",
        happens: |a| drop(a.vaults.remove("v")),
        snapshots: 2,
        whole: true,
        there: &["vault:w", "secret:c"],
        gone: &["vault:v", "secret:a", "secret:b"],
    },
    Case {
        name: "list of vaults fails",
        happens: |a| {
            a.vaults.remove("v");
            a.fails.insert("vaults".into(), Remedy::RETRY);
        },
        snapshots: 3,
        whole: false,
        there: &["vault:v", "secret:a"],
        gone: &[],
    },
    Case {
        name: "list of items fails",
        happens: |a| {
            a.take("v", "a");
            a.fails.insert("items v".into(), Remedy::RETRY);
        },
        snapshots: 3,
        whole: false,
        there: &["vault:v", "secret:a"],
        gone: &[],
    },
    Case {
        name: "detail fails",
        happens: |a| {
            a.put("v", item("a", 2));
            a.fails.insert("labels v a".into(), Remedy::RETRY);
        },
        snapshots: 3,
        whole: false,
        there: &["secret:a", "secret:b"],
        gone: &[],
    },
    Case {
        name: "list of vaults is empty",
        happens: |a| a.vault_list = Some(Vec::new()),
        snapshots: 3,
        whole: false,
        there: &["vault:v", "vault:w", "secret:a"],
        gone: &[],
    },
    Case {
        name: "list of items is empty and the count says otherwise",
        happens: |a| {
            a.put("v", item("a", 2));
            a.item_lists.insert("v".into(), Vec::new());
        },
        snapshots: 3,
        whole: false,
        there: &["secret:a", "secret:b"],
        gone: &[],
    },
    Case {
        name: "named twice, the higher version is archived",
        happens: |a| {
            a.put("v", item("a", 2));
            let mut old = item("a", 3);
            old.state = Some("ARCHIVED".into());
            a.item_lists.insert("v".into(), vec![item("a", 2), old, item("b", 1)]);
        },
        snapshots: 1,
        whole: true,
        there: &["secret:b"],
        gone: &["secret:a"],
    },
    Case {
        name: "named twice, the higher version is active",
        happens: |a| {
            let mut old = item("a", 1);
            old.state = Some("ARCHIVED".into());
            a.put("v", item("a", 2));
            a.item_lists.insert("v".into(), vec![item("a", 2), old, item("b", 1)]);
        },
        snapshots: 1,
        whole: true,
        there: &["secret:a", "secret:b"],
        gone: &[],
    },
    Case {
        name: "item restored before a list could miss it",
        happens: |a| {
            let i = a.take("v", "a");
            a.put("v", i)
        },
        snapshots: 2,
        whole: true,
        there: &["secret:a", "secret:b", "vault:v|has|one_password_secret:a"],
        gone: &[],
    },
    Case {
        name: "item moved, and only its new vault can be listed",
        happens: |a| {
            let i = a.take("v", "a");
            a.put("w", i);
            a.fails.insert("items v".into(), Remedy::RETRY);
        },
        snapshots: 3,
        whole: false,
        there: &[
            "secret:a",
            "vault:v|has|one_password_secret:a",
            "vault:w|has|one_password_secret:a",
            "secret:b",
        ],
        gone: &[],
    },
    Case {
        name: "item moved, and only its old vault can be listed",
        happens: |a| {
            let i = a.take("v", "a");
            a.put("w", i);
            a.fails.insert("items w".into(), Remedy::RETRY);
        },
        // It is as good as gone until the new vault can be listed.
        snapshots: 1,
        whole: false,
        there: &["secret:b", "secret:c", "vault:w"],
        gone: &["secret:a"],
    },
    Case {
        name: "item moved, and the new vault does not show it yet",
        happens: |a| {
            let i = a.take("v", "a");
            a.put("w", i);
            a.item_lists.insert("w".into(), vec![item("c", 1)]);
        },
        snapshots: 1,
        whole: true,
        there: &["secret:b", "secret:c"],
        gone: &["secret:a"],
    },
    Case {
        name: "item moved, and cannot be opened in its new vault",
        happens: |a| {
            let i = a.take("v", "a");
            a.put("w", i);
            a.fails.insert("labels w a".into(), Remedy::RETRY);
        },
        snapshots: 1,
        whole: false,
        there: &["secret:a", "vault:w|has|one_password_secret:a", "secret:b", "secret:c"],
        gone: &["vault:v|has|one_password_secret:a"],
    },
    Case {
        name: "both vaults of a moved item fail",
        happens: |a| {
            let i = a.take("v", "a");
            a.put("w", i);
            a.fails.insert("items v".into(), Remedy::RETRY);
            a.fails.insert("items w".into(), Remedy::RETRY);
        },
        snapshots: 3,
        whole: false,
        there: &["secret:a", "vault:v|has|one_password_secret:a"],
        gone: &[],
    },
    Case {
        name: "the token is refused halfway",
        happens: |a| {
            a.take("v", "a");
            a.vaults.remove("w");
            a.fails.insert("items v".into(), Remedy::halt("issue a new token"));
        },
        snapshots: 3,
        whole: false,
        there: &["secret:a", "vault:w", "secret:c"],
        gone: &[],
    },
];

#[tokio::test(start_paused = true)]
async fn what_is_no_more_is_removed_and_nothing_else() {
    for case in CASES {
        let place = Place::new();
        place.fake.with(|account| {
            account.vault("v", &["a", "b"]);
            account.vault("w", &["c"]);
            account.rename("w", "renamed often");
        });
        place.whole().await;
        place.is_exact().await;
        place.fake.with(case.happens);
        for _ in 0..case.snapshots {
            let (ended, meter) = place.snapshot().await;
            let failed = ended.unwrap().snapshots;
            assert_eq!(failed.is_none(), case.whole, "{}: {failed:?}", case.name);
            assert_eq!(
                meter.snapshots.removed.get() > 0,
                !case.gone.is_empty() && held_less(&place, case),
                "{}",
                case.name
            );
        }
        let held = place.held();
        for part in case.there {
            assert!(held.keys().any(|key| key.ends_with(part)), "{}: {part} is not there", case.name);
        }
        for part in case.gone {
            assert!(!held.keys().any(|key| key.contains(part)), "{}: {part} is still there", case.name);
        }
        // Once nothing is wrong any more, everything is as it should be.
        place.fake.with(|account| {
            account.fails.clear();
            account.vault_list = None;
            account.item_lists.clear();
            for vault in account.vaults.keys().cloned().collect::<Vec<_>>() {
                account.put(&vault, item(&format!("late-{vault}"), 1));
                account.rename(&vault, "last");
            }
        });
        place.whole().await;
        place.whole().await;
        if !case.name.starts_with("named twice") {
            place.is_exact().await;
        }
    }
}

/// Whether what has to go is gone: a vault goes with the second snapshot.
fn held_less(place: &Place, case: &Case) -> bool {
    let held = place.held();
    case.gone.iter().all(|part| !held.keys().any(|key| key.contains(part)))
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_comes_back_is_there_with_all_its_items() {
    for absent in 1..=3 {
        let place = Place::new();
        place.fake.with(|account| {
            account.vault("v", &["a", "b"]);
            account.vault("w", &["c"]);
        });
        place.whole().await;
        let away = place.fake.with(|account| account.vaults.remove("v").unwrap());
        for _ in 0..absent {
            place.whole().await;
        }
        place.fake.with(|account| account.vaults.insert("v".to_owned(), away));
        place.whole().await;
        place.is_exact().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_that_comes_back_is_there_again_whatever_its_version() {
    for version in [1, 2] {
        let place = Place::new();
        place.fake.with(|account| account.vault("v", &["a", "b"]));
        place.whole().await;
        place.fake.with(|account| account.edit("v", "a", |item| item.state = Some("ARCHIVED".to_owned())));
        place.whole().await;
        assert!(!place.held().contains_key("one_password_secret:a"));
        place.fake.with(|account| account.put("v", item("a", version)));
        place.whole().await;
        place.is_exact().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_tenant_removes_another_with_the_same_ids_keeps() {
    let place = Place::new();
    let other = Place { tenant: "other", store: place.store.clone(), ..Place::new() };
    for place in [&place, &other] {
        place.fake.with(|account| {
            account.vault("v", &["a", "b"]);
            account.vault("w", &["c"]);
        });
        place.whole().await;
    }
    place.fake.with(|account| {
        account.take("w", "c");
        account.vaults.remove("v");
    });
    for _ in 0..2 {
        place.whole().await;
        other.whole().await;
    }
    place.is_exact().await;
    other.is_exact().await;
    assert_eq!(other.held().len(), 2 + 2 * 3);
    assert_eq!(other.store.listed_items("other", "v").await.unwrap().len(), 2);
    assert!(other.store.listed_items("acme", "v").await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_removed_vault_that_events_name_is_a_stub_again() {
    let place = Place { events: 10, ..Place::new() };
    // The scripted audit events name these vaults.
    place.fake.with(|account| {
        account.vault("vault1", &["a"]);
        account.vault("w", &["c"]);
    });
    place.whole().await;
    assert!(place.held()["one_password_vault:vault1"].contains("Vault vault1"));
    place.fake.with(|account| account.vaults.remove("vault1"));
    place.whole().await;
    place.whole().await;
    let held = place.held();
    let stub = r#"{"_key":"one_password_vault:vault1","_type":"one_password_vault","_class":["Vault"],"id":"vault1","name":"vault1","displayName":"vault1"}"#;
    assert_eq!(held["one_password_vault:vault1"], stub);
    assert!(!held.contains_key("one_password_secret:a"));
}

#[tokio::test(start_paused = true)]
async fn details_switched_off_stay_and_switched_on_are_opened() {
    let mut place = Place { details: false, ..Place::new() };
    place.fake.with(|account| account.vault("v", &["a", "b"]));
    place.whole().await;
    assert_eq!(place.fake.count("labels"), 0);
    place.is_exact().await;
    place.details = true;
    place.whole().await;
    assert_eq!(place.fake.count("labels"), 2);
    place.is_exact().await;
    place.details = false;
    place.fake.with(|account| account.rename("v", "Other"));
    place.whole().await;
    assert_eq!(place.fake.calls(), ["vaults", "items v"]);
    place.details = true;
    place.is_exact().await;
    place.whole().await;
    assert_eq!(place.fake.calls(), ["vaults"]);
}

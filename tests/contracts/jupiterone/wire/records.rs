//! Records that JupiterOne does not take, state that cannot be written, jobs that take their time.

use std::{collections::BTreeSet, time::Duration};

use opgraph::http::Remedy;
use opgraph_simulator::{Config, Endpoint, Fault, Finalize, Script};
use opgraph_state::Store;
use serde_json::Value;

use super::bench::{Bench, TENANT, Which, exit, world};

const PLANS: [Which; 2] = [Which::Instance, Which::Scope];

#[tokio::test]
async fn of_bodies_that_are_too_large_all_records_arrive_but_those_that_are_so_alone() {
    for which in PLANS {
        let mut set_aside = Vec::new();
        // From bodies that are halved to records that fit in no body.
        for body_limit in [4000, 1500, 700, 400] {
            let bench = Bench::new(which, Config { body_limit, events: 40, ..world() }).await;
            assert!(bench.run().await.is_ok(), "{which:?}, {body_limit} bytes");
            let report = bench.is_sound().unwrap();
            assert!(report.received.too_large > 0 && report.is_caught_up());
            assert_eq!(bench.committed(), report.served());
            let aside: BTreeSet<String> = bench
                .store
                .quarantined(TENANT, 10_000)
                .await
                .unwrap()
                .iter()
                .map(|record| serde_json::from_str::<Value>(&record.body).unwrap()["_key"].to_string())
                .map(|key| key.trim_matches('"').to_owned())
                .collect();
            // Nobody else is missing but relationships of one that is.
            let lost = &report.graph.missing;
            assert!(lost.examples.len() as u64 == lost.count || lost.count > 20, "{lost:?}");
            for key in &lost.examples {
                let of_one_aside = aside.iter().any(|aside| key.contains(aside.as_str()));
                assert!(of_one_aside, "{which:?}, {body_limit} bytes: {key} is missing");
            }
            assert!(lost.count as usize >= aside.len());
            assert_eq!(bench.meter.not_stored.get() > 0, lost.count as usize > aside.len());
            set_aside.push(aside.len());
        }
        assert!(set_aside.is_sorted() && set_aside.first() < set_aside.last(), "{which:?}: {set_aside:?}");
    }
}

#[tokio::test]
async fn a_job_that_cannot_be_noted_is_sent_nothing() {
    for which in PLANS {
        let mut bench = Bench::new(which, world()).await;
        bench.orphans = 1;
        bench.store.seen(|seen| seen.fail_notes = 1);
        let ended = bench.run().await.expect_err("no note, no upload");
        assert_eq!(exit(&ended.remedy), 4, "{}", ended.text);
        assert!(ended.remedy.hint().unwrap().contains("check the disk"));
        assert_eq!(bench.committed(), 0);
        assert!(bench.run().await.is_ok());
        bench.is_exact().await.unwrap();
    }
}

#[tokio::test]
async fn a_job_that_is_pending_beyond_the_deadline_is_settled_by_the_next_runs() {
    for which in PLANS {
        let finalize = Finalize::After(Duration::from_millis(900));
        let mut bench = Bench::new(which, Config { finalize, ..world() }).await;
        bench.settings.finalize_deadline = Duration::from_millis(200);
        let ended = bench.run().await.expect_err("it takes too long");
        assert!(matches!(ended.remedy, Remedy::Retry { .. }), "{}", ended.text);
        assert!(ended.text.contains("it is still FINALIZ"), "{}", ended.text);
        assert_eq!(bench.committed(), 0);
        let started = bench.cost().jobs;
        // Nobody writes beside it, and nobody gives up on it.
        let again = bench.run().await.expect_err("it is not over yet");
        assert!(again.text.contains("it is still FINALIZ"), "{}", again.text);
        assert_eq!(bench.cost().jobs, started);
        bench.simulator.settle();
        bench.settings.finalize_deadline = Duration::from_secs(30);
        for _ in 0..3 {
            if bench.run().await.is_ok() {
                break;
            }
        }
        bench.is_exact().await.unwrap();
    }
}

#[tokio::test]
async fn partial_datasets_that_are_not_honoured_stop_the_tenant_before_anything_is_committed() {
    let world = Config { honour_partial_datasets: false, ..world() };
    let bench = Bench::new(Which::Instance, world).await;
    assert!(bench.run_of(&[opgraph::stream::Stream::ItemUsages]).await.is_ok());
    let committed = bench.committed();
    let ended = bench.run().await.expect_err("the next job deletes what the first one brought");
    assert_eq!(exit(&ended.remedy), 5, "{}", ended.text);
    let hint = ended.remedy.hint().unwrap();
    assert!(hint.contains("7 days") && hint.contains("opgraph check --canary"), "{hint}");
    assert_eq!(bench.committed(), committed, "nothing more is committed");
}

#[tokio::test]
async fn a_job_of_somebody_else_in_the_same_place_changes_nothing() {
    for which in PLANS {
        let bench = Bench::new(which, world()).await;
        // It was started by somebody whose id we never learn, and is never ended.
        bench.simulator.script(Script::next(Endpoint::Start, Fault::LostAnswer));
        assert!(bench.run().await.is_ok());
        bench.is_exact().await.unwrap();
        let jobs = bench.simulator.report().jobs;
        assert_eq!((jobs.open.count, jobs.open_unknown, jobs.open_with_records), (1, 1, 0));
    }
}

//! What one page costs at each stage: decode, map, compress.
//!
//! `cargo bench`; read the figures as ratios within one run, never across machines.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use opgraph::{
    graph::Records,
    http::{Asked, Body, Client, ClientSettings, Request},
    stream::{Mapping, Stream, read_page},
};
use opgraph_simulator::{Config, Simulator};

/// One page of each stream, as the simulator serves it.
fn pages() -> Vec<(Stream, Vec<u8>)> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let config = Config { events: 5000, ..Config::default() };
        let simulator = Simulator::start(config).await.expect("a simulator");
        let client = Client::new(&ClientSettings::default()).expect("a client");
        let mut pages = Vec::new();
        for stream in Stream::ALL {
            let request = Request {
                doing: "read a page".to_owned(),
                asked: Asked::FirstPage,
                method: reqwest::Method::POST,
                url: format!("{}/api/v2/{}", simulator.events_url(), stream.name()).parse().expect("a URL"),
                token: simulator.events_token().into(),
                headers: Vec::new(),
                body: Some(Body::plain(&br#"{"limit":1000,"start_time":"2020-01-01T00:00:00Z"}"#[..])),
            };
            pages.push((*stream, client.send(&request).await.expect("a page").body));
        }
        pages
    })
}

fn stages(criterion: &mut Criterion) {
    let mapping = Mapping { raw_data: true, account_name: None };
    for (stream, body) in pages() {
        let events = read_page(stream, body.clone()).expect("the simulator serves pages").events;
        let map = || {
            let mut records = Records::with_capacity(2 * events.bytes());
            events.map(&mapping, &mut records);
            records
        };
        let text: String = map().iter().map(|record| record.json.to_owned()).collect();

        let mut group = criterion.benchmark_group(stream.name());
        group.throughput(Throughput::Elements(events.len() as u64));
        group.bench_function("decode", |bencher| {
            bencher.iter_batched(|| body.clone(), |body| read_page(stream, body), BatchSize::LargeInput);
        });
        group.bench_function("map", |bencher| bencher.iter(|| black_box(map())));
        group.bench_function("gzip", |bencher| bencher.iter(|| Body::gzip(black_box(text.as_bytes()))));
        group.finish();
    }
}

criterion_group!(benches, stages);
criterion_main!(benches);

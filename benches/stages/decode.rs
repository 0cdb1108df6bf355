//! Lines → batches.

use std::hint::black_box;

use ashiato::internals::{Decoder, ReferenceDecoder};
use bytes::Bytes;
use criterion::{Criterion, Throughput};

use crate::input::{
    action_log, action_log_contract, blocks, escaped, flat, flat_contract, peers_contract, shuffled,
};

/// The columns that `projected` builds, of all that the contract has.
const PROJECTED: [&str; 5] = ["event_id", "occurred_at", "service", "event", "url"];

pub fn bench(criterion: &mut Criterion) {
    let ordered = action_log();
    for (name, log) in
        [("ordered", &ordered), ("shuffled", &shuffled(&ordered)), ("escaped", &escaped(&ordered))]
    {
        bench_decoder(criterion, name, log, Decoder::new(action_log_contract()));
    }
    bench_decoder(criterion, "flat", &flat(&ordered), Decoder::new(flat_contract()));
    bench_decoder(criterion, "peers_job", &ordered, Decoder::new(peers_contract()));
    let contract = action_log_contract();
    let schema = contract.arrow_schema();
    let places = PROJECTED.map(|name| schema.index_of(name).expect("a column of the contract"));
    bench_decoder(criterion, "projected", &ordered, Decoder::projected(contract, &places));
    bench_obvious(criterion, &ordered);
}

fn bench_decoder(criterion: &mut Criterion, name: &str, log: &Bytes, mut decoder: Decoder) {
    let blocks = blocks(log);
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Bytes(log.len() as u64));
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            for lines in &blocks {
                black_box(decoder.decode(lines));
            }
        });
    });
    group.finish();
}

/// The reference decoder, on a part of the log.
fn bench_obvious(criterion: &mut Criterion, log: &Bytes) {
    let mut decoder = ReferenceDecoder::new(action_log_contract());
    let lines = &blocks(log)[0];
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Bytes(lines.bytes.len() as u64));
    group.bench_function("obvious_twin", |bencher| {
        bencher.iter(|| black_box(decoder.decode(lines)));
    });
    group.finish();
}

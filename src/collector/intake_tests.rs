use std::collections::BTreeSet;

use tempfile::TempDir;

use super::*;
use crate::base::clock::TestWallClock;
use crate::base::ids::RandomIds;
use crate::collector::config::CollectorConfig;
use crate::collector::events::EventReader;
use crate::collector::spool::SpoolSettings;
use crate::collector::visits::{EmbeddedSettings, EmbeddedVisitStore};
use crate::json::scan::Cpu;

const NOW_MS: i64 = 1_795_233_900_000;
const MINUTE_MS: i64 = 60_000;

fn start(folder: &TempDir, clock: &TestWallClock) -> (IntakeQueue, oneshot::Receiver<()>) {
    let config = CollectorConfig::default();
    let clock: Arc<dyn WallClock> = Arc::new(clock.clone());
    let settings = EmbeddedSettings {
        folder: folder.path().join("visits"),
        record_ttl: Duration::from_secs(3600),
        size_bytes_max: 1 << 30,
        cache_bytes_max: 1 << 20,
        expiry_delay: Duration::ZERO,
        damaged: Arc::default(),
    };
    let store = EmbeddedVisitStore::open(settings, Arc::clone(&clock)).unwrap();
    let settings = SpoolSettings {
        collector: "web-1".to_owned(),
        folder: folder.path().join("spool"),
        path: "dt=%Y-%m-%d/hr=%H".to_owned(),
        time_zone: chrono_tz::UTC,
        segment_bytes_max: 1 << 20,
        segment_age_max: Duration::from_secs(60),
        recent_ids_min: 1000,
    };
    let ids = Arc::new(RandomIds);
    let spool = Spool::open(settings, ids.clone()).unwrap();
    let intake = Intake {
        collector: "web-1".to_owned(),
        visit_service: VisitService { store: Arc::new(store), rules: config.visits, ids },
        long_ttl_ms: config.visits.long_ttl_ms,
        line_bytes_max: config.limits.line_bytes_max,
        clock,
        metrics: Arc::new(Metrics::new(crate::store::StoreMeter::default())),
        claim_bounds: Arc::new(ArcSwap::from_pointee(ClaimBounds::of(&config.limits))),
        services: Mutex::default(),
    };
    intake.start(spool, 100, CancellationToken::new()).unwrap()
}

fn keys() -> EventKeyMaker {
    EventKeyMaker::new(&[7; 32])
}

/// A page view of a visitor.
fn page(long: Option<Uuid>) -> Delivery {
    let limits = CollectorConfig::default().limits;
    let reader = EventReader { limits: &limits, renewing: &[], cpu: Cpu::best() };
    let body = Body::new(br#"{"event":"page_view"}"#).unwrap();
    let events = reader.read(&body, false).unwrap();
    let long = long.map(|long| crate::collector::cookies::LongCookie { long, renewed_ms: None });
    let mut delivery = Delivery::new(Client { long, ..Client::default() }, body, events.len());
    events.into_iter().flatten().for_each(|event| delivery.push(event, &keys()));
    delivery
}

#[tokio::test]
async fn a_clock_that_steps_back_ends_no_visit_and_goes_back_into_no_hour() {
    let (folder, clock) = (TempDir::new().unwrap(), TestWallClock::at(NOW_MS));
    let (queue, _end) = start(&folder, &clock);
    let first = queue.deliver(page(None), None).await.unwrap().unwrap().visit.unwrap();
    let mut times = vec![first.now_ms];
    for (round, step_ms) in [-1, -MINUTE_MS, -4 * MINUTE_MS, 0, 5].into_iter().enumerate() {
        clock.set(NOW_MS + step_ms);
        let next =
            queue.deliver(page(Some(first.long)), None).await.unwrap().unwrap().visit.unwrap();
        assert_eq!((next.long, next.short), (first.long, first.short));
        assert_eq!(next.seq, round as u64 + 2);
        times.push(next.now_ms);
    }
    assert_eq!(times, [NOW_MS, NOW_MS, NOW_MS, NOW_MS, NOW_MS, NOW_MS + 5]);
    // A clock that was hours ahead is followed, and the visit still goes on.
    clock.set(NOW_MS - 120 * MINUTE_MS);
    let next = queue.deliver(page(Some(first.long)), None).await.unwrap().unwrap().visit.unwrap();
    assert_eq!((next.short, next.now_ms), (first.short, NOW_MS - 120 * MINUTE_MS));
}

#[tokio::test]
async fn requests_that_come_together_are_one_visit_each_counted_once() {
    let (folder, clock) = (TempDir::new().unwrap(), TestWallClock::at(NOW_MS));
    let (queue, _end) = start(&folder, &clock);
    let long = queue.deliver(page(None), None).await.unwrap().unwrap().visit.unwrap().long;
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(
                async move { queue.deliver(page(Some(long)), None).await.unwrap().unwrap() },
            )
        })
        .collect();
    let (mut shorts, mut seqs) = (BTreeSet::new(), BTreeSet::new());
    for task in tasks {
        let visit = task.await.unwrap().visit.unwrap();
        shorts.insert(visit.short);
        seqs.insert(visit.seq);
    }
    assert_eq!(shorts.len(), 1);
    assert_eq!(seqs, (2..=51).collect());
}

#[tokio::test]
async fn the_threads_end_once_all_that_waited_is_answered() {
    let (folder, clock) = (TempDir::new().unwrap(), TestWallClock::at(NOW_MS));
    let (queue, end) = start(&folder, &clock);
    assert!(queue.deliver(page(None), None).await.unwrap().is_ok());
    drop(queue);
    end.await.unwrap();
}

#[test]
fn lines_are_never_much_longer_than_they_were_expected_to_be() {
    let limits = CollectorConfig::default().limits;
    let reader = EventReader { limits: &limits, renewing: &[], cpu: Cpu::best() };
    let id = Uuid::from_u64_pair(0, 1);
    let item = format!(r#"{{"sku":"{}"}}"#, "7".repeat(128));
    let via = format!(r#"{{"channel":"{}"}}"#, "a".repeat(230));
    let cart =
        format!(r#"{{"event":"cart_add","cart":{{"items":[{}]}}}}"#, [&*item; 150].join(","));
    for (text, agent) in [("{}".to_owned(), "u".repeat(1024)), (cart, "u".to_owned())] {
        let text = format!("[{}]", vec![text; 20].join(","));
        let body = Body::new(text.as_bytes()).unwrap();
        let events = reader.read(&body, false).unwrap();
        let mut client = Client::default();
        client.sender.user_agent = Some(format!("\"{agent}\""));
        let mut delivery = Delivery::new(client, body, events.len());
        events.into_iter().flatten().for_each(|event| delivery.push(event, &keys()));
        let head = EnvelopeHeader::new("web-1", NOW_MS, limits.line_bytes_max);
        let mut lines = Vec::new();
        for (facts, text) in delivery.facts.iter().zip(&delivery.texts) {
            let items = facts.items.iter().map(|item| crate::collector::visits::ItemVia {
                sku: item.sku.clone(),
                via: Some(via.clone()),
            });
            let attribution = crate::collector::visits::attribution::Attribution {
                via: Some(via.clone()),
                items: items.collect(),
            };
            let visit = VisitOutcome { long: id, short: id, seq: 1, seen_ms: 0, attribution };
            let EventText::InBody(range) = text else { panic!("it is plain") };
            let body = &delivery.body.text()[range.clone()];
            let (sender, visit) = (&delivery.client.sender, Some(&visit));
            let replaced = crate::collector::claims::Replaced::default();
            let id_text = None;
            let envelope = Envelope { id, id_text, sender, visit, via: None, replaced, body };
            write_line(&head, &envelope, &mut lines);
        }
        let expected = delivery.lines_bytes();
        assert!(lines.len() < expected + expected / 2, "{} of {expected}", lines.len());
        assert!(lines.len() > expected / 3, "{} of {expected}", lines.len());
    }
}

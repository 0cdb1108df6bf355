use std::collections::HashSet;

use super::*;
use crate::base::ids::{CountedIds, RandomIds};
use crate::collector::visits::attribution::AttributionRules;
use crate::collector::visits::memory::MemoryVisitStore;
use crate::collector::visits::{EventKind, Touching};

fn rules() -> VisitRules {
    VisitRules {
        short_ttl_ms: 1000,
        long_ttl_ms: 10_000,
        attribution: AttributionRules {
            touching: Touching::Last,
            via_ttl_ms: 1000,
            cart_ttl_ms: 1000,
            cart_items_max: 10,
        },
        record_bytes_max: 24 << 10,
    }
}

const EVENT: EventFacts = EventFacts {
    id: None,
    kind: EventKind::Other,
    renews: true,
    is_passive: false,
    via: None,
    items: Vec::new(),
};
static EVENTS: [EventFacts; 4] = [EVENT; 4];

fn request(long: Option<u64>, events: usize) -> VisitRequest<'static> {
    let long = long.map(|long| Uuid::from_u64_pair(9, long));
    VisitRequest { long, is_by_name: false, cookie: None, events: &EVENTS[..events] }
}

fn visit_service(store: &MemoryVisitStore) -> VisitService {
    let store = Arc::new(store.clone());
    VisitService { store, rules: rules(), ids: Arc::new(CountedIds::default()) }
}

#[tokio::test]
async fn requests_of_one_visitor_in_a_batch_are_one_visit_in_their_order() {
    let store = MemoryVisitStore::default();
    let requests = [request(Some(1), 1), request(None, 2), request(Some(1), 2), request(None, 1)];
    let outcomes = visit_service(&store).serve(&requests, 0).await.unwrap();
    let seqs: Vec<Vec<u64>> =
        outcomes.iter().map(|given| given.iter().map(|one| one.seq).collect()).collect();
    assert_eq!(seqs, [vec![1], vec![1, 2], vec![2, 3], vec![1]]);
    assert_eq!(outcomes[0][0].short, outcomes[2][0].short);
    let longs: HashSet<Uuid> = outcomes.iter().map(|given| given[0].long).collect();
    assert_eq!(longs.len(), 3, "newcomers are strangers to each other");
    assert_eq!(store.asked.load(std::sync::atomic::Ordering::SeqCst), 2, "one read, one write");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_that_serve_one_visitor_at_once_never_make_two_visits() {
    let store = MemoryVisitStore::default();
    let tasks = (0..12).map(|_| {
        let mut visit_service = visit_service(&store);
        visit_service.ids = Arc::new(RandomIds);
        tokio::spawn(async move {
            let mut given = Vec::new();
            for _ in 0..20 {
                let served = loop {
                    if let Ok(served) = visit_service.serve(&[request(Some(1), 1)], 0).await {
                        break served;
                    }
                };
                given.push((served[0][0].short, served[0][0].seq));
            }
            given
        })
    });
    let mut all = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        all.extend(task.await.unwrap());
    }
    let shorts: HashSet<Uuid> = all.iter().map(|(short, _)| *short).collect();
    assert_eq!(shorts.len(), 1);
    let mut seqs: Vec<u64> = all.iter().map(|(_, seq)| *seq).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=240).collect::<Vec<u64>>(), "each event has a number of its own");
}

#[tokio::test]
async fn a_store_that_is_away_serves_nobody_and_changes_nothing() {
    let store = MemoryVisitStore::default();
    store.away.store(true, std::sync::atomic::Ordering::SeqCst);
    let visit_service = visit_service(&store);
    assert!(matches!(
        visit_service.serve(&[request(None, 1)], 0).await,
        Err(Error::Unavailable(_))
    ));
    store.away.store(false, std::sync::atomic::Ordering::SeqCst);
    assert!(store.records.lock().unwrap().is_empty());
    assert_eq!(visit_service.serve(&[request(Some(1), 1)], 0).await.unwrap()[0][0].seq, 1);
}

#[tokio::test]
async fn who_comes_by_a_name_is_the_visitor_until_its_id_came_back_and_a_stranger_from_then_on() {
    let store = MemoryVisitStore::default();
    let visit_service = visit_service(&store);
    let by_name = || VisitRequest { is_by_name: true, ..request(Some(1), 1) };
    let longs = async |requests: &[VisitRequest<'_>]| -> Vec<Uuid> {
        let served = visit_service.serve(requests, 0).await.unwrap();
        served.iter().map(|given| given[0].long).collect()
    };
    let visitor = Uuid::from_u64_pair(9, 1);
    assert_eq!(longs(&[by_name()]).await, [visitor]);
    assert_eq!(longs(&[by_name(), request(Some(2), 1)]).await[0], visitor);
    assert_eq!(longs(&[request(Some(1), 1)]).await, [visitor]);
    let requests = [by_name(), request(Some(1), 1), by_name(), request(Some(2), 1), by_name()];
    let given = longs(&requests).await;
    assert_eq!((given[1], given[3]), (visitor, Uuid::from_u64_pair(9, 2)));
    let others: HashSet<Uuid> = [0, 2, 4].map(|place| given[place]).into();
    assert!(others.len() == 3 && !others.contains(&visitor), "{given:?}");
    let alone = longs(&[by_name()]).await[0];
    assert!(alone != visitor && !others.contains(&alone));
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_none_for_its_visitor_and_nothing_for_all_others() {
    for bytes in [&b"PONG"[..], b"", b"{}", b"\xff\xfe", b"[1,2]"] {
        let store = MemoryVisitStore::default();
        let visitor = Uuid::from_u64_pair(9, 1);
        store.records.lock().unwrap().insert(visitor, StoredRecord::from_static(bytes));
        let requests = [request(Some(1), 1), request(Some(2), 1), request(None, 1)];
        for seq in 1..3 {
            let outcomes = visit_service(&store).serve(&requests[..2], 0).await.unwrap();
            assert_eq!(outcomes.iter().map(|given| given[0].seq).collect::<Vec<_>>(), [seq; 2]);
        }
        assert!(visit_service(&store).serve(&requests, 0).await.is_ok());
        let written = store.records.lock().unwrap()[&visitor].clone();
        assert_eq!(VisitorRecord::decode(&written).unwrap().seq, 3, "it was written over");
    }
}

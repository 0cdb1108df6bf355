use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use super::*;
use crate::base::ids::CountedIds;
use crate::collector::visits::memory::MemoryVisitStore;
use crate::collector::visits::{
    AttributionRules, Backfill, BackfillProgress, EventFacts, EventKind, Touching, VisitRequest,
    VisitRules, VisitService,
};
use uuid::Uuid;

struct Migration {
    old: MemoryVisitStore,
    new: MemoryVisitStore,
    stores: MigratingVisitStore,
    visit_service: VisitService,
}

impl Migration {
    fn new(phase: Phase) -> Self {
        let (old, new) = (MemoryVisitStore::default(), MemoryVisitStore::default());
        let stores = MigratingVisitStore::new(Arc::new(old.clone()), Arc::new(new.clone()), phase);
        let rules = VisitRules {
            short_ttl_ms: 1000,
            long_ttl_ms: 10_000,
            attribution: AttributionRules {
                touching: Touching::Last,
                via_ttl_ms: 1000,
                cart_ttl_ms: 1000,
                cart_items_max: 10,
            },
            record_bytes_max: 24 << 10,
        };
        let ids = Arc::new(CountedIds::default());
        let visit_service = VisitService { store: Arc::new(stores.clone()), rules, ids };
        Migration { old, new, stores, visit_service }
    }

    /// An event of a visitor: the visit's id and the event's number.
    async fn event(&self, visitor: u64) -> Result<(Uuid, u64)> {
        let event = EventFacts {
            id: None,
            kind: EventKind::Other,
            renews: true,
            is_passive: false,
            via: None,
            items: Vec::new(),
        };
        let long = Some(Uuid::from_u64_pair(9, visitor));
        let request = VisitRequest { long, is_by_name: false, cookie: None, events: &[event] };
        let outcomes = self.visit_service.serve(&[request], 0).await?;
        Ok((outcomes[0][0].short, outcomes[0][0].seq))
    }

    async fn backfill(&self) -> BackfillProgress {
        let ttl = Duration::from_secs(1);
        let backfill = Backfill { stores: self.stores.clone(), record_ttl: ttl };
        let mut progress = BackfillProgress::default();
        while !progress.done {
            progress = backfill.copy_page(&progress).await.unwrap();
        }
        progress
    }
}

#[tokio::test]
async fn visits_keep_their_ids_and_numbers_through_all_phases() {
    let migration = Migration::new(Phase::Old);
    let mut visits = Vec::new();
    for visitor in 0..20 {
        visits.push(migration.event(visitor).await.unwrap().0);
    }
    let mut seq = 1;
    for phase in [Phase::Dual, Phase::NewFirst, Phase::New] {
        migration.stores.switch(phase);
        seq += 1;
        // Half of the visitors come in each phase; the backfill brings the others.
        for visitor in 0..10 {
            let (short, number) = migration.event(visitor).await.unwrap();
            assert_eq!((short, number), (visits[visitor as usize], seq), "{phase}");
        }
        if phase == Phase::Dual {
            assert!(!migration.stores.compare().await.unwrap().safe);
            assert_eq!(migration.backfill().await.copied, 10);
            assert!(migration.stores.compare().await.unwrap().safe);
        }
    }
    migration.old.away.store(true, SeqCst);
    for visitor in 10..20 {
        assert_eq!(migration.event(visitor).await.unwrap(), (visits[visitor as usize], 2));
    }
    assert!(migration.stores.counts().copied >= 10);
}

#[tokio::test]
async fn a_new_store_that_is_away_in_dual_is_noticed_and_made_up_for() {
    let migration = Migration::new(Phase::Dual);
    let (visit, _) = migration.event(1).await.unwrap();
    migration.new.away.store(true, SeqCst);
    assert_eq!(migration.event(1).await.unwrap(), (visit, 2));
    let (late, _) = migration.event(2).await.unwrap();
    migration.new.away.store(false, SeqCst);
    assert!(migration.stores.counts().new_missed > 0);
    let report = migration.stores.compare().await.unwrap();
    assert!(!report.safe && report.comparison.behind == 2, "{report:?}");
    // Even who goes on without the backfill changes no visit: the newer record counts.
    migration.stores.switch(Phase::NewFirst);
    assert_eq!(migration.event(1).await.unwrap(), (visit, 3));
    assert_eq!(migration.event(2).await.unwrap(), (late, 2));
    assert!(migration.stores.compare().await.unwrap().safe);
}

#[tokio::test]
async fn a_store_that_is_cut_off_in_any_phase_changes_no_visit() {
    for phase in Phase::ALL {
        for old_is_away in [true, false] {
            let migration = Migration::new(Phase::Dual);
            let (visit, _) = migration.event(1).await.unwrap();
            migration.stores.switch(phase);
            let away = if old_is_away { &migration.old.away } else { &migration.new.away };
            away.store(true, SeqCst);
            match migration.event(1).await {
                Ok((short, _)) => assert_eq!(short, visit, "{phase}"),
                Err(error) => assert!(error.to_string().contains("away"), "{error}"),
            }
            away.store(false, SeqCst);
            let (short, seq) = migration.event(1).await.unwrap();
            assert_eq!(short, visit, "{phase}, old is away: {old_is_away}");
            assert!(seq >= 2);
        }
    }
}

#[tokio::test]
async fn what_traffic_changes_during_the_backfill_is_not_overwritten() {
    let migration = Migration::new(Phase::Old);
    for visitor in 0..50 {
        migration.event(visitor).await.unwrap();
    }
    migration.stores.switch(Phase::Dual);
    let (_, ()) = futures::join!(migration.backfill(), async {
        for visitor in 0..50 {
            migration.event(visitor).await.unwrap();
        }
    });
    migration.backfill().await;
    assert_eq!(*migration.old.records.lock().unwrap(), *migration.new.records.lock().unwrap());
    for (_, record) in migration.new.records.lock().unwrap().iter() {
        assert_eq!(VisitorRecord::decode(record).unwrap().seq, 2);
    }
}

#[tokio::test]
async fn differences_are_counted() {
    let migration = Migration::new(Phase::Old);
    migration.event(1).await.unwrap();
    migration.stores.switch(Phase::Dual);
    migration.event(1).await.unwrap();
    migration.event(1).await.unwrap();
    let counts = migration.stores.counts();
    let expected = MigrationCounts { compared: 2, differing: 1, copied: 1, new_missed: 0 };
    assert_eq!(counts, expected);
}

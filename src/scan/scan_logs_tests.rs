use std::sync::Mutex;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Int64Type;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::base::config::ConfigFile;
use crate::contract::parse_contract;
use crate::decode::{DroppedItem, Mended};
use crate::pipeline::Framing;
use crate::scan::{SourceObject, Unreadable, UnreadableObject, logs_schema};

const CONTRACT: &str = r#"
[[column]]
name = "n"
type = "int64"
[[column]]
name = "text"
type = "string"
[[column]]
name = "wanted_by_nobody"
type = "string"
required = true
"#;

#[derive(Debug, Default)]
struct Heard {
    rejects: Mutex<Vec<String>>,
    tallies: Mutex<Vec<(String, ObjectTally)>>,
    unreadable: Mutex<Vec<(String, Unreadable)>>,
}

impl ScanObserver for Heard {
    fn reject(&self, object: &SourceObject, reject: Reject) -> Result<()> {
        let place = format!("{}:{}", object.location, reject.line);
        self.rejects.lock().unwrap().push(place);
        Ok(())
    }

    fn item_dropped(&self, _object: &SourceObject, _dropped: DroppedItem) -> Result<()> {
        Ok(())
    }

    fn mended(&self, _mended: &Mended) {}

    fn progress(&self, _rows: u64, _compressed_bytes: u64) {}

    fn object_done(
        &self,
        object: &SourceObject,
        tally: ObjectTally,
        _unknown_fields: BTreeMap<String, u64>,
    ) {
        self.tallies.lock().unwrap().push((object.location.clone(), tally));
    }

    fn object_cut_short(&self, _tally: ObjectTally) {}

    fn object_unreadable(&self, object: &SourceObject, unreadable: UnreadableObject) -> Result<()> {
        self.unreadable.lock().unwrap().push((object.location.clone(), unreadable.unreadable));
        Ok(())
    }
}

async fn scan(objects: &[(String, String)], columns: &[&str], threads: usize) -> Arc<LogScan> {
    let store = Arc::new(InMemory::new());
    let mut listed = Vec::new();
    for (name, text) in objects {
        let path = Path::from(name.as_str());
        let put = store.put(&path, text.clone().into()).await.unwrap();
        listed.push(SourceObject {
            location: name.clone(),
            path,
            size: text.len() as u64,
            e_tag: put.e_tag,
            partition_values: vec![("hr".to_owned(), Some("13".to_owned()))],
            unreadable: None,
        });
    }
    let file = ConfigFile { path: "contract.toml".into(), text: CONTRACT.to_owned() };
    let contract = Arc::new(parse_contract(&file).unwrap());
    let partition_columns = vec!["hr".to_owned()];
    let all = logs_schema(&contract, &partition_columns);
    let mut columns: Vec<usize> = columns.iter().map(|name| all.index_of(name).unwrap()).collect();
    columns.sort_unstable();
    Arc::new(LogScan {
        store,
        objects: listed,
        contract,
        partition_columns,
        columns,
        threads,
        framing: Framing::Auto,
        read_ahead_bytes: 64 << 20,
        cancel: CancellationToken::new(),
    })
}

async fn all_of(mut batches: mpsc::Receiver<Result<RecordBatch>>) -> Vec<RecordBatch> {
    let mut found = Vec::new();
    while let Some(batch) = batches.recv().await {
        found.push(batch.unwrap());
    }
    found
}

fn line(number: usize) -> String {
    format!("{{\"n\":{number},\"text\":\"t{number}\",\"wanted_by_nobody\":\"x\"}}\n")
}

#[tokio::test]
async fn only_wanted_columns_are_built_but_all_of_the_contract_is_checked() {
    let bad = "{\"n\":2,\"text\":\"wanted_by_nobody is missing\"}\n";
    let objects = [("a".to_owned(), format!("{}{bad}{}", line(1), line(3)))];
    for (columns, expected) in [
        (vec!["n", "_line"], vec!["n", "_line"]),
        (vec!["_source", "hr", "text"], vec!["text", "hr", "_source"]),
        (vec![], vec![]),
    ] {
        let scan = scan(&objects, &columns, 2).await;
        assert!(!scan.decoded_columns().contains(&2), "{columns:?}");
        let heard = Arc::new(Heard::default());
        let batches = all_of(super::scan(&scan, Some(heard.clone()))).await;
        for batch in &batches {
            let schema = batch.schema();
            let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            assert_eq!(names, expected);
        }
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
        assert_eq!(*heard.rejects.lock().unwrap(), ["a:2"], "{columns:?}");
    }
}

#[tokio::test]
async fn rows_keep_the_order_of_objects_and_lines_whatever_the_threads() {
    let object = |number: usize| {
        // Some objects are large, so that the small ones after them are done first.
        let lines = if number.is_multiple_of(3) { 20_000 } else { number };
        let first = number * 100_000;
        (format!("object-{number:02}"), (first..first + lines).map(line).collect())
    };
    let objects: Vec<(String, String)> = (0..12).map(object).collect();
    let mut expected = Vec::new();
    for threads in [1, 2, 5] {
        let heard = Arc::new(Heard::default());
        let scan = scan(&objects, &["n"], threads).await;
        let batches = all_of(super::scan(&scan, Some(heard.clone()))).await;
        let numbers: Vec<i64> = batches
            .iter()
            .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec())
            .collect();
        assert!(numbers.is_sorted(), "{threads} threads");
        let names: Vec<String> =
            heard.tallies.lock().unwrap().iter().map(|(name, _)| name.clone()).collect();
        let in_order: Vec<String> = objects.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(names, in_order);
        if expected.is_empty() {
            expected = numbers;
        } else {
            assert_eq!(numbers, expected, "{threads} threads");
        }
    }
    assert_eq!(expected.len(), 4 * 20_000 + 1 + 2 + 4 + 5 + 7 + 8 + 10 + 11);
}

#[tokio::test]
async fn who_wants_no_more_rows_stops_a_scan_without_a_witness_and_no_other() {
    let objects: Vec<(String, String)> =
        (0..20).map(|n| (format!("object-{n:02}"), (0..5_000).map(line).collect())).collect();
    let heard = Arc::new(Heard::default());
    let scan = scan(&objects, &["n"], 2).await;
    drop(super::scan(&scan, Some(heard.clone())));
    let mut unwanted = super::scan(&scan, None);
    assert!(unwanted.recv().await.is_some());
    drop(unwanted);
    for _ in 0..600 {
        if heard.tallies.lock().unwrap().len() == objects.len() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let lines: u64 = heard.tallies.lock().unwrap().iter().map(|(_, tally)| tally.lines).sum();
    assert_eq!(lines, 20 * 5_000);
}

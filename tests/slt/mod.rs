//! SQL tested as SQL: every sqllogictest file of `tests/slt` against an engine with all functions.
//!
//! What an engine looks up in follows from the file's name: `…_bare.slt` has no database and no
//! key, `…_strict.slt` fails on unknown tax categories, `…_shipped.slt` has the shipped GeoIP
//! databases; all others have the made-up ones and the key `visitor`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ashiato::internals::udf;
use ashiato::internals::{Enrichment, GeoDatabases, Keys, TaxUnknown};
use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

const MADE_UP: &[&str] = &["made_up_city.mmdb", "made_up_asn.mmdb"];
const SHIPPED: &[&str] =
    &["geo-whois-asn-country-ipv4.mmdb", "iptoasn-country-ipv6.mmdb", "asn.mmdb"];

/// An engine that a file's statements run in.
struct Engine(SessionContext);

#[async_trait]
impl AsyncDB for Engine {
    type Error = DataFusionError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, DataFusionError> {
        let result = self.0.sql(sql).await?;
        let types: Vec<_> =
            result.schema().fields().iter().map(|f| column_type(f.data_type())).collect();
        let batches = result.collect().await?;
        if types.is_empty() {
            return Ok(DBOutput::StatementComplete(0));
        }
        let rows = batches.iter().map(rows_of).collect::<Result<Vec<_>, _>>()?.concat();
        Ok(DBOutput::Rows { types, rows })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "ashiato"
    }
}

fn column_type(data_type: &DataType) -> DefaultColumnType {
    match data_type {
        DataType::Utf8 | DataType::Utf8View => DefaultColumnType::Text,
        other if other.is_integer() => DefaultColumnType::Integer,
        other if other.is_numeric() => DefaultColumnType::FloatingPoint,
        _ => DefaultColumnType::Any,
    }
}

/// Values as text: NULL for a null, `(empty)` for an empty text.
fn rows_of(batch: &RecordBatch) -> Result<Vec<Vec<String>>, DataFusionError> {
    let options = FormatOptions::default().with_null("NULL");
    let columns = batch.columns().iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let row = |row| -> Vec<String> {
        let texts = columns.iter().map(|column| column.value(row).to_string());
        texts.map(|text| if text.is_empty() { "(empty)".to_owned() } else { text }).collect()
    };
    Ok((0..batch.num_rows()).map(row).collect())
}

fn databases(names: &[&str]) -> GeoDatabases {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/geoip");
    let paths: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
    GeoDatabases::open(&paths).unwrap()
}

fn enrichment_for(stem: &str) -> Enrichment {
    if stem.ends_with("_bare") {
        return Enrichment::default();
    }
    let mut keys = Keys::default();
    keys.insert("visitor", b"ashiato").unwrap();
    keys.insert("order", b"another secret").unwrap();
    let names = if stem.ends_with("_shipped") { SHIPPED } else { MADE_UP };
    let strict = stem.ends_with("_strict");
    let tax_unknown = if strict { TaxUnknown::Error } else { TaxUnknown::Null };
    Enrichment { geoip: databases(names), keys, tax_unknown, ..Enrichment::default() }
}

fn engine(enrichment: Enrichment) -> SessionContext {
    let engine = SessionContext::new();
    udf::register(&engine, &Arc::new(enrichment));
    engine
}

#[tokio::test]
async fn every_sqllogictest_file_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|e| e == "slt")).collect();
    files.sort();
    assert!(files.len() >= udf::docs().len(), "at least one file a function");

    let mut failures = Vec::new();
    for file in files {
        let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
        let mut runner = Runner::new(|| async {
            Ok::<_, DataFusionError>(Engine(engine(enrichment_for(&stem))))
        });
        if let Err(failure) = runner.run_file_async(&file).await {
            failures.push(failure.to_string());
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test]
async fn every_example_of_the_functions_documentation_gives_its_stated_result() {
    let engine = engine(enrichment_for("examples"));
    for doc in udf::docs() {
        assert!(!doc.examples.is_empty(), "{} has no example", doc.name);
        for example in doc.examples {
            let batches = engine.sql(example.sql).await.unwrap().collect().await.unwrap();
            let rows = batches.iter().flat_map(|batch| rows_of(batch).unwrap());
            let rows: Vec<Vec<String>> = rows.collect();
            assert_eq!(rows, [[example.result]], "{}", example.sql);
        }
    }
}

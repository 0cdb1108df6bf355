//! What SQL files cannot say: batches, slices, encodings, counts of warnings, kinds of errors.

use std::path::Path;

use datafusion::arrow::array::{
    Array, AsArray, DictionaryArray, Int64Array, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};
use datafusion::optimizer::AnalyzerRule;

use super::*;
use crate::base::error::Error;
use crate::enrich::{GeoDatabases, TaxTable, TaxUnknown};

/// 2026-11-20T15:00:00Z, the beginning of 2026-11-21 in Tokyo.
const AT_MICROSECONDS: i64 = 1_795_186_800_000_000;

/// Sales with where they came from, in two batches that are slices of a longer one.
fn sales() -> Arc<MemTable> {
    let categories = ["cut off", "standard", "reduced", "food", "food", "drink", "cut off"];
    let rows = categories.len() as i64;
    let source: DictionaryArray<Int32Type> = categories.iter().map(|_| "logs/b.json.zst").collect();
    let at = TimestampMicrosecondArray::from_value(AT_MICROSECONDS, categories.len());
    let batch = RecordBatch::try_from_iter([
        ("_source", Arc::new(source) as Arc<dyn Array>),
        ("_line", Arc::new((0..rows).collect::<Int64Array>())),
        ("amount", Arc::new((0..rows).map(|i| i * 100).collect::<Int64Array>())),
        ("category", Arc::new(StringArray::from_iter_values(categories))),
        ("at", Arc::new(at.with_timezone("UTC"))),
    ]);
    let batch = batch.unwrap();
    let slices = vec![batch.slice(1, 2), batch.slice(3, 0), batch.slice(3, 3)];
    Arc::new(MemTable::try_new(batch.schema(), vec![slices]).unwrap())
}

fn engine(enrichment: Enrichment) -> (SessionContext, Arc<Enrichment>) {
    let enrichment = Arc::new(enrichment);
    let engine = SessionContext::new();
    register(&engine, &enrichment);
    engine.register_table("logs", sales()).unwrap();
    (engine, enrichment)
}

fn strict() -> Enrichment {
    Enrichment { tax_unknown: TaxUnknown::Error, ..Enrichment::default() }
}

async fn query(engine: &SessionContext, sql: &str) -> Result<Vec<RecordBatch>, DataFusionError> {
    engine.sql(sql).await?.collect().await
}

async fn refusal(engine: &SessionContext, sql: &str) -> Error {
    let error = query(engine, sql).await.unwrap_err();
    match error.find_root() {
        DataFusionError::External(refused) => match refused.downcast_ref::<Error>() {
            Some(Error::Data(message)) => Error::Data(message.clone()),
            other => panic!("expected an error of the data, found {other:?}"),
        },
        other => panic!("expected an error of this program, found {other:?}"),
    }
}

#[tokio::test]
async fn sliced_batches_give_one_result_a_row_and_count_what_is_unknown() {
    let (engine, enrichment) = engine(Enrichment::default());
    let sql = "SELECT _line, consumption_tax(amount, category, at) AS tax FROM logs ORDER BY _line";
    let batches = query(&engine, sql).await.unwrap();
    let taxes: Vec<(i64, Option<i64>)> = batches
        .iter()
        .flat_map(|batch| {
            let lines = batch.column(0).as_primitive::<Int64Type>();
            let taxes = batch.column(1).as_primitive::<Int64Type>();
            lines.values().iter().copied().zip(taxes).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(taxes, [(1, Some(10)), (2, Some(16)), (3, None), (4, None), (5, None)]);
    let counts = enrichment.warnings.counts();
    let counts: Vec<(&str, u64)> = counts.iter().map(|(k, n)| (k.as_str(), *n)).collect();
    assert_eq!(
        counts,
        [("tax: unknown category \"drink\"", 1), ("tax: unknown category \"food\"", 2)]
    );
}

#[tokio::test]
async fn an_error_of_a_row_is_one_of_the_data_and_names_object_and_line() {
    let (engine, _) = engine(strict());
    let error = refusal(&engine, "SELECT tax_rate(category, at) FROM logs").await;
    assert_eq!(
        error.to_string(),
        "tax: unknown category \"food\" on 2026-11-21, the table `bundled` has exempt, reduced, \
         standard, in object logs/b.json.zst, line 3"
    );
    assert_eq!(error.exit_code(), 65);
}

#[tokio::test]
async fn a_rate_that_has_not_begun_is_told_from_an_unknown_category() {
    let table = TaxTable::from_csv(Path::new("my.csv"), "category,from,rate\nfood,2030-01-01,0.08");
    let (engine, _) = engine(Enrichment { tax: table.unwrap(), ..strict() });
    let sql = "SELECT tax_rate(category, at) FROM logs WHERE category = 'food'";
    assert_eq!(
        refusal(&engine, sql).await.to_string(),
        "tax: no rate yet for category \"food\" on 2026-11-21, the table `my.csv` has food, in \
         object logs/b.json.zst, line 3"
    );
}

#[tokio::test]
async fn of_two_tables_that_are_joined_the_row_source_is_of_one_of_them_and_not_mixed() {
    let (engine, _) = engine(strict());
    let sql = "SELECT consumption_tax(a.amount, b.category, a.at) FROM logs AS a JOIN logs AS b \
        ON a._line = b._line + 1 WHERE a._line = 4";
    let message = refusal(&engine, sql).await.to_string();
    assert!(message.ends_with("in object logs/b.json.zst, line 4"), "{message}");
}

#[tokio::test]
async fn an_input_without_line_numbers_is_left_as_it_is() {
    let (engine, _) = engine(strict());
    let sql = "SELECT tax_rate(category, at) FROM (SELECT _source, category, at FROM logs)";
    let message = refusal(&engine, sql).await.to_string();
    assert!(message.ends_with("; select `_source` and `_line` in the view to see in which row"));
}

#[tokio::test]
async fn adding_the_row_source_twice_is_adding_it_once_and_keeps_names() {
    let (engine, _) = engine(strict());
    let sql = "SELECT tax_rate(category, at), tax_rate('standard', at) AS r, \
        tax_rate('standard', DATE '2026-11-21') FROM logs";
    let plan = engine.state().create_logical_plan(sql).await.unwrap();
    let once = AddRowSource.analyze(plan.clone(), &ConfigOptions::default()).unwrap();
    let twice = AddRowSource.analyze(once.clone(), &ConfigOptions::default()).unwrap();
    assert_eq!(once.to_string(), twice.to_string());
    assert_eq!(once.schema(), plan.schema());
    let text = once.display_indent().to_string();
    assert_eq!(text.matches("logs._source, logs._line").count(), 2, "{text}");
}

#[test]
fn an_array_that_is_a_slice_is_read_from_its_own_beginning() {
    let enrichment = Arc::new(Enrichment::default());
    let urls = StringArray::from(vec!["/0", "/1?a=x", "/2?a=y", "/3"]);
    let encodings: [Arc<dyn Array>; 2] = [
        Arc::new(urls.slice(1, 2)),
        Arc::new(urls.iter().collect::<DictionaryArray<Int32Type>>().slice(1, 2)),
    ];
    let function = all(&enrichment).into_iter().find(|f| f.name() == "url_query").unwrap();
    for url in encodings {
        let key = ColumnarValue::Scalar("a".into());
        let args = ScalarFunctionArgs {
            arg_fields: vec![
                Arc::new(Field::new("url", url.data_type().clone(), true)),
                Arc::new(Field::new("key", DataType::Utf8, false)),
            ],
            args: vec![ColumnarValue::Array(url), key],
            number_rows: 2,
            return_field: Arc::new(Field::new("r", DataType::Utf8, true)),
            config_options: Arc::new(ConfigOptions::default()),
        };
        let result = function.invoke_with_args(args).unwrap().to_array(2).unwrap();
        assert_eq!(result.as_string::<i32>(), &StringArray::from(vec!["x", "y"]));
    }
}

#[test]
fn functions_take_no_rows_and_give_none() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/geoip");
    let geoip = GeoDatabases::open(&[folder.join("made_up_city.mmdb")]).unwrap();
    let enrichment = Arc::new(Enrichment { geoip, ..Enrichment::default() });
    for name in ["geoip", "parse_user_agent"] {
        let function = all(&enrichment).into_iter().find(|f| f.name() == name).unwrap();
        let return_type = function.return_type(&[DataType::Utf8]).unwrap();
        let args = ScalarFunctionArgs {
            args: vec![ColumnarValue::Array(Arc::new(StringArray::from(Vec::<&str>::new())))],
            arg_fields: vec![Arc::new(Field::new("text", DataType::Utf8, true))],
            number_rows: 0,
            return_field: Arc::new(Field::new("r", return_type, true)),
            config_options: Arc::new(ConfigOptions::default()),
        };
        let result = function.invoke_with_args(args).unwrap().to_array(0).unwrap();
        let structs: &StructArray = result.as_struct();
        assert_eq!(structs.len(), 0, "{name}");
    }
}

#[tokio::test]
async fn items_of_sliced_lists_belong_to_their_own_rows() {
    let (engine, _) = engine(Enrichment::default());
    let items = "SELECT _line, array_agg(named_struct('amount', amount, 'category', category)) AS \
        items FROM logs WHERE _line < 3 GROUP BY _line";
    let batches = query(&engine, &format!("{items} ORDER BY _line")).await.unwrap();
    let schema: Arc<Schema> = batches[0].schema();
    let second: Vec<RecordBatch> = batches.iter().map(|batch| batch.slice(1, 1)).collect();
    let table = MemTable::try_new(schema, vec![second]).unwrap();
    engine.register_table("invoices", Arc::new(table)).unwrap();
    let sql = "SELECT invoice_tax(items, DATE '2026-11-21') FROM invoices";
    let batches = query(&engine, sql).await.unwrap();
    assert_eq!(batches[0].column(0).as_primitive::<Int64Type>().values(), &[16]);
}

#[test]
fn every_function_has_its_documentation_under_its_name() {
    let functions = all(&Arc::new(Enrichment::default()));
    let documented = docs();
    assert_eq!(functions.len(), documented.len());
    for (function, doc) in functions.iter().zip(&documented) {
        assert_eq!(function.name(), doc.name);
        assert!(doc.syntax.starts_with(&format!("{}(", doc.name)));
        let kept = function.documentation().unwrap();
        assert_eq!(kept.description, doc.description);
        for related in doc.see_also {
            assert!(documented.iter().any(|other| other.name == *related), "{related}");
        }
        for argument in doc.arguments {
            assert!(doc.syntax.contains(argument.name), "{}: {}", doc.name, argument.name);
        }
    }
    let text = documented[3].to_string();
    assert!(text.starts_with("tax_rate(category, at)\n\n  The rate of Japan's consumption tax"));
    assert!(text.contains(
        "\n  > SELECT tax_rate('standard', TIMESTAMP '2019-09-30T15:00:00Z')\n  0.1000\n"
    ));
    let json = serde_json::to_value(documented[3]).unwrap();
    assert_eq!(json["arguments"][1]["name"], "at");
}

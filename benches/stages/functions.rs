//! Columns → columns: each SQL function, in batches as queries call it.

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ashiato::internals::udf;
use ashiato::internals::{Enrichment, GeoDatabases, Keys};
use criterion::{Criterion, Throughput};
use datafusion::arrow::array::{
    ArrayRef, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF};

use crate::input::{action_log_contract, batches, project_file};

const ROWS: usize = 2048;
/// Batches of random addresses, so that none is met again soon.
const RANDOM_BATCHES: usize = 64;

pub fn bench(criterion: &mut Criterion) {
    let enrichment = Arc::new(enrichment());
    let functions = udf::all(&enrichment);
    for (case, name, calls) in cases() {
        let function = functions.iter().find(|function| function.name() == name);
        let function = function.expect("a function of that name");
        let calls: Vec<Call> =
            calls.into_iter().map(|arrays| Call::new(function, arrays)).collect();
        let rows: usize = calls.iter().map(|call| call.rows).sum();
        let mut group = criterion.benchmark_group("functions");
        group.throughput(Throughput::Elements(rows as u64));
        group.bench_function(case, |bencher| {
            bencher.iter(|| {
                for call in &calls {
                    black_box(call.invoke(function));
                }
            });
        });
        group.finish();
    }
}

fn enrichment() -> Enrichment {
    let databases = ["geo-whois-asn-country-ipv4.mmdb", "iptoasn-country-ipv6.mmdb", "asn.mmdb"];
    let paths = databases.map(|name| project_file("fixtures/geoip").join(name));
    let mut keys = Keys::default();
    keys.insert("visitor", b"a key for benchmarks").expect("a key that is not empty");
    Enrichment {
        geoip: GeoDatabases::open(&paths).expect("the databases are part of the project"),
        keys,
        ..Enrichment::default()
    }
}

/// Batches of arguments: a list of columns each.
type Arguments = Vec<Vec<ArrayRef>>;

/// What is measured: its name, the function, its arguments.
fn cases() -> Vec<(&'static str, &'static str, Arguments)> {
    let logs = batches(action_log_contract());
    let column = |name: &str| -> Arguments {
        let column = |batch: &RecordBatch| batch.column_by_name(name).expect("a column").clone();
        logs.iter().map(|batch| vec![column(batch)]).collect()
    };
    let with_text = |name: &str, text: &str| -> Arguments {
        let mut columns = column(name);
        for arguments in &mut columns {
            arguments.push(Arc::new(StringArray::new_repeated(text, arguments[0].len())));
        }
        columns
    };
    let amount_calls = vec![vec![amounts(), categories(), times()]; 8];
    vec![
        ("consumption_tax", "consumption_tax", amount_calls.clone()),
        ("tax_included", "tax_included", amount_calls.clone()),
        ("tax_excluded", "tax_excluded", amount_calls),
        ("tax_rate", "tax_rate", vec![vec![categories(), times()]; 8]),
        ("invoice_tax", "invoice_tax", vec![vec![invoices(), times()]; 8]),
        ("geoip/repeating", "geoip", column("ip")),
        ("geoip/random_ipv4", "geoip", random_addresses()),
        ("geoip_country/repeating", "geoip_country", column("ip")),
        ("geoip_country/random_ipv4", "geoip_country", random_addresses()),
        ("geoip_asn/repeating", "geoip_asn", column("ip")),
        ("parse_user_agent", "parse_user_agent", column("user_agent")),
        ("url_host", "url_host", column("url")),
        ("url_path", "url_path", column("url")),
        ("url_query", "url_query", with_text("url", "utm_campaign")),
        ("pseudonymize", "pseudonymize", with_text("user_id", "visitor")),
    ]
}

fn amounts() -> ArrayRef {
    Arc::new(Int64Array::from_iter_values((0..ROWS as i64).map(|row| row * 37 + 98)))
}

fn categories() -> ArrayRef {
    let names = ["standard", "reduced", "standard", "exempt"];
    Arc::new(StringArray::from_iter_values((0..ROWS).map(|row| names[row % names.len()])))
}

/// One afternoon, a row a second.
fn times() -> ArrayRef {
    let first = 1_795_233_900_000_000;
    let times = (0..ROWS as i64).map(|row| first + row * 1_000_000);
    Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
}

/// Invoices of four items each.
fn invoices() -> ArrayRef {
    let items = ROWS * 4;
    let amounts: ArrayRef =
        Arc::new(Int64Array::from_iter_values((0..items as i64).map(|item| item * 7 + 98)));
    let names = ["standard", "reduced"];
    let categories: ArrayRef =
        Arc::new(StringArray::from_iter_values((0..items).map(|item| names[item % 2])));
    let field = |name: &str, data_type| Arc::new(Field::new(name, data_type, true));
    let items = StructArray::from(vec![
        (field("amount", DataType::Int64), amounts),
        (field("category", DataType::Utf8), categories),
    ]);
    let element = field("item", datafusion::arrow::array::Array::data_type(&items).clone());
    let offsets = OffsetBuffer::from_lengths(vec![4; ROWS]);
    Arc::new(ListArray::new(element, offsets, Arc::new(items), None))
}

fn random_addresses() -> Arguments {
    let mut random = 1_u64;
    let mut address = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
        Ipv4Addr::from_bits((random >> 32) as u32).to_string()
    };
    let batch = |_| {
        let addresses = StringArray::from_iter_values((0..ROWS).map(|_| address()));
        vec![Arc::new(addresses) as ArrayRef]
    };
    (0..RANDOM_BATCHES).map(batch).collect()
}

/// A function and its arguments, as a plan has them.
struct Call {
    arrays: Vec<ArrayRef>,
    fields: Vec<Arc<Field>>,
    return_field: Arc<Field>,
    config: Arc<ConfigOptions>,
    rows: usize,
}

impl Call {
    fn new(function: &ScalarUDF, arrays: Vec<ArrayRef>) -> Self {
        let field = |array: &ArrayRef| Arc::new(Field::new("", array.data_type().clone(), true));
        let fields: Vec<_> = arrays.iter().map(field).collect();
        let constants = vec![None; fields.len()];
        let arguments = ReturnFieldArgs { arg_fields: &fields, scalar_arguments: &constants };
        let return_field = function.return_field_from_args(arguments).expect("a type");
        let rows = arrays[0].len();
        Call { arrays, fields, return_field, config: Arc::default(), rows }
    }

    fn invoke(&self, function: &ScalarUDF) -> ColumnarValue {
        let arguments = ScalarFunctionArgs {
            args: self.arrays.iter().cloned().map(ColumnarValue::Array).collect(),
            arg_fields: self.fields.clone(),
            number_rows: self.rows,
            return_field: Arc::clone(&self.return_field),
            config_options: Arc::clone(&self.config),
        };
        function.invoke_with_args(arguments).expect("good arguments")
    }
}

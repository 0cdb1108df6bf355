//! Reference tables of texts: files → rows of a contract's making.
//!
//! All columns are text, as it stands, but for those that `types` names. A row is written as a line
//! of JSON and decoded by the same rules as a log's line, so that a fault has its row and column:
//!
//! ```text
//! shops.csv        code,n           types = { n = "int64" }
//!                  0012,7
//! line of JSON     {"code":"0012","n":"7"}
//! row              code: "0012", n: 7
//! ```
//!
//! An empty field of CSV is NULL, quoted or not. Of NDJSON a value that is no text stands as its
//! JSON text: `0.10` stays `0.10`.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use serde_json::Value;

use crate::contract::{
    Column, ColumnType, Contract, DuplicateKeys, JsonPath, Mending, OnInvalidText, OnMismatch,
    UnknownFields,
};
use crate::decode::{Decoder, Lines, Reject};
use crate::json::{DEPTH_LIMIT, JsonKind, read_json};
use crate::pipeline::{Reference, ReferenceFormat};

/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 8192;
/// Faults that are told of one file.
const FAULTS_MAX: usize = 5;

/// What files begin with that are often taken for text.
const NOT_TEXT: [(&[u8], &str); 7] = [
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ", "xz"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
];

/// A file of a table.
pub(crate) struct TableFile {
    /// Its name, as a person would paste it.
    pub location: String,
    pub bytes: Vec<u8>,
}

/// The rows of all files of a table, or what is wrong with them.
pub(crate) fn read_rows(
    reference: &Reference,
    files: &[TableFile],
) -> Result<(SchemaRef, Vec<RecordBatch>), Vec<String>> {
    let tables: Vec<TextTable> = files
        .iter()
        .map(|file| TextTable::read(reference, file))
        .collect::<Result<_, String>>()
        .map_err(|fault| vec![fault])?;
    let columns = column_names(reference, &tables).map_err(|fault| vec![fault])?;
    let contract = Arc::new(contract_of(reference, &columns).map_err(|fault| vec![fault])?);
    let projection: Vec<usize> = (0..columns.len()).collect();
    let mut decoder = Decoder::projected(contract, &projection);
    let mut batches = Vec::new();
    let mut faults = Vec::new();
    for table in &tables {
        let rejects = table.decode(&mut decoder, &mut batches);
        faults.extend(rejects.iter().take(FAULTS_MAX).map(|reject| table.fault(reject)));
        if rejects.len() > FAULTS_MAX {
            faults.push(format!(
                "{}: {} more rows are wrong",
                table.location,
                rejects.len() - FAULTS_MAX
            ));
        }
    }
    if faults.is_empty() { Ok((decoder.schema(), batches)) } else { Err(faults) }
}

/// One file's rows as lines of JSON.
struct TextTable {
    location: String,
    columns: Vec<String>,
    lines: Vec<u8>,
    /// Where each row's line ends.
    ends: Vec<usize>,
}

impl TextTable {
    fn read(reference: &Reference, file: &TableFile) -> Result<Self, String> {
        if let Some((_, format)) = NOT_TEXT.iter().find(|(start, _)| file.bytes.starts_with(start))
        {
            let location = &file.location;
            return Err(format!(
                "{location}: expected text in UTF-8, found {format}: write it as plain text"
            ));
        }
        let bytes = file.bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&file.bytes);
        let mut table = TextTable {
            location: file.location.clone(),
            columns: Vec::new(),
            lines: Vec::new(),
            ends: Vec::new(),
        };
        let read = match reference.format {
            ReferenceFormat::Ndjson => table.read_ndjson(reference, bytes),
            ReferenceFormat::Csv | ReferenceFormat::Parquet => table.read_csv(reference, bytes),
        };
        read.map_err(|fault| format!("{}: {fault}", file.location))?;
        Ok(table)
    }

    fn read_csv(&mut self, reference: &Reference, bytes: &[u8]) -> Result<(), String> {
        let mut reader = csv::ReaderBuilder::new().has_headers(true).from_reader(bytes);
        let header = reader.byte_headers().map_err(|error| csv_fault(&error, &self.columns))?;
        let header = header.clone();
        for (place, name) in header.iter().enumerate() {
            let name = std::str::from_utf8(name)
                .map_err(|_| format!("header, column {}: expected UTF-8", place + 1))?;
            if name.is_empty() || self.columns.iter().any(|known| known == name) {
                let what = if name.is_empty() { "no name" } else { "the name of another one" };
                return Err(format!("header, column {} has {what}", place + 1));
            }
            self.columns.push(name.to_owned());
        }
        if self.columns.is_empty() {
            return Err("expected a header line with the columns' names, found none".to_owned());
        }
        let is_bool: Vec<bool> = self
            .columns
            .iter()
            .map(|name| reference.types.get(name) == Some(&ColumnType::Bool))
            .collect();
        for (row, record) in (1_u64..).zip(reader.byte_records()) {
            let record = record.map_err(|error| csv_fault(&error, &self.columns))?;
            let mut members = Vec::new();
            for ((name, field), is_bool) in self.columns.iter().zip(&record).zip(&is_bool) {
                if field.is_empty() {
                    continue;
                }
                let text = std::str::from_utf8(field)
                    .map_err(|_| format!("row {row}, column `{name}`: expected UTF-8"))?;
                let value = match text.to_ascii_lowercase() {
                    word if *is_bool && (word == "true" || word == "false") => word,
                    _ => Value::from(text).to_string(),
                };
                members.push((name.clone(), value));
            }
            self.add_row(&members);
        }
        Ok(())
    }

    fn read_ndjson(&mut self, reference: &Reference, bytes: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let line =
                1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
            format!("row {line}: expected UTF-8")
        })?;
        for (row, line) in (1_u64..).zip(text.lines()) {
            if line.trim().is_empty() {
                self.add_row(&[]);
                continue;
            }
            let json = read_json(line, DEPTH_LIMIT).map_err(|fault| {
                format!("row {row}: expected {}, found {}", fault.expected, fault.found)
            })?;
            let JsonKind::Object(fields) = json.kind else {
                return Err(format!("row {row}: expected an object"));
            };
            let mut members = Vec::new();
            for field in &fields {
                let name = field.key.as_ref();
                if !self.columns.iter().any(|known| known == name) {
                    self.columns.push(name.to_owned());
                }
                let is_typed = reference.types.contains_key(name);
                members.push((
                    name.to_owned(),
                    match &field.value.kind {
                        JsonKind::Null => continue,
                        JsonKind::String(_) => field.value.raw.to_owned(),
                        _ if is_typed => field.value.raw.to_owned(),
                        _ => Value::from(field.value.raw).to_string(),
                    },
                ));
            }
            self.add_row(&members);
        }
        Ok(())
    }

    fn add_row(&mut self, members: &[(String, String)]) {
        self.lines.push(b'{');
        for (place, (name, value)) in members.iter().enumerate() {
            if place > 0 {
                self.lines.push(b',');
            }
            self.lines.extend_from_slice(Value::from(name.as_str()).to_string().as_bytes());
            self.lines.push(b':');
            self.lines.extend_from_slice(value.as_bytes());
        }
        self.lines.extend_from_slice(b"}\n");
        self.ends.push(self.lines.len());
    }

    fn decode(&self, decoder: &mut Decoder, batches: &mut Vec<RecordBatch>) -> Vec<Reject> {
        let (mut rejects, mut start, mut first_line) = (Vec::new(), 0, 1);
        for rows in self.ends.chunks(BATCH_ROWS) {
            let end = rows[rows.len() - 1];
            let lines = Lines {
                bytes: bytes::Bytes::copy_from_slice(&self.lines[start..end]),
                first_line,
                first_offset: 0,
                count: rows.len() as u64,
            };
            let decoded = decoder.decode(&lines);
            batches.push(decoded.batch);
            rejects.extend(decoded.rejects);
            start = end;
            first_line += rows.len() as u64;
        }
        rejects
    }

    /// What is wrong with a row, with its column.
    fn fault(&self, reject: &Reject) -> String {
        let column = reject.path.as_deref().unwrap_or_default();
        let expected = reject.expected.replace(", also in a string", "");
        let found = &reject.found;
        format!(
            "{}: row {}, column `{column}`: expected {expected}, found {found}",
            self.location, reject.line
        )
    }
}

fn csv_fault(error: &csv::Error, columns: &[String]) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, len, .. } => {
            let row = pos.as_ref().map_or(0, csv::Position::record);
            let expected = columns.len();
            format!("row {row}: expected {expected} fields, as the header has, found {len}")
        }
        _ => error.to_string(),
    }
}

/// The columns of all files; CSV has the same ones in each, NDJSON those that any row has.
fn column_names(reference: &Reference, tables: &[TextTable]) -> Result<Vec<String>, String> {
    let mut columns: Vec<String> = Vec::new();
    for (place, table) in tables.iter().enumerate() {
        let unknown = table.columns.iter().filter(|name| !columns.contains(name));
        let unknown: Vec<String> = unknown.cloned().collect();
        let is_csv = reference.format == ReferenceFormat::Csv;
        let differs = !unknown.is_empty() || table.columns.len() != columns.len();
        if is_csv && place > 0 && differs {
            let first = &tables[0].location;
            return Err(format!("{}: expected the columns of {first}", table.location));
        }
        columns.extend(unknown);
    }
    for name in reference.types.keys() {
        if columns.contains(name) {
            continue;
        }
        if reference.format == ReferenceFormat::Csv {
            let known = crate::base::config::suggestion(name, columns.iter().map(String::as_str));
            return Err(format!("`types` names a column `{name}` that is not there; {known}"));
        }
        columns.push(name.clone());
    }
    Ok(columns)
}

fn contract_of(reference: &Reference, columns: &[String]) -> Result<Contract, String> {
    let mut folded: BTreeMap<String, &String> = BTreeMap::new();
    for name in columns {
        if let Some(other) = folded.insert(name.to_lowercase(), name) {
            return Err(format!("columns `{other}` and `{name}` differ by case only"));
        }
    }
    let column = |name: &String| {
        let column_type = reference.types.get(name).cloned().unwrap_or(ColumnType::String);
        Column {
            name: name.clone(),
            paths: vec![JsonPath(vec![name.clone()])],
            number_in_string: column_type.may_be_number(),
            column_type,
            required: false,
            default: None,
            on_mismatch: OnMismatch::Reject,
            mending: Mending::default(),
        }
    };
    Ok(Contract {
        columns: columns.iter().map(column).collect(),
        unknown_fields: UnknownFields::Ignore,
        duplicate_keys: DuplicateKeys::Last,
        depth_max: DEPTH_LIMIT,
        line_bytes_max: usize::MAX,
        on_invalid_text: OnInvalidText::Reject,
    })
}

//! The reference decoder: each line through all the steps.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::{ArrayRef, Int64Builder, RecordBatch, StringBuilder};
use datafusion::arrow::datatypes::SchemaRef;

use super::builder::ColumnBuilder;
use super::duplicates::settle_duplicates;
use super::invalid_text::{SoundText, sound_text};
use super::unknown::{KnownFields, count_unknown_field};
use crate::contract::{
    ColumnReader, Contract, Mend, MendKind, Mends, Misfit, MisfitReason, OnInvalidText,
    UnknownFields, Value,
};
use crate::decode::line::{is_blank, split_lines};
use crate::decode::{
    Decoded, DroppedItem, Lines, Mended, NO_COLUMN, Reject, RejectReason, count_mended,
};
use crate::json::{JsonFault, JsonFaultKind, JsonKind, Member, excerpt, read_json};

/// Decodes lines by one contract, slowly: what the fast [`crate::decode::Decoder`] must agree with,
/// and what it hands the lines to that it cannot prove to be good.
#[derive(Debug)]
pub struct ReferenceDecoder {
    contract: Arc<Contract>,
    schema: SchemaRef,
    columns: Vec<ColumnReader>,
    known: KnownFields,
}

/// Why a line is no row, before it is known which line.
pub(in crate::decode) struct DecodeFault {
    reason: RejectReason,
    path: Option<String>,
    expected: String,
    found: String,
}

/// Where a line stands in its object.
#[derive(Debug, Clone, Copy)]
pub(in crate::decode) struct LinePlace {
    /// Its number, from 1.
    pub line: u64,
    /// The offset of its first byte.
    pub offset: u64,
}

/// What was found in lines that are rows.
#[derive(Debug, Default)]
pub(in crate::decode) struct Findings {
    pub unknown_fields: BTreeMap<String, u64>,
    pub mended: Mended,
    pub dropped_items: Vec<DroppedItem>,
}

impl Findings {
    /// Adds what was mended in a line that is a row.
    fn add_mends(&mut self, mends: Mends, place: LinePlace) {
        for Mend { column, kind, dropped } in mends.into_vec() {
            count_mended(&mut self.mended, &column, kind, 1);
            if let Some(dropped) = dropped {
                let reject =
                    DecodeFault::of_misfit(dropped.misfit).of_line(place, dropped.raw.into());
                self.dropped_items.push(DroppedItem { item: dropped.item, reject });
            }
        }
    }

    /// All that came of some lines.
    pub(in crate::decode) fn into_decoded(
        self,
        batch: RecordBatch,
        rejects: Vec<Reject>,
        blank: u64,
    ) -> Decoded {
        let Findings { unknown_fields, mended, dropped_items } = self;
        Decoded { batch, rejects, blank, unknown_fields, mended, dropped_items }
    }
}

/// What comes of a line that is a row, but for its place.
pub(in crate::decode) struct Row<'t> {
    /// A value for each of the contract's columns.
    pub values: Vec<Value<'t>>,
    /// The text of the column that collects unknown fields.
    pub collected: Option<String>,
}

impl ReferenceDecoder {
    /// Makes the contract ready; it is one that [`crate::contract::parse_contract`] would give out.
    pub fn new(contract: Arc<Contract>) -> Self {
        ReferenceDecoder {
            schema: contract.arrow_schema(),
            columns: contract.columns.iter().map(ColumnReader::new).collect(),
            known: KnownFields::new(&contract.columns),
            contract,
        }
    }

    /// The schema of every batch, [`Contract::arrow_schema`].
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Decodes some lines; never fails, for each line ends as a row, a reject or blank.
    ///
    /// The batch and the rejects are in the lines' order. A batch's texts have 32-bit offsets, so
    /// a block of lines should have some MiB beyond its longest line, not GiB.
    pub fn decode(&mut self, lines: &Lines) -> Decoded {
        let mut rows = Rows::new(&self.contract);
        let mut rejects = Vec::new();
        let mut blank = 0;
        let mut findings = Findings::default();
        for line in split_lines(&lines.bytes) {
            let number = lines.first_line + line.index;
            let offset = lines.first_offset + line.range.start as u64;
            let raw = &lines.bytes[line.range.clone()];
            if is_blank(raw) {
                blank += 1;
                continue;
            }
            let place = LinePlace { line: number, offset };
            let append = &mut |row: Row<'_>| rows.append(&row, number, offset);
            if let Err(fault) = self.decode_line(raw, place, &mut findings, append) {
                rejects.push(fault.of_line(place, lines.bytes.slice(line.range)));
            }
        }
        findings.into_decoded(rows.finish(self.schema()), rejects, blank)
    }

    /// Takes one line through the steps; a row goes to `append`.
    pub(in crate::decode) fn decode_line(
        &self,
        raw: &[u8],
        place: LinePlace,
        findings: &mut Findings,
        append: &mut dyn FnMut(Row<'_>),
    ) -> Result<(), DecodeFault> {
        let decoded = match std::str::from_utf8(raw) {
            Ok(text) => self.decode_text(text, &[], place, findings, append),
            Err(error) => Err(invalid_utf8(raw, &error)),
        };
        match decoded {
            Err(DecodeFault {
                reason: RejectReason::InvalidUtf8 | RejectReason::LoneSurrogate,
                ..
            }) if self.contract.on_invalid_text == OnInvalidText::Replace => {
                let SoundText { text, replaced } = sound_text(raw);
                self.decode_text(&text, &replaced, place, findings, append)
            }
            decoded => decoded,
        }
    }

    /// The same for a line that is UTF-8; `replaced` says where in it something was mended.
    fn decode_text(
        &self,
        text: &str,
        replaced: &[usize],
        place: LinePlace,
        findings: &mut Findings,
        append: &mut dyn FnMut(Row<'_>),
    ) -> Result<(), DecodeFault> {
        let depth_max = self.contract.depth_max;
        let json =
            read_json(text, depth_max).map_err(|fault| DecodeFault::of_json(fault, depth_max))?;
        let JsonKind::Object(mut members) = json.kind else {
            return Err(DecodeFault {
                reason: RejectReason::NotAnObject,
                path: None,
                expected: "an object".to_owned(),
                found: excerpt(json.raw).into_owned(),
            });
        };
        settle_duplicates(&mut members, self.contract.duplicate_keys).map_err(|duplicate| {
            DecodeFault {
                reason: RejectReason::DuplicateKey,
                path: Some(excerpt(&duplicate.path).into_owned()),
                expected: "each key once in an object".to_owned(),
                found: "the key twice".to_owned(),
            }
        })?;
        let mut mends = Mends::default();
        let values: Result<Vec<Value<'_>>, Misfit> =
            self.columns.iter().map(|column| column.take(&members, &mut mends)).collect();
        let values = values.map_err(DecodeFault::of_misfit)?;
        let collected = self.settle_unknown(&members, &mut findings.unknown_fields)?;
        if !replaced.is_empty() {
            self.count_replaced(text, replaced, &members, findings);
        }
        findings.add_mends(mends, place);
        append(Row { values, collected });
        Ok(())
    }

    /// Counts the values within which something was replaced.
    fn count_replaced(
        &self,
        text: &str,
        replaced: &[usize],
        members: &[Member<'_>],
        findings: &mut Findings,
    ) {
        let kind = MendKind::InvalidTextReplaced;
        let mut elsewhere = replaced.to_vec();
        for column in &self.columns {
            let Some((_, json)) = column.find(members) else { continue };
            // Each value's text is a part of the line's.
            let start = json.raw.as_ptr() as usize - text.as_ptr() as usize;
            let value = start..start + json.raw.len();
            if replaced.iter().any(|at| value.contains(at)) {
                count_mended(&mut findings.mended, &column.column().name, kind, 1);
                elsewhere.retain(|at| !value.contains(at));
            }
        }
        if !elsewhere.is_empty() {
            count_mended(&mut findings.mended, NO_COLUMN, kind, 1);
        }
    }

    /// Counts the unknown fields of a record and collects them, if the contract wants that.
    fn settle_unknown(
        &self,
        members: &[Member<'_>],
        counts: &mut BTreeMap<String, u64>,
    ) -> Result<Option<String>, DecodeFault> {
        let mut path = String::new();
        let mut collected: Option<String> = None;
        let mut first: Option<DecodeFault> = None;
        self.known.visit_unknown(members, &mut |field| match &self.contract.unknown_fields {
            UnknownFields::Reject => {
                first.get_or_insert_with(|| {
                    field.write_exact_path(&mut path);
                    DecodeFault {
                        reason: RejectReason::UnknownField,
                        path: Some(excerpt(&path).into_owned()),
                        expected: "no field but the contract's".to_owned(),
                        found: excerpt(field.value.raw).into_owned(),
                    }
                });
            }
            policy => {
                field.write_counted_path(&mut path);
                count_unknown_field(counts, &path, 1);
                if let UnknownFields::Collect(_) = policy {
                    field.write_exact_path(&mut path);
                    add_member(&mut collected, &path, field.value.raw);
                }
            }
        });
        match first {
            Some(fault) => Err(fault),
            None => Ok(collected.map(|text| text + "}")),
        }
    }
}

/// Adds `"key":value` to the text of an object that is not closed yet.
fn add_member(object: &mut Option<String>, key: &str, value: &str) {
    let object = match object {
        None => object.insert("{".to_owned()),
        Some(object) => {
            object.push(',');
            object
        }
    };
    object.push_str(&serde_json::Value::from(key).to_string());
    object.push(':');
    object.push_str(value);
}

fn invalid_utf8(raw: &[u8], error: &std::str::Utf8Error) -> DecodeFault {
    let at = error.valid_up_to();
    DecodeFault {
        reason: RejectReason::InvalidUtf8,
        path: None,
        expected: "UTF-8".to_owned(),
        found: match raw.get(at) {
            Some(byte) => format!("0x{byte:02x} at byte {at}"),
            None => format!("the end of the line at byte {at}"),
        },
    }
}

impl DecodeFault {
    fn of_json(fault: JsonFault, depth_max: usize) -> Self {
        let (reason, expected) = match fault.kind {
            JsonFaultKind::Invalid => (RejectReason::InvalidJson, fault.expected.to_owned()),
            JsonFaultKind::LoneSurrogate => {
                (RejectReason::LoneSurrogate, fault.expected.to_owned())
            }
            JsonFaultKind::TooDeep => {
                let expected = format!("at most {depth_max} levels of objects and arrays");
                (RejectReason::TooDeep, expected)
            }
        };
        DecodeFault { reason, path: None, expected, found: fault.found }
    }

    fn of_misfit(misfit: Misfit) -> Self {
        let reason = match misfit.reason {
            MisfitReason::MissingRequired => RejectReason::MissingRequired,
            MisfitReason::TypeMismatch => RejectReason::TypeMismatch,
            MisfitReason::OutOfRange => RejectReason::OutOfRange,
            MisfitReason::InvalidTimestamp => RejectReason::InvalidTimestamp,
            MisfitReason::NulCharacter => RejectReason::NulCharacter,
        };
        let Misfit { path, expected, found, .. } = misfit;
        DecodeFault { reason, path: Some(path), expected, found }
    }

    /// The reject of a line, or of a part of it, with this text.
    pub(in crate::decode) fn of_line(self, place: LinePlace, raw: Bytes) -> Reject {
        let DecodeFault { reason, path, expected, found } = self;
        let LinePlace { line, offset } = place;
        Reject { reason, path, expected, found, line, offset, raw, bytes_omitted: 0 }
    }
}

/// The batch in the making; a row goes in whole, after nothing can reject it any more.
struct Rows {
    columns: Vec<ColumnBuilder>,
    collected: Option<StringBuilder>,
    lines: Int64Builder,
    offsets: Int64Builder,
}

impl Rows {
    fn new(contract: &Contract) -> Self {
        let collects = matches!(contract.unknown_fields, UnknownFields::Collect(_));
        Rows {
            columns: contract.columns.iter().map(|c| ColumnBuilder::new(&c.column_type)).collect(),
            collected: collects.then(StringBuilder::new),
            lines: Int64Builder::new(),
            offsets: Int64Builder::new(),
        }
    }

    fn append(&mut self, row: &Row<'_>, line: u64, offset: u64) {
        for (column, value) in self.columns.iter_mut().zip(&row.values) {
            column.append(value);
        }
        if let Some(collected) = &mut self.collected {
            collected.append_option(row.collected.as_deref());
        }
        self.lines.append_value(saturating_i64(line));
        self.offsets.append_value(saturating_i64(offset));
    }

    fn finish(mut self, schema: SchemaRef) -> RecordBatch {
        let mut arrays: Vec<ArrayRef> =
            self.columns.into_iter().map(ColumnBuilder::finish).collect();
        arrays.extend(self.collected.map(|mut builder| Arc::new(builder.finish()) as ArrayRef));
        arrays.push(Arc::new(self.lines.finish()));
        arrays.push(Arc::new(self.offsets.finish()));
        // The schema and the builders are made of the same columns, each row has a value for each
        // of them, and a required column's reader gives no NULL.
        RecordBatch::try_new(schema, arrays).expect("arrays fit the contract's schema")
    }
}

/// Objects have fewer than 2^63 bytes and so fewer lines.
fn saturating_i64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "decoder_tests.rs"]
mod tests;

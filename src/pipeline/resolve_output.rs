//! `[[output]]`: a view, its tables and what must hold of its rows.

use toml_span::Spanned;

use super::exclusive_keys::{
    refuse_expectations_of_one_name, refuse_options_without_format, refuse_repeated,
};
use super::words::is_word;
use super::{
    Expectation, Format, OnFail, OnSchemaChange, Output, ParquetCompression, ParquetOptions,
    ParquetTarget, Table, TsvCompression, TsvOptions,
};
use crate::base::config::line_and_column;
use crate::base::config::section::{Findings, Section};
use crate::base::interval::Grain;

/// Reads one `[[output]]`.
pub(super) fn resolve_output(
    section: &mut Section<'_>,
    found: &mut Findings<'_>,
) -> Option<Output> {
    let name = section.required_text("name");
    let view = section.text("view");
    let location = section.required_text("location");
    let formats = section.texts("formats");
    let mut columns = |key: &'static str, found: &mut Findings<'_>| {
        let list = section.texts(key);
        refuse_repeated(key, &list, found);
        list.into_iter().map(|text| text.value).collect::<Vec<_>>()
    };
    let partition_by = columns("partition_by", found);
    let sort_by = columns("sort_by", found);
    let exclude = columns("exclude", found);
    let keep_partition_columns = section.truth("keep_partition_columns", false, found);
    let mut grains = vec![("none", None)];
    grains.extend(Grain::ALL.map(|grain| (grain.name(), Some(grain))));
    let grain = section.choice("grain", &grains, found);
    let policies = [OnSchemaChange::AllowAdded, OnSchemaChange::Freeze, OnSchemaChange::Any];
    let policies = policies.map(|policy| (policy.name(), policy));
    let on_schema_change = section.choice("on_schema_change", &policies, found);
    let parquet = section.section("parquet", found, resolve_parquet);
    let tsv = section.section("tsv", found, resolve_tsv);
    let options = [("parquet", parquet.is_some()), ("tsv", tsv.is_some())];
    let (parquet, tsv) = (parquet.unwrap_or_default(), tsv.unwrap_or_default());
    let expectations = section.sections("expectation", found, resolve_expectation);
    refuse_expectations_of_one_name(&expectations, found);
    let (name, location) = (name?, location?);
    if !is_word(&name.value) {
        let message = format!("output `{}`: expected letters, digits, `_` and `-`", name.value);
        found.at(name.span, message);
    }
    let formats = resolve_formats(section, formats, &parquet, &tsv, found);
    refuse_options_without_format(options, &formats, section.span, found);
    let has_parquet = formats.iter().any(|format| matches!(format, Format::Parquet(_)));
    if keep_partition_columns && (!has_parquet || partition_by.is_empty()) {
        let message = "`keep_partition_columns` is for Parquet tables with `partition_by`";
        found.at(section.span, message);
    }
    Some(Output {
        view: view.map_or_else(|| name.value.clone(), |view| view.value),
        name: name.value,
        tables: tables_at(&location.value, formats),
        partition_by,
        keep_partition_columns,
        sort_by,
        exclude,
        grain,
        on_schema_change,
        expectations,
        place: line_and_column(&found.file.text, section.span.start),
    })
}

fn resolve_formats(
    section: &Section<'_>,
    names: Vec<Spanned<String>>,
    parquet: &ParquetOptions,
    tsv: &TsvOptions,
    found: &mut Findings<'_>,
) -> Vec<Format> {
    let mut formats: Vec<Format> = Vec::new();
    for name in &names {
        let format = match name.value.as_str() {
            "parquet" => Format::Parquet(parquet.clone()),
            "tsv" => Format::Tsv(tsv.clone()),
            _ => {
                found.unknown("format", name, &["parquet", "tsv"]);
                continue;
            }
        };
        if formats.iter().any(|known| known.name() == format.name()) {
            found.at(name.span, format!("format `{}` is named twice", name.value));
        } else {
            formats.push(format);
        }
    }
    if names.is_empty() {
        found.at(section.span, "missing `formats`: expected `parquet`, `tsv` or both");
    }
    formats
}

/// One format lies at the location itself, several each in a folder of its name.
fn tables_at(location: &str, formats: Vec<Format>) -> Vec<Table> {
    let several = formats.len() > 1;
    let at = |format: &Format| match several {
        true => format!("{}/{}", location.trim_end_matches('/'), format.name()),
        false => location.to_owned(),
    };
    formats.into_iter().map(|format| Table { location: at(&format), format }).collect()
}

fn resolve_parquet(section: &mut Section<'_>, found: &mut Findings<'_>) -> Option<ParquetOptions> {
    let default = ParquetOptions::default();
    let targets = [
        ("spark", ParquetTarget::Spark),
        ("trino", ParquetTarget::Trino),
        ("duckdb", ParquetTarget::DuckDb),
        ("hive3", ParquetTarget::Hive3),
        ("hive2", ParquetTarget::Hive2),
    ];
    let target = section.choice("target", &targets, found);
    let compression = match section.text("compression") {
        None => default.compression,
        Some(text) => parquet_compression(&text.value).unwrap_or_else(|| {
            let message = format!(
                "unknown compression `{}`: expected `zstd`, `zstd(1)` to `zstd(22)`, `snappy` or \
                 `none`",
                text.value
            );
            found.at(text.span, message);
            default.compression
        }),
    };
    let row_group_bytes_target =
        section.byte_size("row_group_size", found).unwrap_or(default.row_group_bytes_target);
    let file_bytes_target =
        section.byte_size("file_size", found).unwrap_or(default.file_bytes_target);
    Some(ParquetOptions { target, compression, row_group_bytes_target, file_bytes_target })
}

fn parquet_compression(text: &str) -> Option<ParquetCompression> {
    match text {
        "none" => Some(ParquetCompression::Uncompressed),
        "snappy" => Some(ParquetCompression::Snappy),
        "zstd" => Some(ParquetCompression::Zstd(1)),
        _ => {
            let level = text.strip_prefix("zstd(")?.strip_suffix(')')?.parse().ok()?;
            (1..=22).contains(&level).then_some(ParquetCompression::Zstd(level))
        }
    }
}

fn resolve_tsv(section: &mut Section<'_>, found: &mut Findings<'_>) -> Option<TsvOptions> {
    let compressions = [
        ("gzip", TsvCompression::Gzip),
        ("bzip2", TsvCompression::Bzip2),
        ("none", TsvCompression::Uncompressed),
    ];
    let compression = section.choice("compression", &compressions, found);
    let default = TsvOptions::default().file_bytes_target;
    let file_bytes_target = section.byte_size("file_size", found).unwrap_or(default);
    Some(TsvOptions { compression, file_bytes_target })
}

fn resolve_expectation(section: &mut Section<'_>, found: &mut Findings<'_>) -> Option<Expectation> {
    let name = section.required_text("name");
    let predicate = section.required_text("predicate");
    let choices = [("reject", OnFail::Reject), ("warn", OnFail::Warn), ("fail", OnFail::Fail)];
    let on_fail = section.choice("on_fail", &choices, found);
    let predicate = predicate?;
    let place = line_and_column(&found.file.text, predicate.span.start);
    Some(Expectation { name: name?.value, predicate: predicate.value, on_fail, place })
}

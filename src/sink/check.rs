//! What a table cannot hold, said before any row is read.

use datafusion::arrow::datatypes::{DataType, Field, Schema};

use crate::base::config::suggestion;
use crate::pipeline::{Format, Output};
use crate::sink::hive_names::check_hive_names;
use crate::sink::hive_path::{can_partition, escaped_bytes};
use crate::sink::parquet_schema::{has_inner_timestamp, is_hive};
use crate::sink::stored::stored_type;
use crate::sink::tsv;

/// Bytes of an escaped partition column's name: Hive's metastore holds no more, and what is left of
/// a directory's name is enough for any number or date.
const PARTITION_COLUMN_BYTES_MAX: usize = 128;

/// All that stands against writing rows of `schema` (the view's, with all of its columns) as
/// `output` says, a sentence each; empty if nothing does.
///
/// Checked are: that excluded and partition columns are there and that a column is left for the
/// files; that partition columns' names can begin a directory's; that no two columns differ in
/// case only (Hive and Spark could not tell them apart); that each type can be stored, and in each
/// format that the output names; that Hive's SerDe takes the names of what is written for it.
pub fn check_output(output: &Output, schema: &Schema) -> Vec<String> {
    let mut problems = check_columns(output, schema);
    let written = schema.fields().iter().filter(|field| !output.exclude.contains(field.name()));
    let mut fields_in_files = Vec::new();
    let mut all_written = Vec::new();
    for field in written {
        all_written.push(field.clone());
        let name = field.name();
        match stored_type(field.data_type()) {
            Err(problem) => problems.push(format!("column `{name}`: {problem}")),
            Ok(stored) if output.partition_by.contains(name) => {
                problems.extend(check_partition_column(name, &stored));
            }
            Ok(_) => fields_in_files.push(field.clone()),
        }
    }
    let in_files = Schema::new(fields_in_files);
    for table in &output.tables {
        match &table.format {
            Format::Tsv(_) => problems.extend(check_tsv_schema(&in_files)),
            Format::Parquet(options) if is_hive(options.target) => {
                problems.extend(check_hive_timestamps(&in_files));
                problems.extend(check_hive_names(&all_written));
            }
            Format::Parquet(_) => {}
        }
    }
    problems.dedup();
    problems
}

/// The columns of `schema` that TSV has no form for, a sentence each.
pub fn check_tsv_schema(schema: &Schema) -> Vec<String> {
    let refused =
        schema.fields().iter().filter_map(|field| {
            let stored = stored_type(field.data_type()).ok()?;
            (!tsv::can_encode(&stored)).then(|| {
            let advice = match stored {
                DataType::Binary => "encode it with encode(…, 'base64')",
                _ => "write a row an element (unnest), pick its fields, or leave the column to a \
                      Parquet table",
            };
            let name = field.name();
            format!("column `{name}`: TSV has no form for {}; {advice}", field.data_type())
        })
        });
    refused.collect()
}

fn check_columns(output: &Output, schema: &Schema) -> Vec<String> {
    let mut problems = Vec::new();
    let named = [("exclude", &output.exclude), ("partition_by", &output.partition_by)];
    for (key, columns) in named.into_iter().chain([("sort_by", &output.sort_by)]) {
        for column in columns.iter().filter(|column| schema.index_of(column).is_err()) {
            let (view, known) = (&output.view, schema.fields().iter().map(|f| f.name().as_str()));
            let help = suggestion(column, known);
            problems.push(format!("`{key}`: view `{view}` has no column `{column}`; {help}"));
        }
    }
    for column in output.partition_by.iter().filter(|column| output.exclude.contains(column)) {
        problems.push(format!("column `{column}` is in both `partition_by` and `exclude`"));
    }
    let names: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .filter(|name| !output.exclude.iter().any(|excluded| excluded == name))
        .collect();
    for (i, name) in names.iter().enumerate() {
        let lower = name.to_lowercase();
        if let Some(twin) = names[..i].iter().find(|earlier| earlier.to_lowercase() == lower) {
            problems.push(format!(
                "columns `{twin}` and `{name}` differ in case only, and Hive and Spark cannot tell \
                 them apart; rename one with AS"
            ));
        }
    }
    let written = schema.fields().iter().filter(|field| names.contains(&field.name().as_str()));
    // An empty name of a partition column is told with those that readers pass over.
    let written = written
        .filter(|field| !(field.name().is_empty() && output.partition_by.contains(field.name())));
    problems.extend(written.filter_map(|field| unfit_name(field.name(), field)));
    if names.iter().all(|name| output.partition_by.iter().any(|column| column == name)) {
        problems.push(format!(
            "view `{}` has no column left for the files: all are in `partition_by` or `exclude`",
            output.view
        ));
    }
    problems
}

/// What of a column's name, or of the names of fields within it, no table can have.
fn unfit_name(column: &str, field: &Field) -> Option<String> {
    let name = field.name();
    let advice = "rename it with AS in the view, or in named_struct";
    if name.is_empty() {
        return Some(format!("column `{column}`: a name without a character; {advice}"));
    }
    if name.contains(char::is_control) {
        return Some(format!(
            "column {column:?}: a control character in the name {name:?}; {advice}"
        ));
    }
    unfit_names_within(column, field.data_type())
}

fn unfit_names_within(column: &str, data_type: &DataType) -> Option<String> {
    use DataType as T;
    match data_type {
        T::List(item) | T::LargeList(item) | T::FixedSizeList(item, _) => {
            unfit_names_within(column, item.data_type())
        }
        T::Map(entries, _) => match entries.data_type() {
            T::Struct(pair) => {
                pair.iter().find_map(|field| unfit_names_within(column, field.data_type()))
            }
            _ => None,
        },
        T::Struct(fields) => {
            let mut seen: Vec<(String, &str)> = Vec::new();
            for field in fields {
                let lower = field.name().to_lowercase();
                if let Some((_, twin)) = seen.iter().find(|(earlier, _)| *earlier == lower) {
                    let name = field.name();
                    return Some(format!(
                        "column `{column}`: its fields `{twin}` and `{name}` differ in case only, \
                         and Hive and Spark cannot tell them apart; rename one in named_struct"
                    ));
                }
                seen.push((lower, field.name()));
            }
            fields.iter().find_map(|field| unfit_name(column, field))
        }
        _ => None,
    }
}

fn check_partition_column(column: &str, stored: &DataType) -> Option<String> {
    if column.is_empty() || column.starts_with(['_', '.']) {
        return Some(format!(
            "column `{column}`: readers pass over directories whose names begin with `_`, `.` or \
             nothing, as those of this partition column would; rename it with AS in the view"
        ));
    }
    let name_bytes = escaped_bytes(column);
    if name_bytes > PARTITION_COLUMN_BYTES_MAX {
        return Some(format!(
            "column `{column}`: expected a partition column's name of at most \
             {PARTITION_COLUMN_BYTES_MAX} bytes, found {name_bytes} (an escaped character counts \
             as three); rename it with AS in the view"
        ));
    }
    (!can_partition(stored)).then(|| {
        format!(
            "column `{column}`: a value of type {stored} cannot name a directory; cast it to an \
             integer, a decimal, a date or VARCHAR in the view"
        )
    })
}

fn check_hive_timestamps(schema: &Schema) -> Vec<String> {
    let refused = schema.fields().iter().filter_map(|field| {
        let stored = stored_type(field.data_type()).ok()?;
        has_inner_timestamp(&stored).then(|| {
            format!(
                "column `{}`: a timestamp inside of {} cannot be written for Hive, which reads \
                 INT96 only; cast it to VARCHAR, make it a column of its own, or choose another \
                 `target`",
                field.name(),
                field.data_type(),
            )
        })
    });
    refused.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::datatypes::{Field, TimeUnit};

    use super::*;
    use crate::pipeline::{ParquetOptions, ParquetTarget, Table, TsvOptions};

    fn output(formats: Vec<Format>) -> Output {
        let table = |format: Format| Table { location: format.name().into(), format };
        Output {
            name: "events".into(),
            view: "events".into(),
            tables: formats.into_iter().map(table).collect(),
            partition_by: vec!["dt".into()],
            keep_partition_columns: false,
            sort_by: vec![],
            exclude: vec!["_line".into()],
            grain: None,
            on_schema_change: Default::default(),
            expectations: vec![],
            place: (1, 1),
        }
    }

    fn schema(fields: Vec<(&str, DataType)>) -> Schema {
        let fixed = [("dt", DataType::Date32), ("_line", DataType::Int64)];
        let fields = fixed.into_iter().chain(fields);
        Schema::new(fields.map(|(name, t)| Field::new(name, t, true)).collect::<Vec<_>>())
    }

    fn list_of(item: DataType) -> DataType {
        DataType::List(Arc::new(Field::new("item", item, true)))
    }

    fn hive() -> Format {
        let options = ParquetOptions { target: ParquetTarget::Hive2, ..Default::default() };
        Format::Parquet(options)
    }

    #[test]
    fn a_sound_output_has_no_problems() {
        let fields = vec![("x", DataType::Utf8View), ("y", list_of(DataType::Int64))];
        let output = output(vec![Format::Parquet(ParquetOptions::default()), hive()]);
        assert_eq!(check_output(&output, &schema(fields)), Vec::<String>::new());
    }

    #[test]
    fn names_that_no_table_can_have_are_refused() {
        let of = |names: [&str; 2]| {
            let fields: Vec<Field> =
                names.iter().map(|name| Field::new(*name, DataType::Int64, true)).collect();
            DataType::Struct(fields.into())
        };
        let plain = output(vec![Format::Parquet(ParquetOptions::default())]);
        for (name, data_type, words) in [
            ("", DataType::Int64, "without a character"),
            ("a\nb", DataType::Int64, "control character"),
            ("s", of(["a", "A"]), "`a` and `A` differ in case only"),
            ("s", list_of(list_of(of(["a", "A"]))), "differ in case only"),
            ("s", list_of(of(["a", "b\0"])), "control character"),
            ("s", of(["a", ""]), "without a character"),
        ] {
            let problems = check_output(&plain, &schema(vec![(name, data_type)]));
            assert_eq!(problems.len(), 1, "{name:?}: {problems:?}");
            assert!(problems[0].contains(words), "{problems:?}");
        }
        let sound = schema(vec![("a b", DataType::Int64), ("日", list_of(of(["a", "b"])))]);
        assert_eq!(check_output(&plain, &sound), Vec::<String>::new());
    }

    #[test]
    fn all_problems_are_found_at_once() {
        let mut output = output(vec![Format::Tsv(TsvOptions::default()), hive()]);
        output.partition_by.push("ratio".into());
        output.partition_by.push("gone".into());
        let timestamp = DataType::Timestamp(TimeUnit::Microsecond, None);
        let problems = check_output(
            &output,
            &schema(vec![
                ("ratio", DataType::Float64),
                (
                    "items",
                    list_of(DataType::Struct(vec![Field::new("at", timestamp, true)].into())),
                ),
                ("raw", DataType::Binary),
                ("RAW", DataType::Utf8),
                ("t", DataType::Time64(TimeUnit::Microsecond)),
            ]),
        );
        let expected = [
            "`partition_by`: view `events` has no column `gone`",
            "columns `raw` and `RAW` differ in case only",
            "column `ratio`: a value of type Float64 cannot name a directory",
            "column `t`: a time of day",
            "column `items`: TSV has no form",
            "column `raw`: TSV has no form for Binary; encode",
            "column `items`: a timestamp inside",
        ];
        assert_eq!(problems.len(), expected.len(), "{problems:#?}");
        for (problem, expected) in problems.iter().zip(expected) {
            assert!(problem.starts_with(expected), "{problem}");
        }
    }

    #[test]
    fn partition_columns_whose_directories_readers_would_not_see_are_refused() {
        let mut output = output(vec![Format::Parquet(ParquetOptions::default())]);
        let long = "本".repeat(43);
        let names = ["_dt", ".dt", "", &long, "service"];
        output.partition_by = names.map(str::to_owned).to_vec();
        let fields = names.map(|name| (name, DataType::Utf8));
        let problems = check_output(
            &output,
            &schema(fields.into_iter().chain([("id", DataType::Int64)]).collect()),
        );
        assert_eq!(problems.len(), 4, "{problems:#?}");
        assert!(problems[..3].iter().all(|problem| problem.contains("readers pass over")));
        assert!(problems[3].contains("at most 128 bytes, found 129"), "{}", problems[3]);
    }

    #[test]
    fn an_output_without_a_column_for_its_files_is_refused() {
        let problems = check_output(&output(vec![hive()]), &schema(vec![]));
        assert_eq!(problems.len(), 1);
        assert!(problems[0].contains("no column left"), "{}", problems[0]);
    }
}

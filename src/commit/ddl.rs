//! A published table's definition, in the dialect that Hive and Spark share.
//!
//! ```text
//! CREATE EXTERNAL TABLE IF NOT EXISTS `sales` (…) … LOCATION 'file:///out/sales';
//! ALTER TABLE `sales` ADD IF NOT EXISTS
//!   PARTITION (`dt` = '2026-11-21', `shop` = 'a/b') LOCATION 'file:///out/sales/dt=…/shop=a%2Fb';
//! ALTER TABLE `sales` ADD COLUMNS (`note` STRING) CASCADE;      a script of its own
//! ```
//!
//! Partitions are added by name: `MSCK REPAIR TABLE` lists the whole table, and Hive's refuses
//! names that need escaping.

use std::collections::BTreeSet;

use datafusion::arrow::datatypes::{DataType, FieldRef, Schema};

use crate::base::error::{Error, Result};
use crate::pipeline::Format;
use crate::sink::{DEFAULT_PARTITION, parse_hive_path, stored_type};

/// Partitions of one statement: the metastore takes them in one call.
const PARTITIONS_MAX: usize = 100;

/// A table to define.
#[derive(Debug, Clone)]
pub struct TableDefinition<'a> {
    /// The table's name.
    pub name: &'a str,
    /// The view's columns without its excluded ones.
    pub schema: &'a Schema,
    /// Columns that are directories, outermost first.
    pub partition_by: &'a [String],
    /// How its files are written.
    pub format: &'a Format,
    /// The table's root as Hadoop names it.
    pub root: &'a str,
}

impl TableDefinition<'_> {
    /// The statements that make Hive or Spark see the table, and its partitions at some hive paths.
    ///
    /// Columns stand in the order of the files; those of `partition_by` come last, in its order, as
    /// Hive wants it. A type that cannot be stored is an `Error::Config`.
    pub fn create_sql(&self, hive_paths: &BTreeSet<&str>) -> Result<String> {
        let fields = self.schema.fields().iter().map(|field| field.name());
        let in_files = fields.filter(|name| !self.partition_by.contains(name));
        let columns = in_files.map(|name| self.column(name)).collect::<Result<Vec<_>>>()?;
        let partitions = self.partition_by.iter().map(|name| self.column(name));
        let partitions = partitions.collect::<Result<Vec<_>>>()?;
        let (table, columns) = (quoted(self.name), columns.join(",\n"));
        let mut sql = format!("CREATE EXTERNAL TABLE IF NOT EXISTS {table} (\n{columns}\n)\n");
        if !partitions.is_empty() {
            sql.push_str(&format!("PARTITIONED BY (\n{}\n)\n", partitions.join(",\n")));
        }
        sql.push_str(match self.format {
            Format::Parquet(_) => "STORED AS PARQUET\n",
            Format::Tsv(_) => {
                r"ROW FORMAT DELIMITED
  FIELDS TERMINATED BY '\t' ESCAPED BY '\\'
  LINES TERMINATED BY '\n'
  NULL DEFINED AS '\\N'
STORED AS TEXTFILE
"
            }
        });
        sql.push_str(&location(self.root));
        if let Format::Tsv(_) = self.format {
            // Without it, line ends inside of texts are read as the letters n and r.
            sql.push_str("\nTBLPROPERTIES ('serialization.escape.crlf' = 'true')");
        }
        sql.push_str(";\n");
        // Not every metastore takes a NULL for every type: what it may refuse comes last.
        let is_null = |path: &&str| path.contains(DEFAULT_PARTITION);
        let (nulls, values): (Vec<&str>, Vec<&str>) = hive_paths.iter().partition(|p| is_null(p));
        for paths in values.chunks(PARTITIONS_MAX).chain(nulls.chunks(PARTITIONS_MAX)) {
            sql.push_str(&format!("ALTER TABLE {table} ADD IF NOT EXISTS"));
            paths.iter().for_each(|path| sql.push_str(&self.partition(path)));
            sql.push_str(";\n");
        }
        Ok(sql)
    }

    /// The statements that bring columns, and fields of structs (`items[].price`), to a table that
    /// was created without them; none if there are none to bring.
    pub fn add_columns_sql(&self, added: &[&str]) -> Result<Option<String>> {
        let (mut new, mut changed) = (Vec::new(), Vec::new());
        for field in self.schema.fields().iter().map(|field| field.name()) {
            let is_within = |path: &&&str| {
                path.strip_prefix(field.as_str()).is_some_and(|rest| rest.starts_with(['.', '[']))
            };
            if self.partition_by.contains(field) {
                continue;
            } else if added.contains(&field.as_str()) {
                new.push(self.column(field)?);
            } else if added.iter().any(|path| is_within(&path)) {
                changed.push((field, self.column(field)?));
            }
        }
        // Partitions have columns of their own, which else would go without the new ones.
        let cascade = if self.partition_by.is_empty() { "" } else { " CASCADE" };
        let (table, mut sql) = (quoted(self.name), String::new());
        if !new.is_empty() {
            let new = new.join(",\n");
            sql.push_str(&format!("ALTER TABLE {table} ADD COLUMNS (\n{new}\n){cascade};\n"));
        }
        for (name, column) in changed {
            let (name, column) = (quoted(name), column.trim_start());
            sql.push_str(&format!("ALTER TABLE {table} CHANGE COLUMN {name} {column}{cascade};\n"));
        }
        Ok((!sql.is_empty()).then_some(sql))
    }

    fn column(&self, name: &str) -> Result<String> {
        let field = self.schema.field_with_name(name);
        let field = field.map_err(|err| Error::Bug(format!("defining a table: {err}")))?;
        let stored = stored_type(field.data_type())
            .map_err(|problem| Error::config(format!("column `{name}`: {problem}")))?;
        Ok(format!("  {} {}", quoted(name), hive_type(&stored)?))
    }

    fn partition(&self, hive_path: &str) -> String {
        let keys = parse_hive_path(hive_path).into_iter();
        let keys = keys.map(|(column, value)| format!("{} = {}", quoted(&column), literal(&value)));
        let (keys, root) = (keys.collect::<Vec<_>>().join(", "), self.root.to_owned());
        format!("\n  PARTITION ({keys}) {}", location(&format!("{root}/{hive_path}")))
    }
}

/// The same statements for a copy of the table: `from` and `to` are the roots as Hadoop names them.
///
/// Within a literal each quote is escaped, so that nothing but a clause begins as one does.
pub(super) fn relocated(sql: &str, from: &str, to: &str) -> String {
    let (from, to) = (location(from), location(to));
    // Without the closing quote, after which the literal of a partition goes on.
    let (from, to) = (&from[..from.len() - 1], &to[..to.len() - 1]);
    ["'", "/"].into_iter().fold(sql.to_owned(), |sql, end| {
        sql.replace(&format!("{from}{end}"), &format!("{to}{end}"))
    })
}

fn location(url: &str) -> String {
    format!("LOCATION {}", literal(url))
}

/// A text as a literal. What a shell of Hive or Spark would take for itself, the end of a statement
/// and the begin of a variable, stands as its code.
fn literal(text: &str) -> String {
    let mut literal = String::from("'");
    for c in text.chars() {
        match c {
            '\'' => literal.push_str("\\'"),
            '\\' => literal.push_str("\\\\"),
            ';' | '$' => literal.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if c.is_control() => literal.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => literal.push(c),
        }
    }
    literal.push('\'');
    literal
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn hive_type(stored: &DataType) -> Result<String> {
    use DataType as T;
    Ok(match stored {
        T::Boolean => "BOOLEAN".into(),
        T::Int8 => "TINYINT".into(),
        T::Int16 => "SMALLINT".into(),
        T::Int32 => "INT".into(),
        T::Int64 => "BIGINT".into(),
        T::Float32 => "FLOAT".into(),
        T::Float64 => "DOUBLE".into(),
        T::Utf8 => "STRING".into(),
        T::Binary => "BINARY".into(),
        T::Date32 => "DATE".into(),
        T::Timestamp(_, _) => "TIMESTAMP".into(),
        T::Decimal128(precision, scale) => format!("DECIMAL({precision},{scale})"),
        T::List(element) => format!("ARRAY<{}>", hive_type(element.data_type())?),
        T::Struct(fields) => {
            let of_field = |field: &FieldRef| {
                Ok(format!("{}: {}", quoted(field.name()), hive_type(field.data_type())?))
            };
            let fields = fields.iter().map(of_field).collect::<Result<Vec<_>>>()?;
            format!("STRUCT<{}>", fields.join(", "))
        }
        T::Map(entries, _) => match entries.data_type() {
            T::Struct(pair) => {
                let types = pair.iter().map(|field| hive_type(field.data_type()));
                format!("MAP<{}>", types.collect::<Result<Vec<_>>>()?.join(", "))
            }
            other => return Err(Error::Bug(format!("a map of {other}"))),
        },
        other => return Err(Error::Bug(format!("{other} is not a stored type"))),
    })
}

#[cfg(test)]
#[path = "ddl_tests.rs"]
mod tests;

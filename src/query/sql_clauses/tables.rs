//! `FROM`: tables, subqueries, joins.

use datafusion::sql::sqlparser::ast::{
    Ident, Join, JoinConstraint, JoinOperator, ObjectName, Spanned, TableAlias,
    TableAliasColumnDef, TableFactor, TableFunctionArgs, TableSampleKind, TableVersion,
    TableWithJoins,
};

use super::Walk;
use crate::query::sql_syntax::{ASOF_HELP, PIVOT_HELP, UNPIVOT_HELP};

const SAMPLE_HELP: &str = "write a condition that takes a share of the rows, such as `WHERE \
                           _line % 100 = 0`";

/// Key words of other databases after a table or before `JOIN`.
const KEY_WORDS: [&str; 28] = [
    "ALL",
    "ANTI",
    "ANY",
    "ASOF",
    "BROADCAST",
    "FINAL",
    "FORCE",
    "HASH",
    "IGNORE",
    "LOCAL",
    "LOOKUP",
    "LOOP",
    "MERGE",
    "NOLOCK",
    "ONLY",
    "OPTION",
    "PASTE",
    "POSITIONAL",
    "REDISTRIBUTE",
    "REDUCE",
    "REMOTE",
    "REPLICATE",
    "RETURNING",
    "SEMI",
    "SHUFFLE",
    "STRAIGHT_JOIN",
    "TOTALS",
    "USE",
];

impl Walk<'_> {
    pub(crate) fn table_with_joins(&mut self, from: &TableWithJoins) {
        let TableWithJoins { relation, joins } = from;
        self.table(relation);
        joins.iter().for_each(|join| self.join(join));
    }

    pub(crate) fn join(&mut self, join: &Join) {
        let Join { relation, global, join_operator } = join;
        if *global {
            self.refuse("GLOBAL", "leave it out: there is one machine");
        }
        self.table(relation);
        match join_operator {
            JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::Left(constraint)
            | JoinOperator::LeftOuter(constraint)
            | JoinOperator::CrossJoin(constraint)
            | JoinOperator::LeftSemi(constraint)
            | JoinOperator::RightSemi(constraint)
            | JoinOperator::LeftAnti(constraint)
            | JoinOperator::RightAnti(constraint) => self.constraint(constraint),
            JoinOperator::Right(constraint)
            | JoinOperator::RightOuter(constraint)
            | JoinOperator::FullOuter(constraint) => {
                self.constraint(constraint);
                self.refuse_one_sided_key(join_operator, constraint);
            }
            JoinOperator::Semi(constraint) => {
                self.constraint(constraint);
                self.refuse("SEMI JOIN", "write `LEFT SEMI JOIN`");
            }
            JoinOperator::Anti(constraint) => {
                self.constraint(constraint);
                self.refuse("ANTI JOIN", "write `LEFT ANTI JOIN`");
            }
            JoinOperator::StraightJoin(constraint) => {
                self.constraint(constraint);
                self.refuse("STRAIGHT_JOIN", "write `JOIN`");
            }
            JoinOperator::AsOf { match_condition, constraint } => {
                self.expression(match_condition);
                self.constraint(constraint);
                self.refuse("ASOF JOIN", ASOF_HELP);
            }
            JoinOperator::CrossApply => self.refuse("CROSS APPLY", "write `CROSS JOIN LATERAL`"),
            JoinOperator::OuterApply => self.refuse("OUTER APPLY", "write `LEFT JOIN LATERAL`"),
            JoinOperator::ArrayJoin => self.refuse("ARRAY JOIN", "write `unnest(list)`"),
            JoinOperator::LeftArrayJoin => self.refuse("LEFT ARRAY JOIN", "write `unnest(list)`"),
            JoinOperator::InnerArrayJoin => {
                self.refuse("INNER ARRAY JOIN", "write `unnest(list)`");
            }
        }
    }

    /// Of a key that two tables share, the planner takes the left table's column, which is NULL
    /// where only the right one has a row.
    fn refuse_one_sided_key(&mut self, operator: &JoinOperator, constraint: &JoinConstraint) {
        let side = match operator {
            JoinOperator::FullOuter(_) => "FULL JOIN",
            _ => "RIGHT JOIN",
        };
        let what = match constraint {
            JoinConstraint::Using(_) => "USING",
            JoinConstraint::Natural => "NATURAL",
            JoinConstraint::On(_) | JoinConstraint::None => return,
        };
        let message = format!("`{what}` is not supported in a `{side}`");
        let help = "the key would be the left table's, NULL where only the right one has a row: \
                    write `ON a.key = b.key`, and `coalesce(a.key, b.key)` for the key";
        self.refuse_as(what, message, help);
    }

    fn constraint(&mut self, constraint: &JoinConstraint) {
        match constraint {
            JoinConstraint::On(condition) => self.expression(condition),
            JoinConstraint::Using(_) | JoinConstraint::Natural | JoinConstraint::None => {}
        }
    }

    fn table(&mut self, table: &TableFactor) {
        match table {
            TableFactor::Table { name, .. } => {
                self.within(name.span(), |walk| walk.named_table(table));
            }
            TableFactor::Derived { lateral: _, subquery, alias, sample } => {
                self.query(subquery);
                self.alias(alias.as_ref());
                self.sample(sample.as_ref());
            }
            TableFactor::Function { lateral: _, name, args, with_ordinality, alias } => {
                self.within(name.span(), |walk| {
                    walk.table_function_name(name);
                    args.iter().for_each(|argument| walk.positional_argument(argument));
                    walk.ordinality(*with_ordinality);
                    walk.alias(alias.as_ref());
                });
            }
            TableFactor::UNNEST {
                alias,
                array_exprs,
                with_offset,
                with_offset_alias,
                with_ordinality,
            } => {
                self.expressions(array_exprs);
                self.alias(alias.as_ref());
                self.ordinality(*with_ordinality);
                if *with_offset || with_offset_alias.is_some() {
                    self.refuse("WITH OFFSET", ORDINALITY_HELP);
                }
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                self.table_with_joins(table_with_joins);
                self.alias(alias.as_ref());
            }
            TableFactor::TableFunction { .. }
            | TableFactor::JsonTable { .. }
            | TableFactor::OpenJsonTable { .. }
            | TableFactor::Pivot { .. }
            | TableFactor::Unpivot { .. }
            | TableFactor::MatchRecognize { .. }
            | TableFactor::XmlTable { .. }
            | TableFactor::SemanticView { .. } => self.unknown_table(table),
        }
    }

    fn named_table(&mut self, table: &TableFactor) {
        let TableFactor::Table {
            name,
            alias,
            args,
            with_hints,
            version,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
        } = table
        else {
            return;
        };
        if let Some(TableFunctionArgs { args, settings }) = args {
            self.table_function_name(name);
            args.iter().for_each(|argument| self.positional_argument(argument));
            if settings.is_some() {
                self.refuse("SETTINGS", "leave it out");
            }
        }
        self.alias(alias.as_ref());
        self.sample(sample.as_ref());
        self.ordinality(*with_ordinality);
        if !with_hints.is_empty() {
            self.refuse("WITH", "hints of tables would have no effect: leave them out");
        }
        if let Some(version) = version {
            self.version(version);
        }
        if !partitions.is_empty() {
            self.refuse("PARTITION", "write a condition in `WHERE`");
        }
        if json_path.is_some() {
            let message = "a path into a table is not supported".to_owned();
            self.refuse_as("", message, "name the field in contract.toml as a column's `path`");
        }
        if !index_hints.is_empty() {
            self.refuse("INDEX", "there are no indexes: leave it out");
        }
    }

    fn version(&mut self, version: &TableVersion) {
        let clause = match version {
            TableVersion::ForSystemTimeAsOf(_) => "FOR SYSTEM_TIME AS OF",
            TableVersion::TimestampAsOf(_) => "TIMESTAMP AS OF",
            TableVersion::VersionAsOf(_) => "VERSION AS OF",
            TableVersion::Function(_) => "AT",
            TableVersion::Changes { .. } => "CHANGES",
        };
        self.refuse(clause, "tables have no versions: leave it out");
    }

    fn unknown_table(&mut self, table: &TableFactor) {
        let (clause, help) = match table {
            TableFactor::Pivot { .. } => ("PIVOT", PIVOT_HELP),
            TableFactor::Unpivot { .. } => ("UNPIVOT", UNPIVOT_HELP),
            TableFactor::TableFunction { .. } => ("TABLE", "name the function itself in `FROM`"),
            TableFactor::JsonTable { .. } | TableFactor::OpenJsonTable { .. } => {
                ("JSON_TABLE", "name the list in contract.toml as a column, and `unnest` it")
            }
            TableFactor::MatchRecognize { .. } => {
                ("MATCH_RECOGNIZE", "write it with window functions such as `lag` and `lead`")
            }
            TableFactor::XmlTable { .. } => ("XMLTABLE", "there is no XML"),
            _ => ("SEMANTIC_VIEW", "name a table or view"),
        };
        self.refuse(clause, help);
    }

    /// The planner takes the first part of a dotted name only.
    fn table_function_name(&mut self, name: &ObjectName) {
        if name.0.len() != 1 {
            let message = format!("no table function `{name}`");
            self.refuse_as("", message, "write its name without a schema");
        }
    }

    fn ordinality(&mut self, with_ordinality: bool) {
        if with_ordinality {
            self.refuse("WITH ORDINALITY", ORDINALITY_HELP);
        }
    }

    fn sample(&mut self, sample: Option<&TableSampleKind>) {
        let Some(sample) = sample else { return };
        let (TableSampleKind::BeforeTableAlias(sample) | TableSampleKind::AfterTableAlias(sample)) =
            sample;
        let clause = sample.modifier.to_string();
        self.refuse(&clause, SAMPLE_HELP);
    }

    pub(crate) fn alias(&mut self, alias: Option<&TableAlias>) {
        let Some(TableAlias { explicit, name, columns, at }) = alias else { return };
        self.within(name.span, |walk| {
            let word = name.value.to_uppercase();
            if !explicit && name.quote_style.is_none() && KEY_WORDS.contains(&word.as_str()) {
                // It would pass for the table's other name.
                let help = "leave it out, or write `AS` before it if it is the table's name here";
                walk.refuse(&word, help);
            }
            if let Some(Ident { .. }) = at {
                walk.refuse("AT", ORDINALITY_HELP);
            }
            for TableAliasColumnDef { name, data_type } in columns {
                if data_type.is_some() {
                    let message = format!("the type of `{name}` would have no effect");
                    walk.refuse_as(&name.value, message, "write a cast in the query itself");
                }
            }
        });
    }

    /// `SELECT *` takes a key of two tables from the one whose name comes first in the alphabet.
    pub(crate) fn shared_key_of_wildcard(&mut self, from: &[TableWithJoins]) {
        let joins = from.iter().flat_map(|from| &from.joins);
        for join in joins {
            let constraint = match &join.join_operator {
                JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => constraint,
                _ => continue,
            };
            let what = match constraint {
                JoinConstraint::Using(_) => "USING",
                JoinConstraint::Natural => "NATURAL",
                JoinConstraint::On(_) | JoinConstraint::None => continue,
            };
            let message = format!("`*` is not supported with `LEFT JOIN` and `{what}`");
            let help = "its key could be the right table's, NULL where that has no row: write \
                        `a.*` and the columns of `b` that you need";
            self.refuse_as(what, message, help);
        }
    }
}

const ORDINALITY_HELP: &str = "write `unnest(range(1, cardinality(list) + 1))` beside \
                               `unnest(list)` for the places";

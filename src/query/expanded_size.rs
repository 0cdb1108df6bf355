//! How large a query becomes once each view and each `WITH` query stands where it is read.
//!
//! The planner puts them there, so that twenty that read the one before twice are a million; and it
//! looks at what a subquery within an expression reads twice a level. Both are counted on the
//! syntax tree, before anything is planned.
//!
//! ```text
//! logs                                                          1 reading
//! WITH a AS (SELECT * FROM logs JOIN logs …), b AS (… a … a)    a: 2, b: 4
//! … WHERE n IN (SELECT n FROM logs)                             1 + 2 × 1
//! ```

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Cte, Ident, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, Spanned,
    TableAlias, TableFactor, TableWithJoins, Visit, Visitor,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::sql_clauses::Refusal;

/// Tables that one query may read.
const READS_MAX: u64 = 4_000;
/// Columns that the stars of one `SELECT` may take from several tables.
const COLUMNS_MAX: u64 = 2_000;

/// The size of a table, a view or a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExpandedSize {
    /// Tables that are read, each as often as it is read.
    reads: u64,
    /// Columns of the result.
    columns: u64,
}

impl ExpandedSize {
    /// The size of a table that is no view.
    pub(crate) fn of_table(columns: usize) -> Self {
        ExpandedSize { reads: 1, columns: columns as u64 }
    }
}

/// Counts a query that reads tables and views of known sizes; others count as one column.
///
/// # Errors
/// What is larger than can be planned, with its place.
pub(crate) fn expanded_size(
    query: &Query,
    known: &BTreeMap<String, ExpandedSize>,
) -> Result<ExpandedSize, Refusal> {
    let mut count = Count { known, with: Vec::new(), too_large: None };
    let size = count.query(query);
    match count.too_large {
        None => Ok(size),
        Some(refusal) => Err(refusal),
    }
}

struct Count<'k> {
    known: &'k BTreeMap<String, ExpandedSize>,
    /// The `WITH` queries in sight, the nearest last.
    with: Vec<(String, ExpandedSize)>,
    too_large: Option<Refusal>,
}

impl Count<'_> {
    fn query(&mut self, query: &Query) -> ExpandedSize {
        let outer = self.with.len();
        for Cte { alias, query: part, .. } in query.with.iter().flat_map(|with| &with.cte_tables) {
            let name = name_of(&alias.name);
            if query.with.as_ref().is_some_and(|with| with.recursive) {
                self.with.push((name.clone(), ExpandedSize::of_table(1)));
            }
            let size = self.query(part);
            self.with.push((name, size));
        }
        let mut size = self.set_expression(&query.body);
        let more = self.subqueries(&query.order_by) + self.subqueries(&query.limit_clause);
        size.reads = size.reads.saturating_add(more);
        self.with.truncate(outer);
        size
    }

    /// A row of set operations, in a loop, as it may be long.
    fn set_expression(&mut self, mut body: &SetExpr) -> ExpandedSize {
        let mut right_sides = Vec::new();
        while let SetExpr::SetOperation { left, right, .. } = body {
            right_sides.push(right.as_ref());
            body = left;
        }
        let mut size = self.one_side(body);
        for side in right_sides.into_iter().rev() {
            size.reads = size.reads.saturating_add(self.one_side(side).reads);
            self.limit_reads(size.reads, start_of(side));
        }
        size
    }

    fn one_side(&mut self, body: &SetExpr) -> ExpandedSize {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(query) => self.query(query),
            SetExpr::SetOperation { .. } => self.set_expression(body),
            other => ExpandedSize { reads: self.subqueries(other).max(1), columns: 1 },
        }
    }

    fn select(&mut self, select: &Select) -> ExpandedSize {
        let mut tables = Vec::new();
        for from in &select.from {
            self.tables(from, &mut tables);
        }
        let mut reads = 0_u64;
        for (_, size, span) in &tables {
            reads = reads.saturating_add(size.reads);
            self.limit_reads(reads, *span);
        }
        let more = [
            self.subqueries(&select.projection),
            self.subqueries(&select.selection),
            self.subqueries(&select.group_by),
            self.subqueries(&select.having),
            self.subqueries(&select.qualify),
            self.subqueries(&select.distinct),
        ];
        let reads = more.into_iter().fold(reads, u64::saturating_add).max(1);
        let place = select.select_token.0.span;
        self.limit_reads(reads, place);
        let columns = columns_of(&select.projection, &tables);
        if tables.len() > 1 && columns > COLUMNS_MAX {
            let message = format!("`SELECT` takes more than {COLUMNS_MAX} columns by `*`");
            self.refuse(message, "list the columns that you need", place);
        }
        ExpandedSize { reads, columns }
    }

    fn tables(&mut self, from: &TableWithJoins, tables: &mut Vec<Table>) {
        self.table(&from.relation, tables);
        for join in &from.joins {
            self.table(&join.relation, tables);
            let reads = self.subqueries(&join.join_operator);
            if reads > 0 {
                let size = ExpandedSize { reads, columns: 0 };
                let span = tables.last().map_or(Span::empty(), |(_, _, span)| *span);
                tables.push((None, size, span));
            }
        }
    }

    fn table(&mut self, table: &TableFactor, tables: &mut Vec<Table>) {
        match table {
            TableFactor::Table { name, alias, .. } => {
                let last = name.0.last().and_then(|part| part.as_ident());
                let size = last.map_or(ExpandedSize::of_table(1), |last| self.size_of(last));
                let called = alias_of(alias).or(last).map(name_of);
                tables.push((called, size, name.span()));
            }
            TableFactor::Derived { subquery, alias, .. } => {
                let size = self.query(subquery);
                tables.push((alias_of(alias).map(name_of), size, start_of(&subquery.body)));
            }
            TableFactor::NestedJoin { table_with_joins, .. } => {
                self.tables(table_with_joins, tables);
            }
            other => {
                let reads = self.subqueries(other).max(1);
                tables.push((None, ExpandedSize { reads, columns: 1 }, Span::empty()));
            }
        }
    }

    fn size_of(&self, ident: &Ident) -> ExpandedSize {
        let name = name_of(ident);
        let with = self.with.iter().rev().find(|(known, _)| *known == name);
        let size = with.map(|(_, size)| size).or_else(|| self.known.get(&name));
        size.copied().unwrap_or(ExpandedSize::of_table(1))
    }

    /// What the subqueries within expressions read, twice.
    fn subqueries(&mut self, part: &impl Visit) -> u64 {
        let mut subqueries = Subqueries { count: self, depth: 0, reads: 0 };
        // The visit itself breaks nowhere.
        let ControlFlow::Continue(()) = part.visit(&mut subqueries);
        subqueries.reads
    }

    fn limit_reads(&mut self, reads: u64, span: Span) {
        if reads > READS_MAX {
            let message = format!(
                "the query reads more than {READS_MAX} tables when each view and each `WITH` query \
                 stands where it is read (within `IN (SELECT …)` and the like twice a level)"
            );
            let help = "read what is large once, join instead of nesting `IN`, or let another \
                        pipeline write the table in between";
            self.refuse(message, help, span);
        }
    }

    fn refuse(&mut self, message: String, help: &str, span: Span) {
        if self.too_large.is_none() {
            let place = (span.start.line.max(1) as usize, span.start.column.max(1) as usize);
            self.too_large = Some(Refusal { message, help: help.to_owned(), place });
        }
    }
}

/// What it is called, its size, and where it stands.
type Table = (Option<String>, ExpandedSize, Span);

fn columns_of(projection: &[SelectItem], tables: &[Table]) -> u64 {
    let all = || tables.iter().map(|(_, size, _)| size.columns).fold(0, u64::saturating_add);
    let columns = projection.iter().map(|item| match item {
        SelectItem::Wildcard(_) => all(),
        SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
            let last = name.0.last().and_then(|part| part.as_ident()).map(name_of);
            let table = tables.iter().find(|(called, ..)| *called == last);
            table.map_or_else(all, |(_, size, _)| size.columns)
        }
        _ => 1,
    });
    columns.fold(0, u64::saturating_add)
}

fn alias_of(alias: &Option<TableAlias>) -> Option<&Ident> {
    alias.as_ref().map(|alias| &alias.name)
}

/// A name as the planner reads it.
fn name_of(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

/// Where a query begins.
fn start_of(mut body: &SetExpr) -> Span {
    loop {
        match body {
            SetExpr::Select(select) => return select.select_token.0.span,
            SetExpr::Query(query) => body = &query.body,
            SetExpr::SetOperation { left, .. } => body = left,
            _ => return Span::empty(),
        }
    }
}

/// Finds the outermost queries of a part.
struct Subqueries<'c, 'k> {
    count: &'c mut Count<'k>,
    depth: usize,
    reads: u64,
}

impl Visitor for Subqueries<'_, '_> {
    type Break = std::convert::Infallible;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        if self.depth == 0 {
            let reads = self.count.query(query).reads.saturating_mul(2);
            self.reads = self.reads.saturating_add(reads);
            self.count.limit_reads(self.reads, start_of(&query.body));
        }
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Self::Break> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::Statement;
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn size(sql: &str) -> Result<(u64, u64), Refusal> {
        let known = BTreeMap::from([
            ("logs".to_owned(), ExpandedSize::of_table(3)),
            ("view".to_owned(), ExpandedSize { reads: 1_000, columns: 2 }),
        ]);
        let mut statements = Parser::parse_sql(&GenericDialect {}, sql).unwrap();
        let Statement::Query(query) = statements.remove(0) else { panic!("no query") };
        expanded_size(&query, &known).map(|size| (size.reads, size.columns))
    }

    /// `levels` queries, each of which reads the one before twice.
    fn doubling(levels: usize, twice: &str) -> String {
        let mut with = "WITH c0 AS (SELECT * FROM logs)".to_owned();
        for level in 1..=levels {
            let query = twice.replace('@', &format!("c{}", level - 1));
            with += &format!(",\nc{level} AS ({query})");
        }
        with + &format!("\nSELECT 1 AS x FROM c{levels}")
    }

    #[test]
    fn queries_count_where_they_are_read() {
        assert_eq!(size("SELECT * FROM logs"), Ok((1, 3)));
        assert_eq!(size("SELECT a.*, b.n FROM logs a JOIN view b ON true"), Ok((1_001, 4)));
        assert_eq!(
            size("WITH a AS (SELECT * FROM logs, LOGS b) SELECT * FROM a, a b"),
            Ok((4, 12))
        );
        assert_eq!(size("SELECT n FROM logs UNION ALL (SELECT n FROM view)"), Ok((1_001, 1)));
        assert_eq!(size("SELECT 1"), Ok((1, 1)));
        let nested = "SELECT n FROM logs WHERE n IN (SELECT n FROM logs WHERE EXISTS (SELECT 1))";
        assert_eq!(size(nested), Ok((1 + 2 * (1 + 2), 1)));
        let recursive = "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) \
                         SELECT * FROM r, r b";
        assert_eq!(size(recursive), Ok((4, 2)));
        // The inner query of a name hides the outer one.
        let hidden = "WITH a AS (SELECT * FROM view) SELECT * FROM \
                      (WITH a AS (SELECT n FROM logs) SELECT * FROM a) b, a";
        assert_eq!(size(hidden), Ok((1_001, 3)));
    }

    #[test]
    fn what_doubles_is_refused_with_its_place() {
        for (twice, place) in [
            ("SELECT n FROM @ UNION ALL SELECT n FROM @", (13, 37)),
            ("SELECT a.n FROM @ a JOIN @ b ON a.n = b.n", (13, 36)),
            ("SELECT n FROM (SELECT n FROM @ JOIN @ b USING (n)) t", (13, 47)),
            ("SELECT n FROM @ WHERE n IN (SELECT n FROM @)", (9, 37)),
            ("SELECT n, (SELECT max(n) FROM @) AS m FROM @", (9, 19)),
            ("SELECT n FROM @ a JOIN @ b ON a.n = (SELECT max(n) FROM @)", (7, 32)),
        ] {
            assert_eq!(size(&doubling(3, twice)).map(|_| ()), Ok(()), "{twice}");
            for levels in [20, 60, 200] {
                let refused = size(&doubling(levels, twice)).unwrap_err();
                assert!(refused.message.contains("more than 4000 tables"), "{refused:?}");
                let shown = (twice, refused.place);
                assert_eq!(shown, (twice, place));
            }
        }
        let wide = size(&doubling(11, "SELECT a.*, b.* FROM @ a, @ b")).unwrap_err();
        assert!(wide.message.contains("more than 2000 columns"), "{wide:?}");
    }

    #[test]
    fn nested_subqueries_are_refused_by_their_depth() {
        let nested = |levels: usize| {
            let open = "SELECT n FROM logs WHERE n IN (".repeat(levels);
            format!("{open}1{}", ")".repeat(levels))
        };
        assert!(size(&nested(10)).is_ok());
        for levels in 12..20 {
            assert!(size(&nested(levels)).is_err(), "{levels}");
        }
    }
}

//! Queries: `WITH`, `SELECT`, set operations, order and limits.

use datafusion::sql::sqlparser::ast::{
    Cte, CteAsMaterialized, Distinct, ExprWithAlias, ExprWithAliasAndOrderBy, GroupByExpr,
    GroupByWithModifier, LimitClause, NamedWindowExpr, Offset, OrderBy, OrderByExpr, OrderByKind,
    OrderByOptions, PipeOperator, Query, Select, SelectFlavor, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, SetOperator, SetQuantifier, TableWithJoins, Values,
    WildcardAdditionalOptions, With,
};

use super::Walk;

/// Tables of one `FROM`.
const TABLES_MAX: usize = 60;

impl Walk<'_> {
    pub(crate) fn query(&mut self, query: &Query) {
        let Query {
            with,
            body,
            order_by,
            limit_clause,
            fetch,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators,
        } = query;
        if let Some(with) = with {
            self.with(with);
        }
        self.set_expression(body);
        if let Some(order_by) = order_by {
            self.order_by(order_by, matches!(body.as_ref(), SetExpr::Select(_)));
        }
        if let Some(limit) = limit_clause {
            self.limit(limit);
        }
        if fetch.is_some() {
            self.refuse("FETCH", "write `LIMIT n`");
        }
        if let Some(lock) = locks.first() {
            let clause = format!("FOR {}", lock.lock_type);
            self.refuse(&clause, "nothing is locked: leave it out");
        }
        if for_clause.is_some() {
            self.refuse("FOR", "an output's `formats` say how it is written: leave it out");
        }
        if settings.is_some() {
            self.refuse("SETTINGS", "`[resources]` in pipeline.toml has what can be set");
        }
        if format_clause.is_some() {
            self.refuse("FORMAT", "an output's `formats` say how it is written: leave it out");
        }
        pipe_operators.iter().for_each(|operator| self.pipe_operator(operator));
    }

    fn with(&mut self, with: &With) {
        let With { with_token: _, recursive, cte_tables } = with;
        for Cte { alias, query, from, materialized, closing_paren_token: _ } in cte_tables {
            self.within(alias.name.span, |walk| {
                walk.alias(Some(alias));
                if from.is_some() {
                    walk.refuse("FROM", "leave it out");
                }
                match materialized {
                    None | Some(CteAsMaterialized::NotMaterialized) => {}
                    Some(CteAsMaterialized::Materialized) => {
                        let help = "the query would be computed anew for each use: leave it out";
                        walk.refuse("MATERIALIZED", help);
                    }
                }
                if *recursive {
                    walk.recursive_query(query);
                }
                walk.query(query);
            });
        }
    }

    /// Of a recursive query the planner takes the two sides of its `UNION` only.
    fn recursive_query(&mut self, query: &Query) {
        let SetExpr::SetOperation { op: SetOperator::Union, set_quantifier, .. } =
            query.body.as_ref()
        else {
            return;
        };
        let help = "it would have no effect within a recursive query: write it in the query that \
                    reads it";
        let extra = [
            ("WITH", query.with.is_some()),
            ("ORDER BY", query.order_by.is_some()),
            ("LIMIT", query.limit_clause.is_some()),
        ];
        for (clause, _) in extra.into_iter().filter(|(_, stands)| *stands) {
            self.refuse(clause, help);
        }
        match set_quantifier {
            SetQuantifier::ByName | SetQuantifier::AllByName | SetQuantifier::DistinctByName => {
                self.refuse("BY NAME", help);
            }
            SetQuantifier::All | SetQuantifier::Distinct | SetQuantifier::None => {}
        }
    }

    /// Walks a row of set operations in a loop; it may be long.
    fn set_expression(&mut self, mut body: &SetExpr) {
        let mut right_sides = Vec::new();
        while let SetExpr::SetOperation { left, op, set_quantifier, right } = body {
            self.set_operation(*op, *set_quantifier);
            right_sides.push(right);
            body = left;
        }
        self.one_side(body);
        right_sides.into_iter().rev().for_each(|side| self.one_side(side));
    }

    fn one_side(&mut self, body: &SetExpr) {
        match body {
            SetExpr::Select(select) => {
                self.within(select.select_token.0.span, |walk| walk.select(select));
            }
            SetExpr::Query(query) => self.query(query),
            SetExpr::SetOperation { .. } => self.set_expression(body),
            SetExpr::Values(Values { explicit_row: _, value_keyword, rows }) => {
                if *value_keyword {
                    self.refuse("VALUE", "write `VALUES`");
                }
                self.expressions(rows.iter().flat_map(|row| &row.content));
            }
            SetExpr::Table(_) => self.refuse("TABLE", "write `SELECT * FROM` and its name"),
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                let message = "a query that changes data is not supported".to_owned();
                self.refuse_as("", message, "write a SELECT");
            }
        }
    }

    fn set_operation(&mut self, operator: SetOperator, quantifier: SetQuantifier) {
        match (operator, quantifier) {
            (SetOperator::Minus, _) => self.refuse("MINUS", "write `EXCEPT`"),
            // Both would be planned as a join, which does not count how often a row stands.
            (SetOperator::Intersect | SetOperator::Except, SetQuantifier::All) => {
                let help = "it would not count how often a row stands on each side: leave out \
                            `ALL`, or number the rows with `row_number()`";
                self.refuse(&format!("{operator} ALL"), help);
            }
            (SetOperator::Intersect | SetOperator::Except, quantifier) => match quantifier {
                SetQuantifier::All | SetQuantifier::Distinct | SetQuantifier::None => {}
                SetQuantifier::ByName
                | SetQuantifier::AllByName
                | SetQuantifier::DistinctByName => {
                    self.refuse("BY NAME", "list the columns in the same order on both sides");
                }
            },
            (SetOperator::Union, _) => {}
        }
    }

    fn select(&mut self, select: &Select) {
        let Select {
            select_token: _,
            // All hints of the text are looked for, wherever they stand.
            optimizer_hints: _,
            distinct,
            select_modifiers,
            top,
            top_before_distinct: _,
            projection,
            exclude,
            into,
            from,
            lateral_views,
            prewhere,
            selection,
            connect_by,
            group_by,
            cluster_by,
            distribute_by,
            sort_by,
            having,
            named_window,
            qualify,
            window_before_qualify: _,
            value_table_mode,
            flavor,
        } = select;
        self.count_tables(from);
        from.iter().for_each(|from| self.table_with_joins(from));
        self.projection(projection, from);
        self.expressions(selection.iter().chain(having).chain(qualify));
        self.distinct(distinct.as_ref());
        self.group_by(group_by);
        for window in named_window {
            match &window.1 {
                NamedWindowExpr::WindowSpec(spec) => self.window(spec),
                NamedWindowExpr::NamedWindow(_) => {
                    self.refuse("WINDOW", "write what the window is, in parentheses");
                }
            }
        }
        let dropped: [(bool, &str, &str); 11] = [
            (prewhere.is_some(), "PREWHERE", "write the condition in `WHERE`"),
            (exclude.is_some(), "EXCLUDE", "write it after the star: `* EXCLUDE (a, b)`"),
            (into.is_some(), "INTO", "a view's file makes the table: leave it out"),
            (!lateral_views.is_empty(), "LATERAL VIEW", "write `unnest(list)` in the SELECT"),
            (!connect_by.is_empty(), "CONNECT BY", "write `WITH RECURSIVE`"),
            (!cluster_by.is_empty(), "CLUSTER BY", "an output's `sort_by` orders its files"),
            (!distribute_by.is_empty(), "DISTRIBUTE BY", "leave it out"),
            (!sort_by.is_empty(), "SORT BY", "an output's `sort_by` orders its files"),
            (top.is_some(), "TOP", "write `LIMIT n` at the end"),
            (value_table_mode.is_some(), "AS", "list the columns"),
            (
                matches!(flavor, SelectFlavor::FromFirstNoSelect),
                "FROM",
                "write `SELECT * FROM` and the table",
            ),
        ];
        for (_, clause, help) in dropped.into_iter().filter(|(stands, ..)| *stands) {
            self.refuse(clause, help);
        }
        if let Some(modifiers) = select_modifiers.as_ref().filter(|some| some.is_any_set()) {
            self.refuse(modifiers.to_string().trim(), "leave it out");
        }
    }

    /// Planning time grows with the square of the joined columns.
    fn count_tables(&mut self, from: &[TableWithJoins]) {
        let tables: usize = from.iter().map(|from| 1 + from.joins.len()).sum();
        if tables > TABLES_MAX {
            let message = format!("`FROM` joins {tables} tables, at most {TABLES_MAX}");
            self.refuse_as("FROM", message, "divide it: several views, and one that joins them");
        }
    }

    fn projection(&mut self, items: &[SelectItem], from: &[TableWithJoins]) {
        for item in items {
            match item {
                SelectItem::UnnamedExpr(expression)
                | SelectItem::ExprWithAlias { expr: expression, alias: _ } => {
                    self.with_named_windows(true, |walk| walk.expression(expression));
                }
                SelectItem::ExprWithAliases { expr, aliases: _ } => {
                    self.expression(expr);
                    self.refuse("AS", "give each column an expression of its own");
                }
                SelectItem::Wildcard(options) => {
                    self.shared_key_of_wildcard(from);
                    self.wildcard(options);
                }
                SelectItem::QualifiedWildcard(what, options) => {
                    if let SelectItemQualifiedWildcardKind::Expr(expression) = what {
                        self.expression(expression);
                    }
                    self.wildcard(options);
                }
            }
        }
    }

    fn wildcard(&mut self, options: &WildcardAdditionalOptions) {
        let WildcardAdditionalOptions {
            wildcard_token,
            opt_ilike,
            // A column that is not there is an error of the planner.
            opt_exclude: _,
            opt_except: _,
            opt_replace,
            opt_rename,
            opt_alias,
        } = options;
        self.within(wildcard_token.0.span, |walk| {
            if opt_ilike.is_some() {
                walk.refuse("ILIKE", "list the columns");
            }
            if opt_replace.is_some() {
                // A column that is not there would be left out without a word.
                let help = "write `* EXCLUDE (a)` and the new column: `upper(a) AS a`";
                walk.refuse("REPLACE", help);
            }
            if opt_rename.is_some() {
                walk.refuse("RENAME", "write `* EXCLUDE (a)` and `a AS b`");
            }
            if opt_alias.is_some() {
                walk.refuse("AS", "name the columns one by one");
            }
        });
    }

    fn distinct(&mut self, distinct: Option<&Distinct>) {
        match distinct {
            Some(Distinct::On(keys)) => self.expressions(keys),
            None | Some(Distinct::All | Distinct::Distinct) => {}
        }
    }

    fn group_by(&mut self, group_by: &GroupByExpr) {
        let modifiers = match group_by {
            GroupByExpr::All(modifiers) => modifiers,
            GroupByExpr::Expressions(keys, modifiers) => {
                self.expressions(keys);
                modifiers
            }
        };
        for modifier in modifiers {
            let (clause, help) = match modifier {
                GroupByWithModifier::Rollup => ("WITH ROLLUP", "write `GROUP BY ROLLUP (a, b)`"),
                GroupByWithModifier::Cube => ("WITH CUBE", "write `GROUP BY CUBE (a, b)`"),
                GroupByWithModifier::Totals => {
                    ("WITH TOTALS", "write `GROUP BY GROUPING SETS ((a, b), ())`")
                }
                GroupByWithModifier::GroupingSets(_) => {
                    ("GROUPING SETS", "write `GROUP BY GROUPING SETS ((a), (b))` alone")
                }
            };
            self.refuse(clause, help);
        }
    }

    fn order_by(&mut self, order_by: &OrderBy, of_select: bool) {
        let OrderBy { kind, interpolate } = order_by;
        match kind {
            OrderByKind::Expressions(keys) => self.order(keys),
            OrderByKind::All(OrderByOptions { asc: _, nulls_first: _ }) => {
                if !of_select {
                    self.refuse("ORDER BY ALL", "name the columns");
                }
            }
        }
        if interpolate.is_some() {
            self.refuse("INTERPOLATE", "leave it out");
        }
    }

    /// The keys of an order, in whatever clause.
    pub(crate) fn order(&mut self, keys: &[OrderByExpr]) {
        for OrderByExpr { expr, options, with_fill } in keys {
            let OrderByOptions { asc: _, nulls_first: _ } = options;
            self.expression(expr);
            if with_fill.is_some() {
                let help = "join a `range` of the values that must be there";
                self.refuse("WITH FILL", help);
            }
        }
    }

    fn limit(&mut self, limit: &LimitClause) {
        match limit {
            LimitClause::LimitOffset { limit, offset, limit_by } => {
                self.expressions(limit);
                if let Some(Offset { value, rows: _ }) = offset {
                    self.expression(value);
                }
                if !limit_by.is_empty() {
                    let help = "keep the first by `row_number() OVER (PARTITION BY … ORDER BY …)`";
                    self.refuse_as("LIMIT", "`LIMIT BY` is not supported".to_owned(), help);
                }
            }
            LimitClause::OffsetCommaLimit { offset, limit } => self.expressions([offset, limit]),
        }
    }

    fn pipe_operator(&mut self, operator: &PipeOperator) {
        match operator {
            PipeOperator::Limit { expr, offset } => {
                self.expression(expr);
                self.expressions(offset);
            }
            PipeOperator::Where { expr } => self.expression(expr),
            PipeOperator::OrderBy { exprs } => self.order(exprs),
            PipeOperator::Select { exprs } | PipeOperator::Extend { exprs } => {
                self.projection(exprs, &[]);
            }
            PipeOperator::As { alias: _ } => {}
            PipeOperator::Aggregate { full_table_exprs, group_by_expr } => {
                for ExprWithAliasAndOrderBy { expr, order_by } in
                    full_table_exprs.iter().chain(group_by_expr)
                {
                    let ExprWithAlias { expr, alias: _ } = expr;
                    self.expression(expr);
                    if order_by.asc.is_some() || order_by.nulls_first.is_some() {
                        self.refuse("AGGREGATE", "write the order as `|> ORDER BY`");
                    }
                }
            }
            PipeOperator::Union { set_quantifier: _, queries } => {
                queries.iter().for_each(|query| self.query(query));
            }
            PipeOperator::Intersect { set_quantifier, queries } => {
                self.set_operation(SetOperator::Intersect, *set_quantifier);
                queries.iter().for_each(|query| self.query(query));
            }
            PipeOperator::Except { set_quantifier, queries } => {
                self.set_operation(SetOperator::Except, *set_quantifier);
                queries.iter().for_each(|query| self.query(query));
            }
            PipeOperator::Join(join) => self.join(join),
            PipeOperator::Set { .. }
            | PipeOperator::Drop { .. }
            | PipeOperator::TableSample { .. }
            | PipeOperator::Rename { .. }
            | PipeOperator::Call { .. }
            | PipeOperator::Pivot { .. }
            | PipeOperator::Unpivot { .. } => {
                let text = operator.to_string();
                let clause = text.split(' ').next().unwrap_or_default().to_owned();
                self.refuse(&clause, "write it as a SELECT");
            }
        }
    }
}

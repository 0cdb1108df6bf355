//! Calls of functions: what only aggregates or only window functions take is refused elsewhere.

use std::sync::Arc;

use datafusion::logical_expr::AggregateUDF;
use datafusion::sql::sqlparser::ast::{
    DuplicateTreatment, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArgumentList, FunctionArguments, HavingBound, NullTreatment, ObjectName, Spanned,
    WindowFrame, WindowFrameBound, WindowSpec, WindowType,
};

use super::Walk;

/// What a name stands for in a call.
enum Kind {
    /// One value a row.
    Scalar,
    /// One value a group, or a window.
    Aggregate(Arc<AggregateUDF>),
    /// One value a row of a window; not an aggregate.
    Window,
    /// No function.
    Unknown,
}

/// Aggregates that count a value once if `DISTINCT` stands before it; others would ignore it.
const TAKES_DISTINCT: [&str; 20] = [
    "approx_distinct",
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "count",
    "max",
    "median",
    "min",
    "percentile_cont",
    "stddev",
    "stddev_pop",
    "string_agg",
    "sum",
    "var",
    "var_pop",
    "var_samp",
];

/// Window functions that look at single rows and can leave out NULLs.
const TAKES_NULL_TREATMENT: [&str; 5] = ["first_value", "lag", "last_value", "lead", "nth_value"];
/// Window functions that look at a frame; others look at the whole partition.
const TAKES_FRAME: [&str; 3] = ["first_value", "last_value", "nth_value"];
/// Aggregates whose argument stands in `WITHIN GROUP (ORDER BY …)`.
const ORDERED_SET: [&str; 4] = [
    "approx_percentile_cont",
    "approx_percentile_cont_with_weight",
    "percentile_cont",
    "quantile_cont",
];

impl Walk<'_> {
    pub(crate) fn function(&mut self, function: &Function) {
        self.within(function.name.span(), |walk| walk.call(function));
    }

    fn call(&mut self, function: &Function) {
        let Function {
            name,
            uses_odbc_syntax: _,
            parameters,
            args,
            filter,
            null_treatment,
            over,
            within_group,
        } = function;
        let called = called_name(name);
        if !matches!(parameters, FunctionArguments::None) {
            let message = format!("`{called}` takes no second list of parameters");
            self.refuse_as("", message, "write all arguments in one list");
        }
        let (list, clauses_null_treatment) = match args {
            FunctionArguments::List(list) => (Some(list), self.arguments(list)),
            FunctionArguments::None => (None, None),
            FunctionArguments::Subquery(query) => {
                self.query(query);
                let message = format!("`{called}` takes no query as its argument list");
                self.refuse_as("", message, "write the query in parentheses of its own");
                (None, None)
            }
        };
        if let Some(list) = list {
            self.pattern_argument(&called, list);
            self.time_pattern_argument(&called, list);
            self.constant_arguments(&called, list);
        }
        if let Some(filter) = filter {
            self.expression(filter);
        }
        self.order(within_group);
        if let Some(WindowType::WindowSpec(window)) = over {
            self.window(window);
        }
        let nulls = null_treatment.or(clauses_null_treatment);
        match (self.kind_of(&called, over.is_some()), over) {
            (Kind::Scalar, _) => self.scalar_call(&called, function, list, nulls),
            (Kind::Aggregate(aggregate), None) => {
                self.aggregate_call(&called, &aggregate, list);
            }
            (Kind::Aggregate(aggregate), Some(over)) => {
                self.aggregate_call(&called, &aggregate, list);
                self.window_name(over);
                if nulls.is_some() && !aggregate.supports_null_handling_clause() {
                    self.refuse_of(null_clause(nulls), &called, "leave it out");
                }
            }
            (Kind::Window, None) => {
                let help = format!("write `{called}(…) OVER (PARTITION BY a ORDER BY b)`");
                self.refuse_as("", format!("`{called}` needs a window"), help);
            }
            (Kind::Window, over) => {
                self.window_call(&called, function, list, nulls);
                over.iter().for_each(|over| self.window_name(over));
            }
            // Without parentheses it may be a column.
            (Kind::Unknown, None) if list.is_none() => {}
            (Kind::Unknown, _) => self.unknown_function(&called),
        }
    }

    fn kind_of(&self, called: &str, has_window: bool) -> Kind {
        if self.state.scalar_functions().contains_key(called)
            || self.state.higher_order_functions().contains_key(called)
            || matches!(called, "unnest" | "unnest_outer")
        {
            return Kind::Scalar;
        }
        let aggregate = self.state.aggregate_functions().get(called);
        let is_window = self.state.window_functions().contains_key(called);
        match aggregate {
            Some(aggregate) if !has_window => Kind::Aggregate(Arc::clone(aggregate)),
            Some(aggregate) if !TAKES_FRAME.contains(&aggregate.name()) => {
                Kind::Aggregate(Arc::clone(aggregate))
            }
            _ if is_window => Kind::Window,
            _ => Kind::Unknown,
        }
    }

    /// A function of one row's values takes nothing else.
    fn scalar_call(
        &mut self,
        called: &str,
        function: &Function,
        list: Option<&FunctionArgumentList>,
        nulls: Option<NullTreatment>,
    ) {
        let help = "leave it out: only aggregate functions take it";
        let over_help = "leave it out: only aggregate and window functions take it";
        if function.over.is_some() {
            self.refuse_of("OVER", called, over_help);
        }
        if function.filter.is_some() {
            self.refuse_of("FILTER", called, help);
        }
        if !function.within_group.is_empty() {
            self.refuse_of("WITHIN GROUP", called, help);
        }
        if nulls.is_some() {
            self.refuse_of(null_clause(nulls), called, over_help);
        }
        let Some(list) = list else { return };
        if list.duplicate_treatment == Some(DuplicateTreatment::Distinct) {
            self.refuse_of("DISTINCT", called, help);
        }
        if has_order(list) {
            self.refuse_of("ORDER BY", called, help);
        }
        if list.args.iter().any(is_wildcard) {
            self.refuse_as("", format!("`{called}(*)` is not supported"), "name the columns");
        }
    }

    fn aggregate_call(
        &mut self,
        called: &str,
        aggregate: &AggregateUDF,
        list: Option<&FunctionArgumentList>,
    ) {
        let Some(list) = list else { return };
        let wildcards = list.args.iter().filter(|argument| is_wildcard(argument)).count();
        if list.duplicate_treatment == Some(DuplicateTreatment::Distinct) {
            if !TAKES_DISTINCT.contains(&aggregate.name()) {
                let help = "take the distinct rows in a `WITH` query first";
                self.refuse_of("DISTINCT", called, help);
            } else if wildcards > 0 {
                self.refuse_of("DISTINCT", &format!("{called}(*)"), "name the columns");
            }
        }
        let only_star =
            matches!(list.args.as_slice(), [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)]);
        if wildcards > 0 && !(aggregate.name() == "count" && only_star) {
            let message = format!("`{called}` takes no star of a table here");
            self.refuse_as("", message, "name the columns, or write `count(*)`");
        }
        if ORDERED_SET.contains(&called) && has_order(list) && list.args.len() > 1 {
            let help = format!("write `{called}(p) WITHIN GROUP (ORDER BY value)`");
            self.refuse_of("ORDER BY", called, &help);
        }
    }

    fn window_call(
        &mut self,
        called: &str,
        function: &Function,
        list: Option<&FunctionArgumentList>,
        nulls: Option<NullTreatment>,
    ) {
        if function.filter.is_some() {
            self.refuse_of("FILTER", called, "write a condition as `CASE` in its argument");
        }
        if nulls.is_some() && !TAKES_NULL_TREATMENT.contains(&called) {
            self.refuse_of(null_clause(nulls), called, "leave it out");
        }
        let distinct = |list: &FunctionArgumentList| {
            list.duplicate_treatment == Some(DuplicateTreatment::Distinct)
        };
        if list.is_some_and(distinct) {
            self.refuse_of("DISTINCT", called, "leave it out");
        }
        if let Some(WindowType::WindowSpec(WindowSpec { window_frame: Some(frame), .. })) =
            &function.over
            && !TAKES_FRAME.contains(&called)
        {
            let help = "leave it out: the function looks at the whole partition";
            self.refuse_of(&frame.units.to_string(), called, help);
        }
    }

    fn refuse_of(&mut self, clause: &str, called: &str, help: &str) {
        let message = format!("`{clause}` is not supported with `{called}`");
        self.refuse_as(clause, message, help);
    }

    /// The planner looks names of windows up in the SELECT list only.
    fn window_name(&mut self, over: &WindowType) {
        if let WindowType::NamedWindow(name) = over
            && !self.resolves_windows
        {
            let message = format!("window `{name}` is not known outside of the SELECT list");
            self.refuse_as("OVER", message, "write what the window is, in parentheses");
        }
    }

    pub(crate) fn with_named_windows(&mut self, resolves: bool, walk: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.resolves_windows, resolves);
        walk(self);
        self.resolves_windows = before;
    }

    pub(crate) fn window(&mut self, window: &WindowSpec) {
        let WindowSpec { window_name, partition_by, order_by, window_frame } = window;
        if let Some(name) = window_name {
            let message = format!("window `{name}` cannot be extended");
            self.refuse_as(&name.value, message, "write the whole window in parentheses");
        }
        self.expressions(partition_by);
        self.order(order_by);
        if let Some(WindowFrame { units: _, start_bound, end_bound }) = window_frame {
            for bound in std::iter::once(start_bound).chain(end_bound) {
                match bound {
                    WindowFrameBound::CurrentRow => {}
                    WindowFrameBound::Preceding(rows) | WindowFrameBound::Following(rows) => {
                        self.expressions(rows.as_deref());
                    }
                }
            }
        }
    }

    /// Walks the arguments; says how NULLs are treated.
    fn arguments(&mut self, list: &FunctionArgumentList) -> Option<NullTreatment> {
        let FunctionArgumentList { duplicate_treatment: _, args, clauses } = list;
        args.iter().for_each(|argument| self.argument(argument));
        let mut nulls = None;
        for clause in clauses {
            match clause {
                FunctionArgumentClause::IgnoreOrRespectNulls(treatment) => {
                    nulls = Some(*treatment);
                }
                FunctionArgumentClause::OrderBy(keys) => self.order(keys),
                FunctionArgumentClause::Limit(_) => {
                    self.refuse("LIMIT", "write `array_slice(array_agg(…), 1, n)`");
                }
                FunctionArgumentClause::OnOverflow(_) => {
                    self.refuse("ON OVERFLOW", "leave it out");
                }
                FunctionArgumentClause::Having(HavingBound(_, _)) => {
                    let help = "write `first_value(a ORDER BY b)`";
                    self.refuse("HAVING", help);
                }
                FunctionArgumentClause::Separator(_) => {
                    self.refuse("SEPARATOR", "write `string_agg(text, ',')`");
                }
                FunctionArgumentClause::JsonNullClause(_) => {
                    self.refuse("ON NULL", "leave it out");
                }
                FunctionArgumentClause::JsonReturningClause(_) => {
                    self.refuse("RETURNING", "leave it out");
                }
            }
        }
        nulls
    }

    fn argument(&mut self, argument: &FunctionArg) {
        let value = match argument {
            FunctionArg::Named { name: _, arg, operator: _ } => arg,
            FunctionArg::ExprNamed { name, arg, operator: _ } => {
                self.expression(name);
                arg
            }
            FunctionArg::Unnamed(value) => value,
        };
        match value {
            FunctionArgExpr::Expr(expression) => self.expression(expression),
            FunctionArgExpr::Wildcard | FunctionArgExpr::QualifiedWildcard(_) => {}
            FunctionArgExpr::WildcardWithOptions(_) => {
                self.refuse("EXCLUDE", "name the columns");
            }
        }
    }

    /// Of a table function's argument the planner leaves out the name.
    pub(crate) fn positional_argument(&mut self, argument: &FunctionArg) {
        self.argument(argument);
        match argument {
            FunctionArg::Unnamed(_) => {}
            FunctionArg::Named { name, .. } => {
                let message = format!("argument `{name}` cannot be given by name");
                self.refuse_as(&name.value, message, "give it by its place");
            }
            FunctionArg::ExprNamed { .. } => {
                let message = "arguments cannot be given by name here".to_owned();
                self.refuse_as("", message, "give them by their places");
            }
        }
    }
}

/// The name as the planner looks it up.
fn called_name(name: &ObjectName) -> String {
    match name.0.as_slice() {
        [part] => match part.as_ident() {
            Some(ident) if ident.quote_style.is_some() => ident.value.clone(),
            Some(ident) => ident.value.to_lowercase(),
            None => name.to_string(),
        },
        _ => name.to_string(),
    }
}

fn null_clause(nulls: Option<NullTreatment>) -> &'static str {
    match nulls {
        Some(NullTreatment::RespectNulls) => "RESPECT NULLS",
        _ => "IGNORE NULLS",
    }
}

fn has_order(list: &FunctionArgumentList) -> bool {
    list.clauses.iter().any(|clause| matches!(clause, FunctionArgumentClause::OrderBy(_)))
}

fn is_wildcard(argument: &FunctionArg) -> bool {
    let value = match argument {
        FunctionArg::Named { arg, .. }
        | FunctionArg::ExprNamed { arg, .. }
        | FunctionArg::Unnamed(arg) => arg,
    };
    matches!(value, FunctionArgExpr::Wildcard | FunctionArgExpr::QualifiedWildcard(_))
}

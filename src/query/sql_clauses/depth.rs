//! How deep a query may nest: planning is recursive, and its time grows with the square of the
//! depth.
//!
//! Operators of one row, such as 4,000 times `OR`, nest to the left as deep as there are operands.
//! Where the order does not matter (`AND`, `OR`, `||`), the tree is balanced: 4,000 operands are 12
//! levels deep. Everything else that is too deep is refused.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Query, SetExpr, Value, ValueWithSpan, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Span, Tokenizer};

/// Levels of a row of operators or of set operations.
const LEVELS_MAX: usize = 400;
/// From how many levels on a row of operators is balanced.
const LEVELS_LEFT_ALONE: usize = 16;
/// Operators of a row that is balanced.
const ROW_MAX: usize = 10_000;
/// Tokens of one SQL file; more would be a table of data.
const TOKENS_MAX: usize = 200_000;

/// A query that is too large to be planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TooDeep {
    /// What is too large.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

/// Refuses a text that has more tokens than can be planned in reasonable time.
pub(crate) fn count_tokens(text: &str) -> Result<(), TooDeep> {
    let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize().map_or(0, |all| all.len());
    if tokens <= TOKENS_MAX {
        return Ok(());
    }
    Err(TooDeep {
        message: format!("the query has {tokens} words and signs, at most {TOKENS_MAX}"),
        help: "put data into a reference table and join it".to_owned(),
    })
}

/// Balances rows of `AND`, `OR` and `||`, and refuses what nests too deeply.
///
/// Its own recursion is no deeper than what it accepts.
pub(crate) fn limit_depth(tree: &mut impl VisitMut) -> Result<(), TooDeep> {
    match tree.visit(&mut Limit) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(too_deep) => Err(too_deep),
    }
}

struct Limit;

impl VisitorMut for Limit {
    type Break = TooDeep;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<TooDeep> {
        let levels = set_operations(&query.body);
        if levels <= LEVELS_MAX {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(TooDeep {
            message: format!("a row of {levels} set operations, at most {LEVELS_MAX}"),
            help: "divide it: several views of some hundred each, and one that unites them"
                .to_owned(),
        })
    }

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<TooDeep> {
        let levels = levels(expression);
        balance(expression);
        if levels <= LEVELS_MAX {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(TooDeep {
            message: format!(
                "an expression of {levels} operators in a row, at most {LEVELS_MAX} ({ROW_MAX} of \
                 `AND`, `OR` and `||`)"
            ),
            help: "divide it: columns of a `WITH` query for parts of it, or a table that is summed"
                .to_owned(),
        })
    }
}

fn set_operations(mut body: &SetExpr) -> usize {
    let mut levels = 0;
    while let SetExpr::SetOperation { left, .. } = body {
        levels += 1;
        body = left;
    }
    levels
}

/// How deep an expression nests to the left; the parser itself bounds how deep it nests elsewhere.
/// A row that will be balanced counts as deep as it will be.
fn levels(mut expression: &Expr) -> usize {
    let mut levels = 0;
    loop {
        if let Expr::BinaryOp { op, .. } = expression
            && is_associative(op)
        {
            let (length, first) = row_of(expression, op);
            let balanced = (LEVELS_LEFT_ALONE..=ROW_MAX).contains(&length);
            levels += if balanced { length.ilog2() as usize + 1 } else { length };
            expression = first;
        } else if let Some((left, more)) = left_of(expression) {
            levels += more;
            expression = left;
        } else {
            return levels;
        }
    }
}

/// The operand on the left, and how many levels there are down to it.
fn left_of(expression: &Expr) -> Option<(&Expr, usize)> {
    match expression {
        Expr::CompoundFieldAccess { root, access_chain } => Some((root, access_chain.len())),
        Expr::JsonAccess { value, path } => Some((value, path.path.len())),
        Expr::BinaryOp { left, .. }
        | Expr::AnyOp { left, .. }
        | Expr::AllOp { left, .. }
        | Expr::IsDistinctFrom(left, _)
        | Expr::IsNotDistinctFrom(left, _)
        | Expr::IsFalse(left)
        | Expr::IsNotFalse(left)
        | Expr::IsTrue(left)
        | Expr::IsNotTrue(left)
        | Expr::IsNull(left)
        | Expr::IsNotNull(left)
        | Expr::IsUnknown(left)
        | Expr::IsNotUnknown(left)
        | Expr::Nested(left)
        | Expr::IsNormalized { expr: left, .. }
        | Expr::InList { expr: left, .. }
        | Expr::InSubquery { expr: left, .. }
        | Expr::InUnnest { expr: left, .. }
        | Expr::Between { expr: left, .. }
        | Expr::Like { expr: left, .. }
        | Expr::ILike { expr: left, .. }
        | Expr::SimilarTo { expr: left, .. }
        | Expr::RLike { expr: left, .. }
        | Expr::UnaryOp { expr: left, .. }
        | Expr::Cast { expr: left, .. }
        | Expr::AtTimeZone { timestamp: left, .. }
        | Expr::Collate { expr: left, .. } => Some((left, 1)),
        _ => None,
    }
}

/// Whether operands may be grouped as one likes.
fn is_associative(operator: &BinaryOperator) -> bool {
    matches!(operator, BinaryOperator::And | BinaryOperator::Or | BinaryOperator::StringConcat)
}

/// Makes a tree of equal depth out of a row of one associative operator.
fn balance(expression: &mut Expr) {
    let operator = match expression {
        Expr::BinaryOp { op, .. } if is_associative(op) => op.clone(),
        _ => return,
    };
    if row_of(expression, &operator).0 < LEVELS_LEFT_ALONE {
        return;
    }
    let nothing = Expr::Value(ValueWithSpan { value: Value::Null, span: Span::empty() });
    let mut rest = std::mem::replace(expression, nothing);
    let mut operands = Vec::new();
    loop {
        match rest {
            Expr::BinaryOp { left, op, right } if op == operator => {
                operands.push(*right);
                rest = *left;
            }
            last => {
                operands.push(last);
                break;
            }
        }
    }
    operands.reverse();
    *expression = tree(operands, &operator);
}

/// How many operators stand in a row, and the operand that they begin with.
fn row_of<'e>(mut expression: &'e Expr, operator: &BinaryOperator) -> (usize, &'e Expr) {
    let mut length = 0;
    while let Expr::BinaryOp { left, op, .. } = expression
        && op == operator
    {
        length += 1;
        expression = left;
    }
    (length, expression)
}

/// Pairs neighbours until one is left.
fn tree(mut operands: Vec<Expr>, operator: &BinaryOperator) -> Expr {
    while operands.len() > 1 {
        let mut pairs = Vec::with_capacity(operands.len().div_ceil(2));
        let mut rest = operands.into_iter();
        while let Some(left) = rest.next() {
            pairs.push(match rest.next() {
                None => left,
                Some(right) => Expr::BinaryOp {
                    left: Box::new(left),
                    op: operator.clone(),
                    right: Box::new(right),
                },
            });
        }
        operands = pairs;
    }
    operands.remove(0)
}

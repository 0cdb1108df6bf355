//! What becomes of a row that an expectation's predicate fails on: it is not known to meet it.
//!
//! ```text
//! reject   the row is a reject, as where any other expression fails
//! warn     the row is written, and counts as one that breaks the expectation
//! fail     the run ends
//! ```
//!
//! A predicate stands in a call of its own, which says what it is for. The engine takes the call
//! for one that need not evaluate what stands in it, and so does not compute a part of it
//! elsewhere, unless a column of the view needs the same: a row without that value is no row of the
//! view.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use crate::pipeline::{Expectation, OnFail};

/// A predicate of an expectation, for a query's plan.
pub(crate) fn guarded_predicate(expectation: &Expectation, predicate: Expr) -> Expr {
    let call = Predicate {
        on_fail: expectation.on_fail,
        shown: format!("expectation `{}` ({})", expectation.name, expectation.predicate),
        signature: Signature::any(1, Volatility::Immutable),
    };
    let func = Arc::new(ScalarUDF::from(call));
    Expr::ScalarFunction(ScalarFunction { func, args: vec![predicate] })
}

/// What a row is that an expression fails on, if the expression is an expectation's predicate.
pub(super) fn predicate_of(expr: &Arc<dyn PhysicalExpr>) -> Option<&Predicate> {
    expr.downcast_ref::<ScalarFunctionExpr>()?.fun().inner().downcast_ref::<Predicate>()
}

/// Whether a function is the call that an expectation's predicate stands in.
pub(super) fn is_predicate(function: &ScalarUDF) -> bool {
    function.inner().is::<Predicate>()
}

/// The call that a predicate stands in; its result is the predicate's.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Predicate {
    pub on_fail: OnFail,
    /// ``expectation `positive` (amount > 0)``
    pub shown: String,
    signature: Signature,
}

impl ScalarUDFImpl for Predicate {
    fn name(&self) -> &str {
        "expectation"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn short_circuits(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(args.args[0].clone())
    }
}

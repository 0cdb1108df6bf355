//! What all functions have in common: one adapter between a function of this folder and the engine.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::datatypes::{Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};

use super::docs::FunctionDoc;
use crate::enrich::Enrichment;

/// A SQL function over the enrichment. All are deterministic, so constants fold.
pub(super) trait Function: Send + Sync + 'static {
    /// Name, syntax and the rest.
    const DOC: FunctionDoc;

    /// The types that arguments of some types are cast to, or an error that says what is expected.
    fn coerce(enrichment: &Enrichment, types: &[DataType]) -> Result<Vec<DataType>>;

    /// The type of the result for coerced types.
    fn return_type(enrichment: &Enrichment, types: &[DataType]) -> Result<DataType>;

    /// Refuses arguments that are constants and cannot be right; none stands for what is no
    /// constant.
    fn check_constants(_: &Enrichment, _: &[Option<&ScalarValue>]) -> Result<()> {
        Ok(())
    }

    /// Refuses expressions that must be constants and are none.
    fn check_expressions(_: &Enrichment, _: &[Expr]) -> Result<()> {
        Ok(())
    }

    /// One result a row. All arguments have the same length, constants repeated.
    fn evaluate(
        enrichment: &Enrichment,
        arguments: &[ArrayRef],
        return_type: &DataType,
    ) -> Result<ArrayRef>;
}

/// The function as the engine takes it.
pub(super) fn udf<F: Function>(enrichment: &Arc<Enrichment>) -> ScalarUDF {
    ScalarUDF::from(Adapter::<F> {
        enrichment: Arc::clone(enrichment),
        signature: Signature::user_defined(Volatility::Immutable),
        documentation: F::DOC.to_documentation(),
        function: PhantomData,
    })
}

struct Adapter<F> {
    enrichment: Arc<Enrichment>,
    signature: Signature,
    documentation: Documentation,
    function: PhantomData<fn() -> F>,
}

impl<F: Function> ScalarUDFImpl for Adapter<F> {
    fn name(&self) -> &str {
        F::DOC.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        F::coerce(&self.enrichment, types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        F::return_type(&self.enrichment, types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        F::check_constants(&self.enrichment, args.scalar_arguments)?;
        let types: Vec<DataType> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, true)))
    }

    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        F::check_expressions(&self.enrichment, &args)?;
        Ok(ExprSimplifyResult::Original(args))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = args.args.iter().map(|argument| argument.to_array(args.number_rows));
        let arrays = arrays.collect::<Result<Vec<_>>>()?;
        F::evaluate(&self.enrichment, &arrays, args.return_field.data_type())
            .map(ColumnarValue::Array)
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

impl<F: Function> fmt::Debug for Adapter<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(F::DOC.name).finish_non_exhaustive()
    }
}

// Two adapters of a function are equal if they look up in the same place.
impl<F> PartialEq for Adapter<F> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.enrichment, &other.enrichment)
    }
}

impl<F> Eq for Adapter<F> {}

impl<F: Function> Hash for Adapter<F> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        F::DOC.name.hash(state);
        Arc::as_ptr(&self.enrichment).hash(state);
    }
}

//! `floor`, `ceil` and `trunc` of an integer are the integer: the engine's own make it a DOUBLE
//! first. (Its `round` does not.)

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    Coercion, ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, TypeSignature, TypeSignatureClass,
};
use datafusion::prelude::SessionContext;

/// Puts them in the place of the engine's.
pub(super) fn register(engine: &SessionContext) {
    let state = engine.state();
    for name in ["floor", "ceil", "trunc"] {
        if let Some(function) = state.scalar_functions().get(name) {
            let function = Arc::clone(function.inner());
            let integer = Coercion::new_exact(TypeSignatureClass::Integer);
            let own = TypeSignature::Coercible(vec![integer]);
            let Signature { type_signature, volatility, .. } = function.signature().clone();
            let signature = Signature::one_of(vec![own, type_signature], volatility);
            engine.register_udf(ScalarUDF::from(WholeNumber { function, signature }));
        }
    }
}

#[derive(Debug)]
struct WholeNumber {
    function: Arc<dyn ScalarUDFImpl>,
    signature: Signature,
}

impl ScalarUDFImpl for WholeNumber {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [integer] if integer.is_integer() => Ok(integer.clone()),
            _ => self.function.return_type(types),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.as_slice() {
            [integer] if integer.data_type().is_integer() => Ok(integer.clone()),
            _ => self.function.invoke_with_args(args),
        }
    }

    fn is_strict(&self) -> bool {
        self.function.is_strict()
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.function.output_ordering(inputs)
    }

    fn evaluate_bounds(&self, inputs: &[&Interval]) -> Result<Interval> {
        self.function.evaluate_bounds(inputs)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.function.documentation()
    }
}

impl PartialEq for WholeNumber {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for WholeNumber {}

impl Hash for WholeNumber {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

//! `avg` that takes integers as they are: the engine's own makes each a DOUBLE before it adds.
//!
//! Of integers, decimals and durations it never adds itself: [`super::exact_aggregates`] puts an
//! exact sum and a count in its place. Of floats it is the engine's.

use datafusion::arrow::datatypes::{DECIMAL256_MAX_PRECISION, DataType, FieldRef};
use datafusion::common::{Result, plan_err};
use datafusion::functions_aggregate::average::{Avg, avg_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Coercion, Documentation, GroupsAccumulator,
    ReversedUDAF, Signature, TypeSignature, TypeSignatureClass,
};

use super::rolling::rolling_accumulator;

/// Digits of decimals of which 10^10 can be added.
const ADDABLE_DIGITS: u8 = DECIMAL256_MAX_PRECISION - 10;

/// The function as the engine takes it, in the place of its own.
pub(super) fn checked_avg() -> AggregateUDF {
    let engine = Avg::new();
    let integer = Coercion::new_exact(TypeSignatureClass::Integer);
    let mut forms = vec![TypeSignature::Coercible(vec![integer])];
    forms.push(engine.signature().type_signature.clone());
    let signature = Signature::one_of(forms, engine.signature().volatility);
    AggregateUDF::from(CheckedAvg { engine, signature })
}

/// Refuses decimals that have no wider type to be added in.
pub(super) fn refuse_widest(function: &str, value: &DataType) -> Result<()> {
    match value {
        DataType::Decimal256(precision, scale) if *precision > ADDABLE_DIGITS => plan_err!(
            "{function}: decimals of {precision} digits cannot be added up exactly; cast them to \
             DECIMAL({ADDABLE_DIGITS}, {scale}) or less"
        ),
        _ => Ok(()),
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct CheckedAvg {
    engine: Avg,
    signature: Signature,
}

impl AggregateUDFImpl for CheckedAvg {
    fn name(&self) -> &str {
        self.engine.name()
    }

    fn aliases(&self) -> &[String] {
        self.engine.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        refuse_widest(self.name(), &types[0])?;
        self.engine.return_type(types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.engine.accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match *args.return_type() == DataType::Float64 && !args.is_distinct {
            true => rolling_accumulator(avg_udaf().inner(), &args),
            false => self.engine.create_sliding_accumulator(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.engine.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        self.engine.create_groups_accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.engine.state_fields(args)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.engine.reverse_expr()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.engine.documentation()
    }
}

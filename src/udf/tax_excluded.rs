//! `tax_excluded(amount, category, at[, rounding])`.

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};

use super::adapter::Function;
use super::docs::{ExampleDoc, FunctionDoc};
use super::tax_call::{
    AMOUNT, AT, CATEGORY, ROUNDING, SOURCE, check_rounding, coerce_amount_call,
    evaluate_amount_call,
};
use crate::enrich::{Enrichment, rounding};

/// See [`Function::DOC`].
pub(super) struct TaxExcluded;

impl Function for TaxExcluded {
    const DOC: FunctionDoc = FunctionDoc {
        name: "tax_excluded",
        syntax: "tax_excluded(amount, category, at[, rounding])",
        description: "What remains of an amount that includes Japan's consumption tax without it: \
            amount - tax, where tax = amount × rate ÷ (1 + rate), rounded to whole yen, in the \
            amount's type.\nUndoes tax_included exactly, if both round alike.\nNULL wherever \
            consumption_tax is.",
        arguments: &[AMOUNT, CATEGORY, AT, ROUNDING],
        examples: &[ExampleDoc {
            sql: "SELECT tax_excluded(213, 'reduced', DATE '2026-11-21')",
            result: "198",
        }],
        source: SOURCE,
        see_also: &["tax_included", "consumption_tax"],
    };

    fn coerce(_: &Enrichment, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce_amount_call(Self::DOC.name, types)
    }

    fn return_type(_: &Enrichment, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn check_constants(_: &Enrichment, constants: &[Option<&ScalarValue>]) -> Result<()> {
        check_rounding(Self::DOC.name, constants.get(3).copied().flatten())
    }

    fn evaluate(
        enrichment: &Enrichment,
        arguments: &[ArrayRef],
        return_type: &DataType,
    ) -> Result<ArrayRef> {
        evaluate_amount_call(enrichment, arguments, return_type, |amount, scale, rate, mode| {
            amount.checked_sub(rounding::tax_within(amount, scale, rate, mode)?)
        })
    }
}

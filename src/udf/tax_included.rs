//! `tax_included(amount, category, at[, rounding])`.

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
pub(super) struct TaxIncluded;

impl Function for TaxIncluded {
    const DOC: FunctionDoc = FunctionDoc {
        name: "tax_included",
        syntax: "tax_included(amount, category, at[, rounding])",
        description: "An amount with Japan's consumption tax on it: amount + \
            consumption_tax(amount, …), in the amount's type.\nNULL wherever consumption_tax is.",
        arguments: &[AMOUNT, CATEGORY, AT, ROUNDING],
        examples: &[ExampleDoc {
            sql: "SELECT tax_included(198, 'reduced', DATE '2026-11-21')",
            result: "213",
        }],
        source: SOURCE,
        see_also: &["tax_excluded", "consumption_tax"],
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
            amount.checked_add(rounding::tax_on(amount, scale, rate, mode)?)
        })
    }
}

//! `consumption_tax(amount, category, at[, rounding])`.

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
pub(super) struct ConsumptionTax;

impl Function for ConsumptionTax {
    const DOC: FunctionDoc = FunctionDoc {
        name: "consumption_tax",
        syntax: "consumption_tax(amount, category, at[, rounding])",
        description: "Japan's consumption tax on an amount that does not include it: amount × \
            rate, rounded to whole yen, in the amount's type.\nFor a whole invoice use \
            invoice_tax, which rounds once per rate.\nNULL if an argument is NULL, or if the \
            table lacks the category or a rate for the day (a warning is counted, or the run \
            fails, as the pipeline says).",
        arguments: &[AMOUNT, CATEGORY, AT, ROUNDING],
        examples: &[
            ExampleDoc {
                sql: "SELECT consumption_tax(198, 'reduced', TIMESTAMP '2026-11-21T00:00:00Z')",
                result: "15",
            },
            ExampleDoc {
                sql: "SELECT consumption_tax(198, 'standard', DATE '2019-09-30', 'half_up')",
                result: "16",
            },
        ],
        source: SOURCE,
        see_also: &["invoice_tax", "tax_included", "tax_excluded", "tax_rate"],
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
        evaluate_amount_call(enrichment, arguments, return_type, rounding::tax_on)
    }
}

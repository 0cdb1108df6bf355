//! `tax_rate(category, at)`.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Decimal128Array};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};

use super::adapter::Function;
use super::arguments::{Days, Texts, day_type, text_type};
use super::docs::{ExampleDoc, FunctionDoc};
use super::row_source;
use super::tax_call::{AT, CATEGORY, Rates, SOURCE};
use crate::enrich::Enrichment;

/// Ten-thousandths from 0 to 1.
const PRECISION: u8 = 5;
const SCALE: i8 = 4;

/// See [`Function::DOC`].
pub(super) struct TaxRate;

impl Function for TaxRate {
    const DOC: FunctionDoc = FunctionDoc {
        name: "tax_rate",
        syntax: "tax_rate(category, at)",
        description: "The rate of Japan's consumption tax as a DECIMAL(5, 4): 0.0800 is 8 %.\n0 \
            before the tax began on 1989-04-01. Until the reduced rate began on 2019-10-01, \
            `reduced` has the standard rate.\nNULL if an argument is NULL, or if the table lacks \
            the category or a rate for the day (a warning is counted, or the run fails, as the \
            pipeline says).",
        arguments: &[CATEGORY, AT],
        examples: &[
            ExampleDoc {
                sql: "SELECT tax_rate('standard', TIMESTAMP '2019-09-30T14:59:59Z')",
                result: "0.0800",
            },
            ExampleDoc {
                sql: "SELECT tax_rate('standard', TIMESTAMP '2019-09-30T15:00:00Z')",
                result: "0.1000",
            },
        ],
        source: SOURCE,
        see_also: &["consumption_tax"],
    };

    fn coerce(_: &Enrichment, types: &[DataType]) -> Result<Vec<DataType>> {
        let (own, appended) = row_source::split_types(types);
        let [category, at] = own else {
            return plan_err!("tax_rate: expected (category, at), found {} arguments", own.len());
        };
        let mut coerced =
            vec![text_type("tax_rate", "category", category)?, day_type("tax_rate", at)?];
        coerced.extend(row_source::coerce("tax_rate", appended)?);
        Ok(coerced)
    }

    fn return_type(_: &Enrichment, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Decimal128(PRECISION, SCALE))
    }

    fn evaluate(enrichment: &Enrichment, arguments: &[ArrayRef], _: &DataType) -> Result<ArrayRef> {
        let (own, appended) = arguments.split_at(2);
        let categories = Texts::of(own[0].as_ref())?;
        let days = Days::of(&own[1])?;
        let mut rates = Rates::new(enrichment, appended)?;
        let found = (0..own[0].len()).map(|row| match (categories.get(row), days.get(row)) {
            (Some(category), Some(day)) => {
                let rate = rates.rate(row, category, day)?;
                Ok(rate.map(|rate| i128::from(rate.ten_thousandths())))
            }
            _ => Ok(None),
        });
        let found = found.collect::<Result<Decimal128Array>>()?;
        rates.count_warnings();
        Ok(Arc::new(found.with_precision_and_scale(PRECISION, SCALE)?))
    }
}

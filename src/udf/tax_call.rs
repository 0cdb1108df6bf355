//! What the tax functions have in common: reading their arguments, and what an unknown rate does.

use std::collections::HashMap;

use chrono::NaiveDate;
use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_datafusion_err, plan_err};

use super::arguments::{Amounts, Days, Texts, amount_type, amounts_to_array, day_type, text_type};
use super::docs::ArgumentDoc;
use super::row_source::{self, RowSources};
use crate::base::config::suggestion;
use crate::enrich::{Enrichment, Rate, RateLookup, Rounding, TaxUnknown};

/// Characters of a category that stand in warnings and errors.
const CATEGORY_SHOWN_CHARACTERS_MAX: usize = 64;

pub(super) const AMOUNT: ArgumentDoc = ArgumentDoc {
    name: "amount",
    description: "yen: INT, BIGINT or DECIMAL with at most 18 decimals, negative for a refund",
};
pub(super) const CATEGORY: ArgumentDoc = ArgumentDoc {
    name: "category",
    description: "a category of the tax table: `standard`, `reduced` or `exempt` in the bundled \
        one",
};
pub(super) const AT: ArgumentDoc = ArgumentDoc {
    name: "at",
    description: "when it was sold: a TIMESTAMP (UTC if it has no zone), whose day in Asia/Tokyo \
                  counts, or a DATE, which is such a day",
};
pub(super) const ROUNDING: ArgumentDoc = ArgumentDoc {
    name: "rounding",
    description: "what becomes of a fraction of a yen: `down` (toward zero), `half_up` (to the \
                  nearest, halves away from zero) or `up` (away from zero); as the pipeline says \
                  if left out, which is `down` if it says nothing",
};
/// What every tax function does with what it does not know.
pub(super) const SOURCE: &str = "National Tax Agency of Japan, Tax Answers No. 6303 and No. 6102 \
    (rates); Consumption Tax Act, article 57-4, and its Enforcement Order, article 70-10 \
    (rounding)";

/// Looks rates up for one batch, and counts what the table lacks.
pub(super) struct Rates<'a> {
    enrichment: &'a Enrichment,
    sources: RowSources<'a>,
    unknown: HashMap<String, u64>,
}

impl<'a> Rates<'a> {
    pub(super) fn new(enrichment: &'a Enrichment, sources: &'a [ArrayRef]) -> Result<Rates<'a>> {
        let sources = RowSources::of(sources)?;
        Ok(Rates { enrichment, sources, unknown: HashMap::new() })
    }

    /// The rate of a category on a day; none, with a warning counted, or an error that names the
    /// row, if the table lacks it.
    pub(super) fn rate(&mut self, row: usize, category: &str, day: i32) -> Result<Option<Rate>> {
        let shown = || -> String {
            let cut: String = category.chars().take(CATEGORY_SHOWN_CHARACTERS_MAX).collect();
            format!("{cut:?}")
        };
        let unknown = match self.enrichment.tax.rate(category, day) {
            RateLookup::Known(rate) => return Ok(Some(rate)),
            RateLookup::UnknownCategory => format!("tax: unknown category {}", shown()),
            RateLookup::NoRate => format!("tax: no rate yet for category {}", shown()),
        };
        match self.enrichment.tax_unknown {
            TaxUnknown::Null => {
                *self.unknown.entry(unknown).or_default() += 1;
                Ok(None)
            }
            TaxUnknown::Error => {
                let day =
                    NaiveDate::from_epoch_days(day).map_or(String::new(), |d| format!(" on {d}"));
                let known: Vec<&str> = self.enrichment.tax.categories().collect();
                let table = self.enrichment.tax.name();
                let known = known.join(", ");
                let message = format!("{unknown}{day}, the table `{table}` has {known}");
                Err(self.sources.refuse(row, &message))
            }
        }
    }

    /// How to round a row: as its argument says, or else as the pipeline does. None for NULL.
    ///
    /// # Errors
    /// The fault of this row alone.
    pub(super) fn rounding(
        &self,
        row: usize,
        argument: Option<&Texts<'_>>,
    ) -> Result<Option<Rounding>> {
        let Some(argument) = argument else {
            return Ok(Some(self.enrichment.rounding));
        };
        let read = |name| Rounding::from_name(name).ok_or_else(|| unknown_rounding(name));
        let rounding = argument.get(row).map(read).transpose();
        rounding.map_err(|message| exec_datafusion_err!("tax: {message}"))
    }

    /// Hands the batch's counts to the run.
    pub(super) fn count_warnings(&self) {
        for (warning, times) in &self.unknown {
            self.enrichment.warnings.add(warning, *times);
        }
    }
}

/// The fault of one row: its result has no place in the type of its amount.
pub(super) fn too_large(wanted: &DataType) -> DataFusionError {
    exec_datafusion_err!("tax: the result does not fit {wanted}; cast the amount to a wider type")
}

fn unknown_rounding(name: &str) -> String {
    let names = Rounding::ALL.map(Rounding::as_str);
    format!("unknown rounding `{name}`; {}", suggestion(name, names.into_iter()))
}

/// Refuses a constant that should name a rounding and does not.
pub(super) fn check_rounding(function: &str, constant: Option<&ScalarValue>) -> Result<()> {
    let name = constant.and_then(|constant| constant.try_as_str().flatten());
    match name.filter(|name| Rounding::from_name(name).is_none()) {
        Some(name) => plan_err!("{function}: {}", unknown_rounding(name)),
        None => Ok(()),
    }
}

/// The types for `(amount, category, at[, rounding])` and the row's source.
pub(super) fn coerce_amount_call(function: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    let (own, appended) = row_source::split_types(types);
    let mut coerced = match own {
        [amount, category, at] | [amount, category, at, _] => vec![
            amount_type(function, amount)?,
            text_type(function, "category", category)?,
            day_type(function, at)?,
        ],
        _ => {
            return plan_err!(
                "{function}: expected (amount, category, at) or (amount, category, at, rounding), \
                 found {} arguments",
                own.len()
            );
        }
    };
    if let Some(rounding) = own.get(3) {
        coerced.push(text_type(function, "rounding", rounding)?);
    }
    coerced.extend(row_source::coerce(function, appended)?);
    Ok(coerced)
}

/// Applies a formula over (amount, its scale, rate, rounding) to each row of such a call.
pub(super) fn evaluate_amount_call(
    enrichment: &Enrichment,
    arguments: &[ArrayRef],
    return_type: &DataType,
    formula: impl Fn(i128, u8, Rate, Rounding) -> Option<i128>,
) -> Result<ArrayRef> {
    // Amount, category, at and rounding are four, the row's source is two.
    let own = if arguments.len() > 4 { arguments.len() - 2 } else { arguments.len() };
    let (own, appended) = arguments.split_at(own);
    let amounts = Amounts::of(&own[0])?;
    let categories = Texts::of(own[1].as_ref())?;
    let days = Days::of(&own[2])?;
    let roundings = own.get(3).map(|array| Texts::of(array.as_ref())).transpose()?;
    let mut rates = Rates::new(enrichment, appended)?;

    let mut results = Vec::with_capacity(own[0].len());
    for row in 0..own[0].len() {
        let known = (amounts.get(row), categories.get(row), days.get(row));
        let (Some(amount), Some(category), Some(day)) = known else {
            results.push(None);
            continue;
        };
        let rounding = rates.rounding(row, roundings.as_ref())?;
        let (Some(rounding), Some(rate)) = (rounding, rates.rate(row, category, day)?) else {
            results.push(None);
            continue;
        };
        let result = formula(amount, amounts.scale(), rate, rounding);
        results.push(Some(result.ok_or_else(|| too_large(return_type))?));
    }
    rates.count_warnings();
    amounts_to_array(&results, return_type, || too_large(return_type))
}

//! `invoice_tax(items[, at][, rounding])`.

use std::ops::Range;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StructArray};
use datafusion::arrow::datatypes::{DataType, FieldRef, Fields};
use datafusion::common::{Result, ScalarValue, internal_err, plan_err};

use super::adapter::Function;
use super::arguments::{
    Amounts, Days, Texts, amount_type, amounts_to_array, day_type, is_text, text_type,
};
use super::docs::{ArgumentDoc, ExampleDoc, FunctionDoc};
use super::row_source;
use super::tax_call::{ROUNDING, Rates, SOURCE, check_rounding, too_large};
use crate::enrich::{Enrichment, Rate, rounding};

const NAME: &str = "invoice_tax";

/// See [`Function::DOC`].
pub(super) struct InvoiceTax;

impl Function for InvoiceTax {
    const DOC: FunctionDoc = FunctionDoc {
        name: NAME,
        syntax: "invoice_tax(items[, at][, rounding])",
        description: "Japan's consumption tax on all items of an invoice, whose amounts do not \
            include it: the amounts of each rate are added up, and the tax on each sum is rounded \
            once, as invoices must do since 2023-10-01.\nIn the type of the amounts; 0 for no \
            items.\nNULL if the list, an item, or one of its values is NULL, or if the table \
            lacks a category or its rate (a warning is counted, or the run fails, as the pipeline \
            says).",
        arguments: &[
            ArgumentDoc {
                name: "items",
                description: "a list of structs with the fields `amount` and `category` (or, under \
                    other names, an amount and a category in this order), as consumption_tax takes \
                    them; and with `at` (or a third field), if it is not given for the whole \
                    invoice",
            },
            ArgumentDoc {
                name: "at",
                description: "when it was sold, a TIMESTAMP or DATE as consumption_tax takes it",
            },
            ROUNDING,
        ],
        examples: &[
            ExampleDoc {
                sql: "SELECT invoice_tax([{amount: 99, category: 'reduced'}, \
                      {amount: 99, category: 'reduced'}], DATE '2026-11-21')",
                result: "15",
            },
            ExampleDoc {
                sql: "SELECT invoice_tax([{amount: 105, category: 'standard', \
                      at: DATE '2026-11-21'}], 'half_up')",
                result: "11",
            },
        ],
        source: SOURCE,
        see_also: &["consumption_tax"],
    };

    fn coerce(_: &Enrichment, types: &[DataType]) -> Result<Vec<DataType>> {
        let (own, appended) = row_source::split_types(types);
        let expected = "expected (items), (items, at), (items, rounding) or (items, at, rounding)";
        let (items, at, rounding) = match own {
            [items] => (items, None, None),
            [items, second] if is_text(second) => (items, None, Some(second)),
            [items, at] => (items, Some(at), None),
            [items, at, rounding] => (items, Some(at), Some(rounding)),
            _ => return plan_err!("{NAME}: {expected}, found {} arguments", own.len()),
        };
        let mut coerced = vec![list_type(items)?];
        check_items(items, at.is_some())?;
        coerced.extend(at.map(|at| day_type(NAME, at)).transpose()?);
        coerced.extend(rounding.map(|r| text_type(NAME, "rounding", r)).transpose()?);
        coerced.extend(row_source::coerce(NAME, appended)?);
        Ok(coerced)
    }

    fn return_type(_: &Enrichment, types: &[DataType]) -> Result<DataType> {
        match item_fields(&types[0])? {
            Some(fields) => amount_type(NAME, fields[places(fields)?.amount].data_type()),
            None => Ok(DataType::Int64),
        }
    }

    fn check_constants(_: &Enrichment, constants: &[Option<&ScalarValue>]) -> Result<()> {
        let own = constants.iter().take(3).skip(1);
        own.into_iter().try_for_each(|constant| check_rounding(NAME, *constant))
    }

    fn evaluate(
        enrichment: &Enrichment,
        arguments: &[ArrayRef],
        return_type: &DataType,
    ) -> Result<ArrayRef> {
        let types: Vec<DataType> = arguments.iter().map(|a| a.data_type().clone()).collect();
        let (own, _) = row_source::split_types(&types);
        let (own, appended) = arguments.split_at(own.len());
        let rows = own[0].len();
        let Some(lists) = Lists::of(&own[0])? else {
            return amounts_to_array(&vec![None; rows], return_type, unreachable_row);
        };
        let items = Items::of(lists.values)?;
        let text_at = own.iter().skip(1).position(|array| is_text(array.data_type()));
        let roundings = text_at.map(|i| Texts::of(own[i + 1].as_ref())).transpose()?;
        let has_at = own.len() - 1 > usize::from(roundings.is_some());
        let days = if has_at { Some(Days::of(&own[1])?) } else { None };

        let mut rates = Rates::new(enrichment, appended)?;
        let mut results = Vec::with_capacity(rows);
        for row in 0..rows {
            let day = days.as_ref().map(|days| days.get(row));
            let rounding = rates.rounding(row, roundings.as_ref())?;
            let list = lists.range(row).filter(|_| day != Some(None));
            let (Some(list), Some(mode)) = (list, rounding) else {
                results.push(None);
                continue;
            };
            let Some(priced) = items.with_rates(list, row, day.flatten(), &mut rates)? else {
                results.push(None);
                continue;
            };
            let tax = rounding::tax_on_invoice(&priced, items.amounts.scale(), mode);
            results.push(Some(tax.ok_or_else(|| too_large(return_type))?));
        }
        rates.count_warnings();
        amounts_to_array(&results, return_type, || too_large(return_type))
    }
}

/// No amount that is NULL can be too large.
fn unreachable_row() -> datafusion::error::DataFusionError {
    datafusion::common::internal_datafusion_err!("a NULL was too large")
}

/// Which of a struct's fields are what: by their names, or else by their order.
struct Places {
    amount: usize,
    category: usize,
    at: Option<usize>,
}

fn places(fields: &Fields) -> Result<Places> {
    let named = |name: &str| fields.iter().position(|field| field.name() == name);
    match (named("amount"), named("category")) {
        (Some(amount), Some(category)) => Ok(Places { amount, category, at: named("at") }),
        _ if fields.len() >= 2 => {
            let at = (fields.len() > 2).then_some(2);
            Ok(Places { amount: 0, category: 1, at })
        }
        _ => plan_err!("{NAME}: expected items with an amount and a category, found {fields:?}"),
    }
}

fn list_type(items: &DataType) -> Result<DataType> {
    match items {
        DataType::List(_) | DataType::LargeList(_) | DataType::Null => Ok(items.clone()),
        DataType::FixedSizeList(item, _) => Ok(DataType::List(FieldRef::clone(item))),
        other => plan_err!("{NAME}: expected a list of structs as `items`, found {other}"),
    }
}

/// The fields of the items; none for a list of NULLs, such as `[]`.
fn item_fields(items: &DataType) -> Result<Option<&Fields>> {
    match items {
        DataType::Null => Ok(None),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            match item.data_type() {
                DataType::Struct(fields) => Ok(Some(fields)),
                // The engine's type of the items of `[]`.
                DataType::Null | DataType::Int64 => Ok(None),
                other => {
                    plan_err!("{NAME}: expected a list of structs as `items`, found of {other}")
                }
            }
        }
        other => plan_err!("{NAME}: expected a list of structs as `items`, found {other}"),
    }
}

fn check_items(items: &DataType, at_given: bool) -> Result<()> {
    let Some(fields) = item_fields(items)? else {
        return Ok(());
    };
    let places = places(fields)?;
    amount_type(NAME, fields[places.amount].data_type())?;
    text_type(NAME, "category", fields[places.category].data_type())?;
    match places.at {
        _ if at_given => Ok(()),
        Some(at) => day_type(NAME, fields[at].data_type()).map(|_| ()),
        None => plan_err!("{NAME}: expected `at`, either in each item or as the second argument"),
    }
}

/// A column of lists of structs: which items belong to which row.
struct Lists<'a> {
    list: &'a dyn Array,
    offsets: Vec<usize>,
    values: &'a StructArray,
}

impl<'a> Lists<'a> {
    /// None if no list of the column has items.
    fn of(array: &'a ArrayRef) -> Result<Option<Lists<'a>>> {
        let (offsets, values): (Vec<usize>, &'a ArrayRef) = match array.data_type() {
            DataType::Null => return Ok(None),
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                (list.value_offsets().iter().map(|o| *o as usize).collect(), list.values())
            }
            DataType::LargeList(_) => {
                let list = array.as_list::<i64>();
                (list.value_offsets().iter().map(|o| *o as usize).collect(), list.values())
            }
            other => return internal_err!("expected a column of lists, found {other}"),
        };
        Ok(values.as_struct_opt().map(|values| Lists { list: array.as_ref(), offsets, values }))
    }

    fn range(&self, row: usize) -> Option<Range<usize>> {
        self.list.is_valid(row).then(|| self.offsets[row]..self.offsets[row + 1])
    }
}

/// The items of all rows.
struct Items<'a> {
    structs: &'a StructArray,
    amounts: Amounts,
    categories: Texts<'a>,
    days: Option<Days>,
}

impl<'a> Items<'a> {
    fn of(structs: &'a StructArray) -> Result<Items<'a>> {
        let places = places(structs.fields())?;
        let days = places.at.map(|at| structs.column(at));
        let days = days.filter(|days| day_type(NAME, days.data_type()).is_ok());
        Ok(Items {
            structs,
            amounts: Amounts::of(structs.column(places.amount))?,
            categories: Texts::of(structs.column(places.category).as_ref())?,
            days: days.map(Days::of).transpose()?,
        })
    }

    /// The amounts of a row with their rates, on the invoice's day or else on each item's; none if
    /// anything in there is NULL or not known.
    fn with_rates(
        &self,
        list: Range<usize>,
        row: usize,
        invoice_day: Option<i32>,
        rates: &mut Rates<'_>,
    ) -> Result<Option<Vec<(i128, Rate)>>> {
        let mut priced = Vec::with_capacity(list.len());
        for item in list {
            let day = || self.days.as_ref().and_then(|days| days.get(item));
            let known =
                (self.amounts.get(item), self.categories.get(item), invoice_day.or_else(day));
            let (Some(amount), Some(category), Some(day)) = known else { return Ok(None) };
            if self.structs.is_null(item) {
                return Ok(None);
            }
            let Some(rate) = rates.rate(row, category, day)? else { return Ok(None) };
            priced.push((amount, rate));
        }
        Ok(Some(priced))
    }
}

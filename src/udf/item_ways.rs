//! `item_ways(item_via)`.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, ListArray, PrimitiveArray, StructArray, UInt32Array,
};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::{Result, plan_err};

use super::adapter::Function;
use super::docs::{ArgumentDoc, ExampleDoc, FunctionDoc};
use crate::enrich::Enrichment;

const NAME: &str = "item_ways";
/// The field that names another element.
const SAME_AS: &str = "same_as";

/// See [`Function::DOC`].
pub(super) struct ItemWays;

impl Function for ItemWays {
    const DOC: FunctionDoc = FunctionDoc {
        name: NAME,
        syntax: "item_ways(item_via)",
        description: "What led each item of an event to the cart, where the collector wrote it \
            once for several: an element that has a number in `same_as` becomes the element of \
            that number, from 1; all others, and those whose number is no element's, stay as they \
            are.\nNULL for NULL.",
        arguments: &[ArgumentDoc {
            name: "item_via",
            description: "a list of structs, one of whose fields is `same_as`, a BIGINT",
        }],
        examples: &[ExampleDoc {
            sql: "SELECT item_ways([{channel: 'ad', same_as: 0}, \
                  {channel: '', same_as: 1}])[2]['channel']",
            result: "ad",
        }],
        source: "the collector's lines (src/collector/envelope.rs)",
        see_also: &[],
    };

    fn coerce(_: &Enrichment, types: &[DataType]) -> Result<Vec<DataType>> {
        let [list] = types else {
            return plan_err!("{NAME}: expected (item_via), found {} arguments", types.len());
        };
        if let DataType::List(item) = list
            && let DataType::Struct(fields) = item.data_type()
            && let Some((_, field)) = fields.find(SAME_AS)
            && *field.data_type() == DataType::Int64
        {
            return Ok(vec![list.clone()]);
        }
        plan_err!("{NAME}: expected a list of structs with a BIGINT `{SAME_AS}`, found {list}")
    }

    fn return_type(_: &Enrichment, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn evaluate(_: &Enrichment, arguments: &[ArrayRef], _: &DataType) -> Result<ArrayRef> {
        let lists = arguments[0].as_list::<i32>();
        let items = lists.values().as_struct();
        let numbers = items.column_by_name(SAME_AS).map(|numbers| numbers.as_primitive());
        let Some(places) = numbers.and_then(|numbers| places(lists, items, numbers)) else {
            return Ok(ArrayRef::clone(&arguments[0]));
        };
        let taken = take(items, &UInt32Array::from(places), None)?;
        let DataType::List(item) = lists.data_type() else { unreachable!("it is a list") };
        let (item, offsets) = (FieldRef::clone(item), lists.offsets().clone());
        Ok(Arc::new(ListArray::try_new(item, offsets, taken, lists.nulls().cloned())?))
    }
}

/// Which element stands at each place; none if each stands at its own.
fn places(
    lists: &ListArray,
    items: &StructArray,
    numbers: &PrimitiveArray<Int64Type>,
) -> Option<Vec<u32>> {
    if numbers.null_count() == numbers.len() {
        return None;
    }
    let mut places: Vec<u32> = (0..u32::try_from(items.len()).ok()?).collect();
    for bounds in lists.value_offsets().windows(2) {
        let (start, end) = (bounds[0] as usize, bounds[1] as usize);
        for (index, place) in places.iter_mut().enumerate().take(end).skip(start) {
            if items.is_valid(index) && numbers.is_valid(index) {
                let other = usize::try_from(numbers.value(index)).ok();
                let other = other.and_then(|number| start.checked_add(number.checked_sub(1)?));
                // A number of no element is none.
                if let Some(other) = other.filter(|other| *other < end) {
                    *place = u32::try_from(other).ok()?;
                }
            }
        }
    }
    Some(places)
}

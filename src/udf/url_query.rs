//! `url_query(url, key)`.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, StringArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};

use super::adapter::Function;
use super::arguments::{Texts, text_type};
use super::docs::{ArgumentDoc, ExampleDoc, FunctionDoc};
use crate::enrich::{Enrichment, url};

pub(super) const URL: ArgumentDoc = ArgumentDoc {
    name: "url",
    description: "text: an absolute URL, or a request target or relative URL that begins with `/` \
                  or `?`; anything else is malformed",
};
pub(super) const SOURCE: &str = "WHATWG URL Standard (absolute URLs); RFC 9112, section 3.2 \
                                 (request targets); RFC 3986 (percent-encoding)";

/// See [`Function::DOC`].
pub(super) struct UrlQuery;

impl Function for UrlQuery {
    const DOC: FunctionDoc = FunctionDoc {
        name: "url_query",
        syntax: "url_query(url, key)",
        description: "The value of a parameter of a URL's query, percent-decoded, `+` standing \
            for a space; of the first one if several have the name; empty for one without a \
            value. What would not be UTF-8, or would hold a NUL, stays percent-encoded.\nNULL if \
            an argument is NULL, for a malformed URL, and if there is no such parameter.",
        arguments: &[
            URL,
            ArgumentDoc { name: "key", description: "text: the parameter's name, decoded" },
        ],
        examples: &[ExampleDoc {
            sql: "SELECT url_query('/search?q=%E6%9C%AC+1&q=x', 'q')",
            result: "本 1",
        }],
        source: SOURCE,
        see_also: &["url_host", "url_path"],
    };

    fn coerce(_: &Enrichment, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [url, key] => {
                Ok(vec![text_type("url_query", "url", url)?, text_type("url_query", "key", key)?])
            }
            _ => plan_err!("url_query: expected (url, key), found {} arguments", types.len()),
        }
    }

    fn return_type(_: &Enrichment, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn evaluate(_: &Enrichment, arguments: &[ArrayRef], _: &DataType) -> Result<ArrayRef> {
        let urls = Texts::of(arguments[0].as_ref())?;
        let keys = Texts::of(arguments[1].as_ref())?;
        let found = (0..arguments[0].len())
            .map(|row| url::query_value(urls.get(row)?, keys.get(row)?))
            .collect::<StringArray>();
        Ok(Arc::new(found))
    }
}

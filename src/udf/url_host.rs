//! `url_host(url)`.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, StringArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};

use super::adapter::Function;
use super::arguments::{Texts, text_type};
use super::docs::{ExampleDoc, FunctionDoc};
use super::url_query::{SOURCE, URL};
use crate::enrich::{Enrichment, url};

/// See [`Function::DOC`].
pub(super) struct UrlHost;

impl Function for UrlHost {
    const DOC: FunctionDoc = FunctionDoc {
        name: "url_host",
        syntax: "url_host(url)",
        description: "The host of a URL, in lower case, without port and user; names in other \
            scripts as `xn--…`, IPv6 addresses in brackets. Also of CONNECT's request target \
            (`example.com:443`).\nNULL for NULL, for what begins with `/` (also `//`: that is a \
            path) and for a malformed URL.",
        arguments: &[URL],
        examples: &[ExampleDoc {
            sql: "SELECT url_host('https://Shop.Example:8443/a?b=c')",
            result: "shop.example",
        }],
        source: SOURCE,
        see_also: &["url_path", "url_query"],
    };

    fn coerce(_: &Enrichment, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [url] => Ok(vec![text_type(Self::DOC.name, "url", url)?]),
            _ => plan_err!("url_host: expected (url), found {} arguments", types.len()),
        }
    }

    fn return_type(_: &Enrichment, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn evaluate(_: &Enrichment, arguments: &[ArrayRef], _: &DataType) -> Result<ArrayRef> {
        let urls = Texts::of(arguments[0].as_ref())?;
        let found = (0..arguments[0].len()).map(|row| urls.get(row).and_then(url::host));
        Ok(Arc::new(found.collect::<StringArray>()))
    }
}

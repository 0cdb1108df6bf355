//! `url_path(url)`.

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
pub(super) struct UrlPath;

impl Function for UrlPath {
    const DOC: FunctionDoc = FunctionDoc {
        name: "url_path",
        syntax: "url_path(url)",
        description: "The path of an absolute or relative URL or of a request target, \
            percent-decoded, with `.` and `..` resolved; `//a` is a path. What would not be UTF-8, \
            or would hold a NUL, stays percent-encoded.\nNULL for NULL, for a malformed URL and \
            for the targets of CONNECT (`example.com:443`) and of OPTIONS (`*`).",
        arguments: &[URL],
        examples: &[ExampleDoc { sql: "SELECT url_path('/%E6%9C%AC/1?q=a')", result: "/本/1" }],
        source: SOURCE,
        see_also: &["url_host", "url_query"],
    };

    fn coerce(_: &Enrichment, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [url] => Ok(vec![text_type(Self::DOC.name, "url", url)?]),
            _ => plan_err!("url_path: expected (url), found {} arguments", types.len()),
        }
    }

    fn return_type(_: &Enrichment, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn evaluate(_: &Enrichment, arguments: &[ArrayRef], _: &DataType) -> Result<ArrayRef> {
        let urls = Texts::of(arguments[0].as_ref())?;
        let found = (0..arguments[0].len()).map(|row| urls.get(row).and_then(url::path));
        Ok(Arc::new(found.collect::<StringArray>()))
    }
}

//! `pseudonymize(text, key)`.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, StringArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, plan_err};
use datafusion::logical_expr::Expr;

use super::adapter::Function;
use super::arguments::{Texts, text_type};
use super::docs::{ArgumentDoc, ExampleDoc, FunctionDoc};
use crate::enrich::{Enrichment, Keys};

/// See [`Function::DOC`].
pub(super) struct Pseudonymize;

impl Function for Pseudonymize {
    const DOC: FunctionDoc = FunctionDoc {
        name: "pseudonymize",
        syntax: "pseudonymize(text, key)",
        description: "A keyed hash that stands for a text: HMAC-SHA-256 of its UTF-8 bytes as 64 \
            lower-case hexadecimal digits. Equal texts have equal pseudonyms under a key; without \
            the key's secret none can be undone or tried out.\nNULL for NULL. A key that the \
            pipeline does not have is an error before the run.",
        arguments: &[
            ArgumentDoc {
                name: "text",
                description: "text, or an integer, which is taken as text",
            },
            ArgumentDoc {
                name: "key",
                description: "text, a constant: the name of a key of the pipeline (not its secret)",
            },
        ],
        examples: &[ExampleDoc {
            sql: "SELECT pseudonymize('taro@example.jp', 'visitor')",
            result: "6e351a103ef6bbfe03196762c2033614e781d7317671af5ab27766a35daf4efa",
        }],
        source: "RFC 2104 and FIPS 198-1 (HMAC), FIPS 180-4 (SHA-256); the example's secret is the \
            text `ashiato`",
        see_also: &[],
    };

    fn coerce(_: &Enrichment, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [text, key] => {
                let text = if text.is_integer() { &DataType::Utf8 } else { text };
                let name = Self::DOC.name;
                Ok(vec![text_type(name, "text", text)?, text_type(name, "key", key)?])
            }
            _ => plan_err!("pseudonymize: expected (text, key), found {} arguments", types.len()),
        }
    }

    fn return_type(_: &Enrichment, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn check_constants(enrichment: &Enrichment, constants: &[Option<&ScalarValue>]) -> Result<()> {
        let key = constants.get(1).copied().flatten().and_then(|key| key.try_as_str().flatten());
        match key.filter(|key| enrichment.keys.get(key).is_none()) {
            Some(key) => plan_err!("{}", unknown_key(key, &enrichment.keys)),
            None => Ok(()),
        }
    }

    fn check_expressions(enrichment: &Enrichment, arguments: &[Expr]) -> Result<()> {
        match arguments.get(1).filter(|key| key.any_column_refs()) {
            Some(key) => plan_err!(
                "pseudonymize: expected the name of a key as a constant, found `{key}`; {}",
                known_keys(&enrichment.keys)
            ),
            None => Ok(()),
        }
    }

    fn evaluate(enrichment: &Enrichment, arguments: &[ArrayRef], _: &DataType) -> Result<ArrayRef> {
        let texts = Texts::of(arguments[0].as_ref())?;
        let keys = Texts::of(arguments[1].as_ref())?;
        let rows = (0..arguments[0].len()).map(|row| {
            let (Some(text), Some(name)) = (texts.get(row), keys.get(row)) else {
                return Ok(None);
            };
            let key = enrichment.keys.get(name);
            let key =
                key.ok_or_else(|| exec_datafusion_err!("{}", unknown_key(name, &enrichment.keys)))?;
            Ok(Some(key.pseudonymize(text)))
        });
        Ok(Arc::new(rows.collect::<Result<StringArray>>()?))
    }
}

fn unknown_key(name: &str, keys: &Keys) -> String {
    format!("pseudonymize: unknown key `{name}`; {}", known_keys(keys))
}

fn known_keys(keys: &Keys) -> String {
    let names: Vec<&str> = keys.names().collect();
    match names.as_slice() {
        [] => {
            "the pipeline has no keys; name them under `[enrichment.keys]` in pipeline.toml".into()
        }
        names => format!("the pipeline's keys are: {}", names.join(", ")),
    }
}

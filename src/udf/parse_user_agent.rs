//! `parse_user_agent(ua)`.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, StringArray, StructArray};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, plan_err};
use foldhash::{HashMap, HashMapExt};

use super::adapter::Function;
use super::arguments::{Texts, text_type};
use super::docs::{ArgumentDoc, ExampleDoc, FunctionDoc};
use crate::enrich::{Enrichment, UserAgent};

const IPHONE: &str = "SELECT parse_user_agent('Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac \
    OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Mobile/15E148 \
    Safari/604.1')['device_kind']";

/// See [`Function::DOC`].
pub(super) struct ParseUserAgent;

impl Function for ParseUserAgent {
    const DOC: FunctionDoc = FunctionDoc {
        name: "parse_user_agent",
        syntax: "parse_user_agent(ua)",
        description: "What a User-Agent header tells, as a struct of browser, version, os, \
            os_version, device_kind (`pc`, `smartphone`, `tablet`, `tv`, `bot` or `other`) and \
            bot (whether device_kind is `bot`). Fields that it does not tell are NULL; \
            device_kind and bot never are.\nThe first rule that holds makes the device_kind: \
            `bot` if uap-core knows a spider, or a word ends in bot, crawler, spider, slurp, \
            fetcher, feedparser or rss, begins with feed, or holds monitor; `tv` if it names a \
            television; `tablet` for iPad, Tablet, Kindle, PlayBook, or Android without Mobile; \
            `smartphone` for other Android, iPhone, iPod, Windows Phone, BlackBerry or Mobile; \
            `pc` for a desktop system; `other` for the rest.\nNULL for NULL. Only the first 1,024 \
            bytes are looked at.",
        arguments: &[ArgumentDoc { name: "ua", description: "text: the header's value" }],
        examples: &[
            ExampleDoc { sql: IPHONE, result: "smartphone" },
            ExampleDoc { sql: "SELECT parse_user_agent('Googlebot/2.1')['bot']", result: "true" },
        ],
        source: "uap-core 0.18.0 (families and versions); this program (kinds of devices)",
        see_also: &[],
    };

    fn coerce(_: &Enrichment, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [ua] => Ok(vec![text_type(Self::DOC.name, "ua", ua)?]),
            _ => plan_err!("parse_user_agent: expected (ua), found {} arguments", types.len()),
        }
    }

    fn return_type(_: &Enrichment, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(fields()))
    }

    fn evaluate(enrichment: &Enrichment, arguments: &[ArrayRef], _: &DataType) -> Result<ArrayRef> {
        let texts = Texts::of(arguments[0].as_ref())?;
        let mut known: HashMap<&str, Arc<UserAgent>> = HashMap::new();
        let rows = (0..arguments[0].len()).map(|row| {
            let text = texts.get(row)?;
            Some(Arc::clone(
                known.entry(text).or_insert_with(|| enrichment.user_agents.parse(text)),
            ))
        });
        Ok(Arc::new(to_structs(&rows.collect::<Vec<_>>())?))
    }
}

fn fields() -> Fields {
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    Fields::from(vec![
        field("browser", DataType::Utf8),
        field("version", DataType::Utf8),
        field("os", DataType::Utf8),
        field("os_version", DataType::Utf8),
        field("device_kind", DataType::Utf8),
        field("bot", DataType::Boolean),
    ])
}

fn to_structs(agents: &[Option<Arc<UserAgent>>]) -> Result<StructArray> {
    let known = || agents.iter().map(Option::as_deref);
    let texts = |read: fn(&UserAgent) -> Option<&str>| -> ArrayRef {
        Arc::new(known().map(|agent| agent.and_then(read)).collect::<StringArray>())
    };
    let columns: Vec<ArrayRef> = vec![
        texts(|agent| agent.browser.as_deref()),
        texts(|agent| agent.version.as_deref()),
        texts(|agent| agent.os.as_deref()),
        texts(|agent| agent.os_version.as_deref()),
        texts(|agent| Some(agent.device_kind.as_str())),
        Arc::new(known().map(|agent| agent.map(|agent| agent.bot)).collect::<BooleanArray>()),
    ];
    let nulls: NullBuffer = agents.iter().map(Option::is_some).collect::<Vec<bool>>().into();
    Ok(StructArray::try_new_with_length(fields(), columns, Some(nulls), agents.len())?)
}

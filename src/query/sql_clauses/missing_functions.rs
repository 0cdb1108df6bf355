//! Functions that other databases have, and what to write instead.

use super::Walk;
use crate::base::config::nearest;

const JSON: &str = "name the field in contract.toml as a column's `path`, which types it";
const TO_CHAR: &str = "write `to_char(at, '%Y-%m-%d')`";
const TO_TIMESTAMP: &str = "write `to_timestamp(text, '%Y-%m-%d')`";
const CASE: &str = "write `CASE WHEN a THEN b ELSE c END`";
const INTERVAL: &str = "write `at + INTERVAL '1 day'`";
const DIFFERENCE: &str = "subtract one from the other, and take `date_part('epoch', …)` of it";
const UNNEST: &str = "write `unnest(list)`";
const LIST: &str = "write `array_agg(a)`";
const SET: &str = "write `array_agg(DISTINCT a)`";
const TRY_CAST: &str = "write `TRY_CAST(a AS type)`, which is NULL if it cannot be";
const URL: &str = "see `url_host`, `url_path` and `url_query`";

/// Names in lower case, and what to write instead.
const ELSEWHERE: [(&str, &str); 58] = [
    ("approx_count_distinct", "write `approx_distinct(a)`"),
    ("approx_quantile", "write `approx_percentile_cont(p) WITHIN GROUP (ORDER BY a)`"),
    ("arg_max", "write `first_value(a ORDER BY b DESC)`"),
    ("arg_min", "write `first_value(a ORDER BY b)`"),
    ("charindex", "write `strpos(text, part)`"),
    ("collect_list", LIST),
    ("collect_set", SET),
    ("convert_timezone", "write `at AT TIME ZONE 'Asia/Tokyo'`"),
    ("convert_tz", "write `at AT TIME ZONE 'Asia/Tokyo'`"),
    ("count_if", "write `count(*) FILTER (WHERE a)`"),
    ("countif", "write `count(*) FILTER (WHERE a)`"),
    ("date_add", INTERVAL),
    ("date_diff", DIFFERENCE),
    ("date_parse", TO_TIMESTAMP),
    ("date_sub", "write `at - INTERVAL '1 day'`"),
    ("dateadd", INTERVAL),
    ("datediff", DIFFERENCE),
    ("decode_json", JSON),
    ("explode", UNNEST),
    ("explode_outer", "write `unnest_outer(list)`"),
    ("flatten_json", JSON),
    ("format_timestamp", TO_CHAR),
    ("from_json", JSON),
    ("get_json_object", JSON),
    ("getdate", "write `now()`, or `$interval_start` for the day that is run"),
    ("group_concat", "write `string_agg(a, ',')`"),
    ("if", CASE),
    ("iff", CASE),
    ("iif", CASE),
    ("isnull", "write `a IS NULL`, or `coalesce(a, b)`"),
    ("json_extract", JSON),
    ("json_extract_path", JSON),
    ("json_extract_path_text", JSON),
    ("json_extract_scalar", JSON),
    ("json_extract_string", JSON),
    ("json_query", JSON),
    ("json_value", JSON),
    ("jsonb_extract_path", JSON),
    ("listagg", "write `string_agg(a, ',')`"),
    ("max_by", "write `first_value(a ORDER BY b DESC)`"),
    ("min_by", "write `first_value(a ORDER BY b)`"),
    ("parse_json", JSON),
    ("parse_timestamp", TO_TIMESTAMP),
    ("parse_url", URL),
    ("percentile", "write `percentile_cont(p) WITHIN GROUP (ORDER BY a)`"),
    ("posexplode", UNNEST),
    ("regexp_extract", "write `regexp_match(text, 'pattern')[1]`"),
    ("regexp_substr", "write `regexp_match(text, 'pattern')[1]`"),
    ("safe_cast", TRY_CAST),
    ("safe_divide", "write `a / nullif(b, 0)`"),
    ("split", "write `string_to_array(text, ',')`"),
    ("str_to_date", TO_TIMESTAMP),
    ("strftime", TO_CHAR),
    ("strptime", TO_TIMESTAMP),
    ("to_json", "nothing here writes JSON"),
    ("toyyyymmdd", TO_CHAR),
    ("try_divide", "write `a / nullif(b, 0)`"),
    ("url_extract_host", URL),
];

impl Walk<'_> {
    /// A function that nobody knows, with what may have been meant.
    pub(crate) fn unknown_function(&mut self, called: &str) {
        let message = format!("no function `{called}`");
        let elsewhere = ELSEWHERE.iter().find(|(name, _)| *name == called.to_lowercase());
        let help = match elsewhere {
            Some((_, help)) => (*help).to_owned(),
            None => self.similar_function(called),
        };
        self.refuse_as(called, message, help);
    }

    fn similar_function(&self, called: &str) -> String {
        let names = self.state.scalar_functions().keys();
        let names = names.chain(self.state.aggregate_functions().keys());
        let names = names.chain(self.state.window_functions().keys());
        let mut known: Vec<&str> = names.map(String::as_str).collect();
        known.sort_unstable();
        let lower = called.to_lowercase();
        match nearest(&lower, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                "`ashiato functions` and DataFusion's documentation list what there is".to_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ELSEWHERE;

    #[test]
    fn names_stand_once_and_in_order() {
        assert!(ELSEWHERE.is_sorted_by(|(a, _), (b, _)| a < b));
    }

    #[test]
    fn what_is_there_is_not_called_missing() {
        let state = datafusion::prelude::SessionContext::new().state();
        for (name, _) in ELSEWHERE {
            assert!(!state.scalar_functions().contains_key(name), "{name} is there");
            assert!(!state.aggregate_functions().contains_key(name), "{name} is there");
        }
    }
}

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
const DATE_PART: &str = "write `date_part('year', at)`, or `'month'`, `'day'`, `'hour'`, `'dow'`";
const DATE_TRUNC: &str = "write `date_trunc('day', at)`";
const TO_DATE: &str = "write `to_date(text, '%Y-%m-%d')`";
const REGEXP_LIKE: &str = "write `regexp_like(text, 'pattern')`";
const URL: &str = "see `url_host`, `url_path` and `url_query`";

/// Names in lower case, and what to write instead.
const ELSEWHERE: &[(&str, &str)] = &[
    ("add_months", "write `at + INTERVAL '1 month'`"),
    ("age", DIFFERENCE),
    ("aggregate", UNNEST),
    ("approx_count_distinct", "write `approx_distinct(a)`"),
    ("approx_percentile", "write `approx_percentile_cont(p) WITHIN GROUP (ORDER BY a)`"),
    ("approx_quantile", "write `approx_percentile_cont(p) WITHIN GROUP (ORDER BY a)`"),
    ("arg_max", "write `first_value(a ORDER BY b DESC)`"),
    ("arg_min", "write `first_value(a ORDER BY b)`"),
    ("argmax", "write `first_value(a ORDER BY b DESC)`"),
    ("argmin", "write `first_value(a ORDER BY b)`"),
    ("array_size", "write `cardinality(list)`"),
    ("base64", "write `encode(a, 'base64')`"),
    ("ceiling", "write `ceil(a)`"),
    ("char", "write `chr(n)`"),
    ("charindex", "write `strpos(text, part)`"),
    ("collect_list", LIST),
    ("collect_set", SET),
    ("convert_timezone", "write `at AT TIME ZONE 'Asia/Tokyo'`"),
    ("convert_tz", "write `at AT TIME ZONE 'Asia/Tokyo'`"),
    ("count_if", "write `count(*) FILTER (WHERE a)`"),
    ("countif", "write `count(*) FILTER (WHERE a)`"),
    ("crc32", "write `md5(text)` or `sha256(text)`"),
    ("current_datetime", "write `now()`, or `$interval_start` for the day that is run"),
    ("datalength", "write `octet_length(text)`"),
    ("date", "write `CAST(at AS DATE)`"),
    ("date_add", INTERVAL),
    ("date_diff", DIFFERENCE),
    ("date_from_parts", "write `make_date(year, month, day)`"),
    ("date_parse", TO_TIMESTAMP),
    ("date_sub", "write `at - INTERVAL '1 day'`"),
    ("dateadd", INTERVAL),
    ("datediff", DIFFERENCE),
    ("datetime", "write `CAST(text AS TIMESTAMP)`"),
    ("datetime_add", INTERVAL),
    ("datetime_diff", DIFFERENCE),
    ("datetime_trunc", DATE_TRUNC),
    ("day", DATE_PART),
    ("dayname", TO_CHAR),
    ("dayofmonth", DATE_PART),
    ("dayofweek", DATE_PART),
    ("dayofyear", DATE_PART),
    ("decode_json", JSON),
    ("endswith", "write `ends_with(text, part)`"),
    ("explode", UNNEST),
    ("explode_outer", "write `unnest_outer(list)`"),
    ("farm_fingerprint", "write `md5(text)` or `sha256(text)`"),
    ("filter", UNNEST),
    ("first", "write `first_value(a ORDER BY b)`"),
    ("flatten_json", JSON),
    ("format_date", TO_CHAR),
    ("format_datetime", TO_CHAR),
    ("format_timestamp", TO_CHAR),
    ("from_base64", "write `decode(text, 'base64')`"),
    ("from_json", JSON),
    ("from_utc_timestamp", "write `at AT TIME ZONE 'Asia/Tokyo'`"),
    ("generate_array", "write `range(start, end, step)`"),
    ("generate_date_array", "write `range(start, end, step)`"),
    ("generate_uuid", "write `uuid()`"),
    ("get_json_object", JSON),
    ("get_path", JSON),
    ("getdate", "write `now()`, or `$interval_start` for the day that is run"),
    ("group_concat", "write `string_agg(a, ',')`"),
    ("grouparray", LIST),
    ("hash", "write `md5(text)` or `sha256(text)`"),
    ("hex", "write `encode(a, 'hex')`, or `to_hex(n)`"),
    ("hour", DATE_PART),
    ("if", CASE),
    ("iff", CASE),
    ("iif", CASE),
    ("isnull", "write `a IS NULL`, or `coalesce(a, b)`"),
    ("json_agg", "nothing here writes JSON"),
    ("json_extract", JSON),
    ("json_extract_path", JSON),
    ("json_extract_path_text", JSON),
    ("json_extract_scalar", JSON),
    ("json_extract_string", JSON),
    ("json_object", "nothing here writes JSON"),
    ("json_query", JSON),
    ("json_value", JSON),
    ("jsonb_agg", "nothing here writes JSON"),
    ("jsonb_extract_path", JSON),
    ("last", "write `last_value(a ORDER BY b)`"),
    ("last_day", "write `date_trunc('month', at) + INTERVAL '1 month' - INTERVAL '1 day'`"),
    ("lcase", "write `lower(text)`"),
    ("len", "write `length(text)`"),
    ("listagg", "write `string_agg(a, ',')`"),
    ("localtimestamp", "write `now()`, or `$interval_start` for the day that is run"),
    ("locate", "write `strpos(text, part)`"),
    ("logical_and", "write `bool_and(a)`"),
    ("logical_or", "write `bool_or(a)`"),
    ("max_by", "write `first_value(a ORDER BY b DESC)`"),
    ("md5_hex", "write `md5(text)` or `sha256(text)`"),
    ("min_by", "write `first_value(a ORDER BY b)`"),
    ("minute", DATE_PART),
    ("mod", "write `a % b`"),
    ("month", DATE_PART),
    ("monthname", TO_CHAR),
    ("nullifzero", "write `nullif(a, 0)`"),
    ("object_construct", "nothing here writes JSON"),
    ("offset", "write `list[1]` for the first element"),
    ("ordinal", "write `list[1]` for the first element"),
    ("parse_date", TO_DATE),
    ("parse_datetime", TO_TIMESTAMP),
    ("parse_json", JSON),
    ("parse_timestamp", TO_TIMESTAMP),
    ("parse_url", URL),
    ("percentile", "write `percentile_cont(p) WITHIN GROUP (ORDER BY a)`"),
    ("percentile_approx", "write `approx_percentile_cont(p) WITHIN GROUP (ORDER BY a)`"),
    ("percentile_disc", "write `percentile_cont(p) WITHIN GROUP (ORDER BY a)`"),
    ("posexplode", UNNEST),
    ("quantile", "write `percentile_cont(p) WITHIN GROUP (ORDER BY a)`"),
    ("quarter", DATE_PART),
    ("reduce", UNNEST),
    ("regexp_contains", REGEXP_LIKE),
    ("regexp_extract", "write `regexp_match(text, 'pattern')[1]`"),
    ("regexp_substr", "write `regexp_match(text, 'pattern')[1]`"),
    ("replicate", "write `repeat(' ', n)`"),
    ("rlike", REGEXP_LIKE),
    ("safe_cast", TRY_CAST),
    ("safe_divide", "write `a / nullif(b, 0)`"),
    ("safe_offset", "write `list[1]` for the first element"),
    ("second", DATE_PART),
    ("sequence", "write `range(start, end, step)`"),
    ("sha", "write `md5(text)` or `sha256(text)`"),
    ("sha1", "write `md5(text)` or `sha256(text)`"),
    ("sign", "write `signum(a)`"),
    ("size", "write `cardinality(list)`"),
    ("sort_array", "write `array_sort(list)`"),
    ("space", "write `repeat(' ', n)`"),
    ("split", "write `string_to_array(text, ',')`"),
    ("split_to_table", "write `string_to_array(text, ',')`"),
    ("square", "write `a * a`"),
    ("startswith", "write `starts_with(text, part)`"),
    ("str_pos", "write `strpos(text, part)`"),
    ("str_to_date", TO_TIMESTAMP),
    ("strftime", TO_CHAR),
    ("string_split", "write `string_to_array(text, ',')`"),
    ("strptime", TO_TIMESTAMP),
    ("strtok", "write `string_to_array(text, ',')`"),
    ("sysdate", "write `now()`, or `$interval_start` for the day that is run"),
    ("time_trunc", DATE_TRUNC),
    ("timestamp", "write `CAST(text AS TIMESTAMP)`"),
    ("timestamp_add", INTERVAL),
    ("timestamp_diff", DIFFERENCE),
    ("timestamp_micros", "write `to_timestamp_micros(n)`"),
    ("timestamp_millis", "write `to_timestamp_millis(n)`"),
    ("timestamp_seconds", "write `to_timestamp_seconds(n)`"),
    ("timestamp_sub", "write `at - INTERVAL '1 day'`"),
    ("timestamp_trunc", DATE_TRUNC),
    ("timestampdiff", DIFFERENCE),
    ("to_base64", "write `encode(a, 'base64')`"),
    ("to_decimal", TRY_CAST),
    ("to_json", "nothing here writes JSON"),
    ("to_number", TRY_CAST),
    ("to_timestamp_ntz", TO_TIMESTAMP),
    ("to_utc_timestamp", "write `at AT TIME ZONE 'Asia/Tokyo'`"),
    ("to_varchar", TRY_CAST),
    ("todate", "write `CAST(at AS DATE)`"),
    ("tostring", TRY_CAST),
    ("toyyyymmdd", TO_CHAR),
    ("transform", UNNEST),
    ("truncate", "write `trunc(a)`"),
    ("try_divide", "write `a / nullif(b, 0)`"),
    ("try_parse_json", JSON),
    ("try_to_date", TO_DATE),
    ("try_to_number", TRY_CAST),
    ("try_to_timestamp", TO_TIMESTAMP),
    ("typeof", "write `arrow_typeof(a)`"),
    ("ucase", "write `upper(text)`"),
    ("unbase64", "write `decode(text, 'base64')`"),
    ("unhex", "write `decode(text, 'hex')`"),
    ("unicode", "write `ascii(text)`"),
    ("uniq", "write `approx_distinct(a)`"),
    ("uniqexact", "write `count(DISTINCT a)`"),
    ("unix_millis", "write `to_unixtime(at) * 1000`"),
    ("unix_seconds", "write `to_unixtime(at)`"),
    ("unix_timestamp", "write `to_unixtime(at)`"),
    ("url_decode", URL),
    ("url_extract_host", URL),
    ("variance", "write `var_samp(a)`"),
    ("week", DATE_PART),
    ("weekofyear", DATE_PART),
    ("year", DATE_PART),
    ("zeroifnull", "write `coalesce(a, 0)`"),
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
        for &(name, _) in ELSEWHERE {
            assert!(!state.scalar_functions().contains_key(name), "{name} is there");
            assert!(!state.aggregate_functions().contains_key(name), "{name} is there");
        }
    }
}

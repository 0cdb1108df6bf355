//! Calls of functions with whatever a row brings; what they give is not modelled.

use super::input::Random;

/// Calls with texts (`{t}`), integers (`{i}`), numbers (`{n}`) and instants (`{at}`).
const CALLS: [&str; 84] = [
    "substr({t}, {i}, {i})",
    "left({t}, {i})",
    "right({t}, {i})",
    "split_part({t}, {t}, {i})",
    "lpad({t}, {i}, {t})",
    "rpad({t}, {i}, {t})",
    "repeat({t}, {i})",
    "chr({i})",
    "ascii({t})",
    "translate({t}, {t}, {t})",
    "replace({t}, {t}, {t})",
    "overlay({t} PLACING {t} FROM {i})",
    "regexp_replace({t}, {t}, {t}, 'g')",
    "regexp_like({t}, {t})",
    "regexp_count({t}, {t})",
    "regexp_match({t}, {t})[1]",
    "{t} LIKE {t}",
    "{t} ~ {t}",
    "{t} ILIKE {t}",
    "md5({t})",
    "levenshtein({t}, {t})",
    "find_in_set({t}, {t})",
    "substr_index({t}, {t}, {i})",
    "strpos({t}, {t})",
    "starts_with({t}, {t})",
    "reverse({t})",
    "initcap({t})",
    "to_hex({i})",
    "trim(BOTH {t} FROM {t})",
    "character_length({t})",
    "concat_ws({t}, {t}, {t})",
    "encode({t}, 'hex')",
    "decode({t}, 'base64')",
    "encode(digest({t}, 'sha256'), 'hex')",
    "date_trunc('month', {at})",
    "date_part('week', {at})",
    "extract(epoch FROM {at})",
    "date_bin(INTERVAL '15 minutes', {at})",
    "to_timestamp_micros({i})",
    "to_char({at}, {t})",
    "{at} - {at}",
    "{at} + INTERVAL '255000 years'",
    "CAST({at} AS DATE)",
    "CAST({t} AS DATE)",
    "CAST({t} AS TIMESTAMP)",
    "CAST({t} AS TIME)",
    "CAST({t} AS INTERVAL)",
    "CAST({t} AS BOOLEAN)",
    "to_timestamp({i})",
    "to_timestamp_millis({i})",
    "to_timestamp({t})",
    "to_timestamp({t}, {t})",
    "to_date({t}, {t})",
    "from_unixtime({i})",
    "make_date({i}, {i}, {i})",
    "to_local_time({at})",
    "arrow_cast({i}, 'Timestamp(Second, None)')",
    "arrow_cast({i}, 'Date32')",
    "arrow_cast({at}, 'Timestamp(Nanosecond, None)')",
    "{at} AT TIME ZONE 'America/New_York'",
    "round({n}, {i})",
    "trunc({n}, {i})",
    "power({i}, {i})",
    "factorial({i})",
    "gcd({i}, {i})",
    "lcm({i}, {i})",
    "{i} << {i}",
    "{i} >> {i}",
    "{i} & {i}",
    "sqrt({n})",
    "ln({n})",
    "log({n}, {n})",
    "ceil({n})",
    "floor({n})",
    "signum({n})",
    "abs({n})",
    "{n} % {n}",
    "greatest({n}, {n})",
    "array_to_string(array_repeat({i}, {i}), ',')",
    "array_to_string(range({i}, {i}, {i}), ',')",
    "array_to_string(make_array({i}, {i})[{i}:{i}], ',')",
    "url_query({t}, {t})",
    "consumption_tax({i}, {t}, {at}, {t})",
    "tax_excluded({i}, {t}, {at})",
];

const TEXTS: [&str; 9] =
    ["name", "text", "text", "upper(name)", "name || text", "'a'", "'%Y-%m-%d'", "''", "'floor'"];
const INTEGERS: [&str; 10] =
    ["a", "a", "b", "b", "id", "3", "(-1)", "0", "64", "9223372036854775807"];
const NUMBERS: [&str; 6] = ["a", "b", "d", "e", "f", "(-0.5)"];
const INSTANTS: [&str; 3] = ["at", "at", "to_timestamp_seconds(b)"];

/// One call.
pub fn call(random: &mut Random) -> String {
    let mut rest = random.of(&CALLS);
    let mut call = String::new();
    while let Some(begin) = rest.find('{') {
        let end = rest.find('}').unwrap();
        call.push_str(&rest[..begin]);
        call.push_str(match &rest[begin + 1..end] {
            "t" => random.of(&TEXTS),
            "i" => random.of(&INTEGERS),
            "n" => random.of(&NUMBERS),
            _ => random.of(&INSTANTS),
        });
        rest = &rest[end + 1..];
    }
    call + rest
}

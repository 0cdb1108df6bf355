//! Outputs of generated SQL, and the rows and rejects that each must have.

use std::collections::{BTreeMap, BTreeSet};

use super::expression::{BIGINT, Condition, Expression, Fault, INT, Row, Type};
use super::input::{CODES, Random};

const COLUMNS: [(&str, Type); 6] = [
    ("id", BIGINT),
    ("a", BIGINT),
    ("a", BIGINT),
    ("b", INT),
    ("d", Type::Decimal(12, 2)),
    ("e", Type::Decimal(38, 10)),
];

/// What is added up has a place with any number of rows.
const ADDABLE: Type = Type::Decimal(20, 2);

/// One output: its view, its expectation's predicate, and what is known of its rows.
#[derive(Debug, Clone)]
pub struct FuzzedOutput {
    pub name: &'static str,
    pub sql: String,
    pub predicate: Option<String>,
    shape: Shape,
}

#[derive(Debug, Clone)]
enum Shape {
    Rows {
        filter: Option<Condition>,
        columns: [Expression; 2],
        kept: Option<Condition>,
    },
    Groups {
        filter: Option<Condition>,
        key: Expression,
        summed: Expression,
        other: Expression,
    },
    Windows {
        filter: Option<Condition>,
        summed: Expression,
        other: Expression,
        is_running: bool,
    },
    Joined {
        is_left: bool,
        columns: [Expression; 2],
    },
    /// What functions give is not modelled; each row is a row or a reject all the same.
    Functions,
}

/// What an output must have: rows, each as in a TSV file, and rejects by their line.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expected {
    pub rows: Vec<String>,
    /// Line (none of groups) and reason.
    pub rejects: Vec<(Option<u64>, String)>,
}

/// How far the rows of an output are known.
#[derive(Debug)]
pub enum Known {
    /// All but those of some lines.
    Without(BTreeSet<u64>, Expected),
    /// Only that of so many rows each is a row or a reject.
    Balance(u64),
    /// Nothing, for one that may be a reject or not stands in a sum.
    Nothing,
}

const FAILS: &str = "evaluation_error";

fn filter(random: &mut Random) -> Option<Condition> {
    let depth = random_depth(random);
    random.one_in(3).then(|| Condition::any(random, &COLUMNS, depth))
}

fn random_depth(random: &mut Random) -> usize {
    1 + random.below(3)
}

fn expression(random: &mut Random) -> Expression {
    let depth = random_depth(random);
    Expression::any(random, &COLUMNS, depth)
}

fn condition_sql(filter: Option<&Condition>) -> String {
    filter.map(|filter| format!(" WHERE {}", filter.sql())).unwrap_or_default()
}

impl FuzzedOutput {
    /// One of each kind.
    pub fn all(random: &mut Random) -> Vec<Self> {
        vec![
            Self::rows(random),
            Self::groups(random),
            Self::windows(random),
            Self::joined(random),
            Self::functions(random),
        ]
    }

    fn rows(random: &mut Random) -> Self {
        let (filter, columns) = (filter(random), [expression(random), expression(random)]);
        let seen = [("x", columns[0].kind()), ("y", columns[1].kind())];
        let is_narrow = seen.iter().all(|(_, kind)| !matches!(kind, Type::Decimal(_, 7..)));
        let kept = (is_narrow && random.one_in(2)).then(|| Condition::any(random, &seen, 1));
        let where_ = condition_sql(filter.as_ref());
        let [x, y] = columns.each_ref().map(Expression::sql);
        FuzzedOutput {
            name: "rows",
            sql: format!(
                "SELECT _line AS n, {x} AS x, {y} AS y, text, _source, _line FROM logs{where_}"
            ),
            predicate: kept.as_ref().map(Condition::sql),
            shape: Shape::Rows { filter, columns, kept },
        }
    }

    fn groups(random: &mut Random) -> Self {
        let filter = filter(random);
        let (key, other) = (expression(random), expression(random));
        let summed = Expression::Cast(ADDABLE, Box::new(expression(random)));
        let where_ = condition_sql(filter.as_ref());
        let (k, s, o) = (key.sql(), summed.sql(), other.sql());
        let sql = format!(
            "SELECT min(_line) AS n, count(*) AS c, count({o}) AS k, sum({s}) AS s, \
             sum(DISTINCT {s}) AS t, min({o}) AS lo, max({o}) AS hi FROM logs{where_} GROUP BY {k}"
        );
        let shape = Shape::Groups { filter, key, summed, other };
        FuzzedOutput { name: "groups", sql, predicate: None, shape }
    }

    fn windows(random: &mut Random) -> Self {
        let filter = filter(random);
        let other = expression(random);
        let summed = Expression::Cast(ADDABLE, Box::new(expression(random)));
        let is_running = random.one_in(2);
        let frame = if is_running { "" } else { " ROWS BETWEEN 1 PRECEDING AND CURRENT ROW" };
        let over = "(PARTITION BY name ORDER BY _line";
        let (s, o, where_) = (summed.sql(), other.sql(), condition_sql(filter.as_ref()));
        let sql = format!(
            "SELECT _line AS n, row_number() OVER {over}) AS r, sum({s}) OVER {over}{frame}) AS s, \
             lag({o}) OVER {over}) AS g FROM logs{where_}"
        );
        let shape = Shape::Windows { filter, summed, other, is_running };
        FuzzedOutput { name: "windows", sql, predicate: None, shape }
    }

    fn joined(random: &mut Random) -> Self {
        let columns = [&COLUMNS[..], &[("rate", BIGINT); 2]].concat();
        let mut one = || {
            let depth = random_depth(random);
            Expression::any(random, &columns, depth)
        };
        let columns = [one(), one()];
        let is_left = random.one_in(2);
        let join = if is_left { "LEFT JOIN" } else { "JOIN" };
        let [x, y] = columns.each_ref().map(Expression::sql);
        FuzzedOutput {
            name: "joined",
            sql: format!(
                "SELECT _line AS n, rate, {x} AS x, {y} AS y FROM logs {join} codes ON name = code"
            ),
            predicate: None,
            shape: Shape::Joined { is_left, columns },
        }
    }

    fn functions(random: &mut Random) -> Self {
        let call = super::functions::call(random);
        FuzzedOutput {
            name: "functions",
            sql: format!("SELECT _line AS n, CAST({call} AS TEXT) AS x FROM logs"),
            predicate: None,
            shape: Shape::Functions,
        }
    }

    /// Whether `check` may refuse it.
    pub fn may_be_refused(&self) -> bool {
        matches!(self.shape, Shape::Functions)
    }

    /// What it must have of some rows of `logs`.
    pub fn expected(&self, logs: &[Row]) -> Known {
        match &self.shape {
            Shape::Rows { filter, columns, kept } => {
                expected_rows(logs, filter.as_ref(), columns, kept.as_ref())
            }
            Shape::Joined { is_left, columns } => expected_joined(logs, *is_left, columns),
            Shape::Groups { filter, key, summed, other } => {
                let all = [key, summed, other];
                gathered(logs, filter.as_ref(), all, |good| groups(good, other.kind()))
            }
            Shape::Windows { filter, summed, other, is_running } => {
                let all = [summed, other, other];
                let windows = |good: &Gathered| windows(good, other.kind(), *is_running);
                gathered(logs, filter.as_ref(), all, windows)
            }
            Shape::Functions => Known::Balance(logs.len() as u64),
        }
    }
}

fn is_kept(filter: Option<&Condition>, row: &Row) -> Result<bool, Fault> {
    filter.map_or(Ok(true), |filter| Ok(filter.of(row)? == Some(true)))
}

/// The values of all expressions, of which any that fails makes the row a reject.
fn values<const N: usize>(of: [&Expression; N], row: &Row) -> Result<[Option<i128>; N], Fault> {
    let outcomes = of.map(|one| one.of(row));
    if outcomes.contains(&Err(Fault::Fails)) {
        return Err(Fault::Fails);
    }
    let mut values = [None; N];
    for (value, outcome) in values.iter_mut().zip(outcomes) {
        *value = outcome?;
    }
    Ok(values)
}

fn expected_rows(
    logs: &[Row],
    filter: Option<&Condition>,
    columns: &[Expression; 2],
    kept: Option<&Condition>,
) -> Known {
    let (mut expected, mut unsure) = (Expected::default(), BTreeSet::new());
    let judge = |row: &Row| {
        if !is_kept(filter, row)? {
            return Ok(None);
        }
        let [x, y] = values(columns.each_ref(), row)?;
        let numbers = [("x", x), ("y", y)];
        let numbers = numbers.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let texts = row.texts.clone();
        let seen = Row { numbers: numbers.collect(), texts, ..Row::default() };
        Ok(Some((x, y, is_kept(kept, &seen)?)))
    };
    for row in logs {
        match judge(row) {
            Ok(None) => {}
            Ok(Some((x, y, true))) => {
                let [one, other] = columns.each_ref().map(Expression::kind);
                let text = row.texts.get("text").map_or("\\N".into(), |text| escaped(text));
                let (x, y) = (one.text(x), other.text(y));
                expected.rows.push(format!("{}\t{x}\t{y}\t{text}", row.line));
            }
            Ok(Some((_, _, false))) => {
                expected.rejects.push((Some(row.line), "expectation".into()));
            }
            Err(Fault::Fails) => expected.rejects.push((Some(row.line), FAILS.into())),
            Err(Fault::Unsure) => drop(unsure.insert(row.line)),
        }
    }
    Known::Without(unsure, expected)
}

/// A text as a TSV file has it.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('\t', "\\t");
    text.replace('\n', "\\n").replace('\r', "\\r")
}

fn expected_joined(logs: &[Row], is_left: bool, columns: &[Expression; 2]) -> Known {
    let (mut expected, mut unsure) = (Expected::default(), BTreeSet::new());
    for row in logs {
        let name = row.texts.get("name");
        let codes = CODES.iter().filter(|(code, _)| name.is_some_and(|name| name == code));
        let mut rates: Vec<Option<i64>> = codes.map(|(_, rate)| Some(*rate)).collect();
        if rates.is_empty() && is_left {
            rates.push(None);
        }
        for rate in rates {
            let mut row = row.clone();
            row.numbers.extend(rate.map(|rate| ("rate", i128::from(rate))));
            match values(columns.each_ref(), &row) {
                Ok([x, y]) => {
                    let [one, other] = columns.each_ref().map(Expression::kind);
                    let rate = BIGINT.text(rate.map(i128::from));
                    let (x, y) = (one.text(x), other.text(y));
                    expected.rows.push(format!("{}\t{rate}\t{x}\t{y}", row.line));
                }
                Err(Fault::Fails) => expected.rejects.push((Some(row.line), FAILS.into())),
                Err(Fault::Unsure) => drop(unsure.insert(row.line)),
            }
        }
    }
    Known::Without(unsure, expected)
}

/// Rows that can be evaluated, with the values of three expressions.
type Gathered<'r> = [(&'r Row, [Option<i128>; 3])];

fn gathered(
    logs: &[Row],
    filter: Option<&Condition>,
    expressions: [&Expression; 3],
    gather: impl Fn(&Gathered<'_>) -> Vec<String>,
) -> Known {
    let (mut good, mut rejects) = (Vec::new(), Vec::new());
    for row in logs {
        let judged = is_kept(filter, row).and_then(|is_kept| {
            if is_kept { values(expressions, row).map(Some) } else { Ok(None) }
        });
        match judged {
            Ok(None) => {}
            Ok(Some(values)) => good.push((row, values)),
            Err(Fault::Fails) => rejects.push((Some(row.line), FAILS.into())),
            Err(Fault::Unsure) => return Known::Nothing,
        }
    }
    Known::Without(BTreeSet::new(), Expected { rows: gather(&good), rejects })
}

fn sum(values: impl Iterator<Item = i128>) -> Option<i128> {
    values.fold(None, |sum, value| Some(sum.unwrap_or(0) + value))
}

fn groups(good: &Gathered<'_>, kind: Type) -> Vec<String> {
    let mut groups: BTreeMap<Option<i128>, Vec<_>> = BTreeMap::new();
    for (row, [key, summed, other]) in good {
        groups.entry(*key).or_default().push((row.line, *summed, *other));
    }
    let text = |rows: Vec<(u64, Option<i128>, Option<i128>)>| {
        let others: Vec<i128> = rows.iter().filter_map(|(_, _, other)| *other).collect();
        let summed: Vec<i128> = rows.iter().filter_map(|(_, summed, _)| *summed).collect();
        let distinct: BTreeSet<i128> = summed.iter().copied().collect();
        let line = rows.iter().map(|(line, _, _)| line).min().unwrap();
        let (all, some) = (rows.len(), others.len());
        let [s, t] = [sum(summed.into_iter()), sum(distinct.into_iter())].map(|s| ADDABLE.text(s));
        let lo = kind.text(others.iter().min().copied());
        let hi = kind.text(others.iter().max().copied());
        format!("{line}\t{all}\t{some}\t{s}\t{t}\t{lo}\t{hi}")
    };
    groups.into_values().map(text).collect()
}

fn windows(good: &Gathered<'_>, kind: Type, is_running: bool) -> Vec<String> {
    let mut partitions: BTreeMap<Option<&String>, Vec<[Option<i128>; 3]>> = BTreeMap::new();
    let mut rows = Vec::new();
    for (row, values) in good {
        let before = partitions.entry(row.texts.get("name")).or_default();
        let lag = kind.text(before.last().and_then(|[_, other, _]| *other));
        before.push(*values);
        let first = if is_running { 0 } else { before.len().saturating_sub(2) };
        let summed = ADDABLE.text(sum(before[first..].iter().filter_map(|[summed, ..]| *summed)));
        rows.push(format!("{}\t{}\t{summed}\t{lag}", row.line, before.len()));
    }
    rows
}

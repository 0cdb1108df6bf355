//! Expressions of SQL, and what they give by integers of 128 bits.

use std::collections::BTreeMap;

use super::input::Random;

/// A number's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Integers of so many bits.
    Integer(u32),
    /// Decimals of so many digits, of which so many are fractional.
    Decimal(u32, u32),
}

pub const INT: Type = Type::Integer(32);
pub const BIGINT: Type = Type::Integer(64);

impl Type {
    fn sql(self) -> String {
        match self {
            INT => "INT".into(),
            Type::Integer(_) => "BIGINT".into(),
            Type::Decimal(digits, scale) => format!("DECIMAL({digits}, {scale})"),
        }
    }

    /// Digits and scale, also of the decimal that an integer becomes beside one.
    fn digits(self) -> (u32, u32) {
        match self {
            Type::Integer(32) => (10, 0),
            Type::Integer(_) => (20, 0),
            Type::Decimal(digits, scale) => (digits, scale),
        }
    }

    fn holds(self, value: i128) -> bool {
        match self {
            Type::Integer(bits) => value >= -(1 << (bits - 1)) && value < 1 << (bits - 1),
            Type::Decimal(digits, _) => value.abs() < power(digits),
        }
    }

    /// A value as a TSV file has it.
    pub fn text(self, value: Option<i128>) -> String {
        let Some(value) = value else { return "\\N".into() };
        let (_, scale) = self.digits();
        if scale == 0 {
            return value.to_string();
        }
        let sign = if value < 0 { "-" } else { "" };
        let (whole, fraction) = (value.abs() / power(scale), value.abs() % power(scale));
        format!("{sign}{whole}.{fraction:0width$}", width = scale as usize)
    }
}

fn power(digits: u32) -> i128 {
    10_i128.pow(digits)
}

/// A row of `logs`, or of what it is joined with; a column that is not there is NULL.
#[derive(Debug, Clone, Default)]
pub struct Row {
    pub line: u64,
    pub numbers: BTreeMap<&'static str, i128>,
    pub texts: BTreeMap<&'static str, String>,
}

/// What comes out of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It cannot be evaluated.
    Fails,
    /// It may be refused or not: a step on the way has no place, though the result may have one.
    Unsure,
}

pub type Outcome = Result<Option<i128>, Fault>;

/// An expression that gives a number.
#[derive(Debug, Clone)]
pub enum Expression {
    Column(&'static str, Type),
    Literal(i64),
    /// A cast of a column of texts.
    Parsed(&'static str, Type),
    Negative(Box<Expression>),
    Absolute(Box<Expression>),
    Operation(char, Box<Expression>, Box<Expression>),
    Cast(Type, Box<Expression>),
    TryCast(Type, Box<Expression>),
    /// `CASE WHEN condition THEN one ELSE other END`, both of one type.
    Case(Box<Condition>, Box<Expression>, Box<Expression>),
    /// Of BIGINTs.
    Coalesce(Box<Expression>, i64),
    /// Of BIGINTs.
    NullIf(Box<Expression>, i64),
}

/// A comparison with a number.
#[derive(Debug, Clone)]
pub struct Condition {
    pub left: Expression,
    pub is_greater: bool,
    pub right: i64,
}

use Expression as E;

impl Expression {
    /// Any expression over columns.
    pub fn any(random: &mut Random, columns: &[(&'static str, Type)], depth: usize) -> Self {
        if depth == 0 {
            return match random.below(8) {
                0 => E::Literal(random.integer()),
                1 => E::Parsed("text", random.of(&[INT, BIGINT, Type::Decimal(9, 3)])),
                _ => {
                    let (name, kind) = random.of(columns);
                    E::Column(name, kind)
                }
            };
        }
        let made = E::node(random, columns, depth);
        // `check` refuses constants that cannot be evaluated, which some of them could not.
        made.varying(columns)
    }

    fn node(random: &mut Random, columns: &[(&'static str, Type)], depth: usize) -> Self {
        let one = Box::new(E::any(random, columns, depth - 1));
        match random.below(12) {
            0 => E::Negative(one),
            1 => E::Absolute(one),
            2 => E::Cast(some_type(random), one),
            3 => E::TryCast(some_type(random), one),
            4 => {
                let condition = Condition::any(random, columns, depth - 1);
                let kind = some_type(random);
                let other = E::any(random, columns, depth - 1).varying(columns);
                let (one, other) = (Box::new(one.varying(columns)), Box::new(other));
                E::Case(
                    Box::new(condition),
                    Box::new(E::Cast(kind, one)),
                    Box::new(E::Cast(kind, other)),
                )
            }
            5 => E::Coalesce(Box::new(E::Cast(BIGINT, one)), random.integer()),
            6 => E::NullIf(Box::new(E::Cast(BIGINT, one)), random.integer()),
            _ => {
                let sign = random.of(&['+', '-', '*', '*', '/', '%']);
                let other = Box::new(E::any(random, columns, depth.saturating_sub(2)));
                E::Operation(sign, narrow(one), narrow(other))
            }
        }
    }

    /// Itself, or a column in the place of a constant.
    fn varying(self, columns: &[(&'static str, Type)]) -> Self {
        let (name, kind) = columns[0];
        if self.is_constant() { E::Column(name, kind) } else { self }
    }

    fn is_constant(&self) -> bool {
        match self {
            E::Column(..) | E::Parsed(..) => false,
            E::Literal(_) => true,
            E::Operation(_, left, right) => left.is_constant() && right.is_constant(),
            E::Case(condition, one, other) => {
                condition.left.is_constant() && one.is_constant() && other.is_constant()
            }
            E::Negative(inner) | E::Absolute(inner) => inner.is_constant(),
            E::Cast(_, inner) | E::TryCast(_, inner) => inner.is_constant(),
            E::Coalesce(inner, _) | E::NullIf(inner, _) => inner.is_constant(),
        }
    }

    /// Its type.
    pub fn kind(&self) -> Type {
        match self {
            E::Column(_, kind) | E::Parsed(_, kind) => *kind,
            E::Cast(kind, _) | E::TryCast(kind, _) => *kind,
            E::Literal(_) | E::Coalesce(..) | E::NullIf(..) => BIGINT,
            E::Negative(inner) | E::Absolute(inner) | E::Case(_, inner, _) => inner.kind(),
            E::Operation(sign, left, right) => operation_type(*sign, left.kind(), right.kind()),
        }
    }

    pub fn sql(&self) -> String {
        match self {
            E::Column(name, _) => (*name).into(),
            // The number itself has no place without its sign.
            E::Literal(i64::MIN) => "CAST('-9223372036854775808' AS BIGINT)".into(),
            E::Literal(value) => format!("({value})"),
            E::Parsed(name, kind) => format!("CAST({name} AS {})", kind.sql()),
            E::Negative(inner) => format!("(- {})", inner.sql()),
            E::Absolute(inner) => format!("abs({})", inner.sql()),
            E::Operation(sign, left, right) => {
                format!("({} {sign} {})", left.sql(), right.sql())
            }
            E::Cast(kind, inner) => format!("CAST({} AS {})", inner.sql(), kind.sql()),
            E::TryCast(kind, inner) => format!("TRY_CAST({} AS {})", inner.sql(), kind.sql()),
            E::Case(condition, one, other) => {
                format!("CASE WHEN {} THEN {} ELSE {} END", condition.sql(), one.sql(), other.sql())
            }
            E::Coalesce(inner, other) => {
                format!("coalesce({}, {})", inner.sql(), E::Literal(*other).sql())
            }
            E::NullIf(inner, other) => {
                format!("nullif({}, {})", inner.sql(), E::Literal(*other).sql())
            }
        }
    }

    /// What it gives of a row.
    pub fn of(&self, row: &Row) -> Outcome {
        match self {
            E::Column(name, _) => Ok(row.numbers.get(name).copied()),
            E::Literal(value) => Ok(Some(i128::from(*value))),
            E::Parsed(name, kind) => {
                row.texts.get(name).map(|text| parsed(text, *kind)).transpose()
            }
            E::Negative(inner) => fitting(inner.kind(), inner.of(row)?.map(|value| -value)),
            E::Absolute(inner) => fitting(inner.kind(), inner.of(row)?.map(i128::abs)),
            E::Operation(sign, left, right) => {
                // Both are evaluated; what is known to fail does so beside anything.
                let (one, other) = (left.of(row), right.of(row));
                if one == Err(Fault::Fails) || other == Err(Fault::Fails) {
                    return Err(Fault::Fails);
                }
                match (one?, other?) {
                    (Some(one), Some(other)) => {
                        operated(*sign, (one, left.kind()), (other, right.kind())).map(Some)
                    }
                    _ => Ok(None),
                }
            }
            E::Cast(kind, inner) => {
                let value = inner.of(row)?;
                value.map(|value| cast(value, inner.kind(), *kind)).transpose()
            }
            E::TryCast(kind, inner) => {
                let value = inner.of(row)?;
                Ok(value.and_then(|value| cast(value, inner.kind(), *kind).ok()))
            }
            E::Case(condition, one, other) => match condition.of(row)? {
                Some(true) => one.of(row),
                _ => other.of(row),
            },
            E::Coalesce(inner, other) => {
                Ok(Some(inner.of(row)?.unwrap_or_else(|| i128::from(*other))))
            }
            E::NullIf(inner, other) => {
                Ok(inner.of(row)?.filter(|value| *value != i128::from(*other)))
            }
        }
    }
}

impl Condition {
    pub fn any(random: &mut Random, columns: &[(&'static str, Type)], depth: usize) -> Self {
        let left = comparable(E::any(random, columns, depth));
        Condition { left, is_greater: random.one_in(2), right: random.integer() % 1_000_000 }
    }

    pub fn sql(&self) -> String {
        let sign = if self.is_greater { ">" } else { "<" };
        format!("{} {sign} {}", self.left.sql(), E::Literal(self.right).sql())
    }

    pub fn of(&self, row: &Row) -> Result<Option<bool>, Fault> {
        let (_, scale) = self.left.kind().digits();
        let right = i128::from(self.right) * power(scale);
        let left = self.left.of(row)?;
        Ok(left.map(|left| if self.is_greater { left > right } else { left < right }))
    }
}

fn some_type(random: &mut Random) -> Type {
    let types = [INT, BIGINT, BIGINT, Type::Decimal(18, 0), Type::Decimal(20, 2)];
    random.of(&[&types[..], &[Type::Decimal(38, 6), Type::Decimal(5, 1)]].concat())
}

/// An operand whose scale leaves a place for the result's.
fn narrow(operand: Box<Expression>) -> Box<Expression> {
    match operand.kind() {
        Type::Decimal(_, scale) if scale > 10 => Box::new(E::Cast(Type::Decimal(38, 6), operand)),
        _ => operand,
    }
}

/// A decimal whose digits leave a place for what it is compared with.
fn comparable(left: Expression) -> Expression {
    match left.kind() {
        Type::Decimal(_, scale) if scale > 10 => E::Cast(Type::Decimal(38, 6), Box::new(left)),
        _ => left,
    }
}

fn operation_type(sign: char, left: Type, right: Type) -> Type {
    if let (Type::Integer(one), Type::Integer(other)) = (left, right) {
        return Type::Integer(one.max(other));
    }
    let ((p, s), (q, t)) = (left.digits(), right.digits());
    let (digits, scale) = match sign {
        '*' => (p + q + 1, s + t),
        '/' => (p + t + 4, s + 4),
        '%' => (s.max(t) + (p - s).min(q - t), s.max(t)),
        _ => (s.max(t) + (p - s).max(q - t) + 1, s.max(t)),
    };
    Type::Decimal(digits.min(38), scale)
}

fn fitting(kind: Type, value: Option<i128>) -> Outcome {
    match value {
        Some(value) if !kind.holds(value) => Err(Fault::Fails),
        value => Ok(value),
    }
}

fn operated(
    sign: char,
    (one, left): (i128, Type),
    (other, right): (i128, Type),
) -> Result<i128, Fault> {
    let kind = operation_type(sign, left, right);
    if matches!(sign, '/' | '%') && other == 0 {
        return Err(Fault::Fails);
    }
    let ((_, s), (_, t)) = (left.digits(), right.digits());
    let raised = |value: i128, by: u32| {
        let factor = 10_i128.checked_pow(by).ok_or(Fault::Unsure)?;
        value.checked_mul(factor).ok_or(Fault::Unsure)
    };
    let scale = s.max(t);
    let is_decimal = matches!(kind, Type::Decimal(..));
    let result = match sign {
        '*' => one.checked_mul(other),
        '/' if is_decimal => Some(raised(one, 4 + t)? / other),
        '/' => Some(one / other),
        '%' => Some(raised(one, scale - s)? % raised(other, scale - t)?),
        '+' => raised(one, scale - s)?.checked_add(raised(other, scale - t)?),
        _ => raised(one, scale - s)?.checked_sub(raised(other, scale - t)?),
    };
    result.filter(|value| kind.holds(*value)).ok_or(Fault::Fails)
}

/// A cast: towards a smaller scale it rounds half away from zero, and to an integer it cuts off.
fn cast(value: i128, from: Type, to: Type) -> Result<i128, Fault> {
    let ((_, scale), (_, target)) = (from.digits(), to.digits());
    let value = match to {
        _ if target >= scale => {
            let factor = power(target - scale);
            value.checked_mul(factor).ok_or(Fault::Fails)?
        }
        Type::Integer(_) => value / power(scale),
        Type::Decimal(..) => {
            let unit = power(scale - target);
            let away = if value.abs() % unit * 2 >= unit { value.signum() } else { 0 };
            value / unit + away
        }
    };
    if to.holds(value) { Ok(value) } else { Err(Fault::Fails) }
}

/// A text as a number. What is not plain digits may be taken or not.
fn parsed(text: &str, kind: Type) -> Result<i128, Fault> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_plain {
        let has_digit = text.bytes().any(|byte| byte.is_ascii_digit());
        return Err(if has_digit { Fault::Unsure } else { Fault::Fails });
    }
    let value = text.parse().map_err(|_| Fault::Fails)?;
    cast(value, Type::Decimal(38, 0), kind)
}

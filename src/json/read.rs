//! The reader: one pass over the bytes, one function a kind of value.

use std::borrow::Cow;

use super::{DEPTH_LIMIT, Json, JsonFault, JsonFaultKind, JsonKind, Member};

type Result<T> = std::result::Result<T, JsonFault>;

/// Reads a text that is one JSON value with nothing but white space around it.
///
/// `depth_max` is how many objects and arrays may nest (1: no nesting in the outermost one); above
/// [`DEPTH_LIMIT`] it counts as that.
///
/// # Errors
/// The first fault from left to right.
pub fn read_json(text: &str, depth_max: usize) -> Result<Json<'_>> {
    let mut reader = Reader::new(text, depth_max.min(DEPTH_LIMIT));
    reader.skip_white_space();
    let value = reader.value()?;
    reader.skip_white_space();
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(reader.invalid("the end of the value")),
    }
}

/// Whether a text is a JSON number and nothing else: `-1.5e3`, but not `+1`, `01`, `.5` or ` 1`.
pub fn is_json_number(text: &str) -> bool {
    let mut reader = Reader::new(text, 0);
    reader.number().is_ok() && reader.at == text.len()
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth_left: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, depth_left: usize) -> Self {
        Reader { text, at: 0, depth_left }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_white_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Takes `byte` if it comes next.
    fn take(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        self.at += usize::from(next);
        next
    }

    fn value(&mut self) -> Result<Json<'a>> {
        let start = self.at;
        let kind = match self.peek() {
            Some(b'{') => self.nested(Self::object)?,
            Some(b'[') => self.nested(Self::array)?,
            Some(b'"') => JsonKind::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word("true", JsonKind::Bool(true))?,
            Some(b'f') => self.word("false", JsonKind::Bool(false))?,
            Some(b'n') => self.word("null", JsonKind::Null)?,
            _ => return Err(self.invalid("a value")),
        };
        Ok(Json { raw: &self.text[start..self.at], kind })
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<JsonKind<'a>>) -> Result<JsonKind<'a>> {
        if self.depth_left == 0 {
            let expected = "no deeper nesting of objects and arrays";
            return Err(self.fault(JsonFaultKind::TooDeep, expected));
        }
        self.depth_left -= 1;
        self.at += 1;
        self.skip_white_space();
        let kind = read(self)?;
        self.depth_left += 1;
        Ok(kind)
    }

    fn object(&mut self) -> Result<JsonKind<'a>> {
        let mut members = Vec::new();
        if self.take(b'}') {
            return Ok(JsonKind::Object(members));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.invalid("a key in quotes"));
            }
            let key = self.string()?;
            self.skip_white_space();
            if !self.take(b':') {
                return Err(self.invalid("`:`"));
            }
            self.skip_white_space();
            members.push(Member { key, value: self.value()? });
            self.skip_white_space();
            if self.take(b'}') {
                return Ok(JsonKind::Object(members));
            }
            if !self.take(b',') {
                return Err(self.invalid("`,` or `}`"));
            }
            self.skip_white_space();
        }
    }

    fn array(&mut self) -> Result<JsonKind<'a>> {
        let mut elements = Vec::new();
        if self.take(b']') {
            return Ok(JsonKind::Array(elements));
        }
        loop {
            elements.push(self.value()?);
            self.skip_white_space();
            if self.take(b']') {
                return Ok(JsonKind::Array(elements));
            }
            if !self.take(b',') {
                return Err(self.invalid("`,` or `]`"));
            }
            self.skip_white_space();
        }
    }

    fn word(&mut self, word: &'static str, kind: JsonKind<'a>) -> Result<JsonKind<'a>> {
        for byte in word.bytes() {
            if !self.take(byte) {
                return Err(self.invalid("`true`, `false` or `null`"));
            }
        }
        Ok(kind)
    }

    fn number(&mut self) -> Result<JsonKind<'a>> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _sign = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(JsonKind::Number)
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err(self.invalid("a digit")) } else { Ok(()) }
    }

    /// A string from its opening to its closing quote; borrowed if it has no escapes.
    fn string(&mut self) -> Result<Cow<'a, str>> {
        self.at += 1;
        let mut piece = self.at;
        let mut unescaped: Option<String> = None;
        loop {
            match self.peek() {
                None => return Err(self.invalid("`\"` at the string's end")),
                Some(b'"') => break,
                Some(b'\\') => {
                    let text = unescaped.get_or_insert_default();
                    text.push_str(&self.text[piece..self.at]);
                    text.push(self.escape()?);
                    piece = self.at;
                }
                Some(0..0x20) => return Err(self.invalid("an escape for a control character")),
                Some(_) => self.at += 1,
            }
        }
        let tail = &self.text[piece..self.at];
        self.at += 1;
        Ok(match unescaped {
            None => Cow::Borrowed(tail),
            Some(text) => Cow::Owned(text + tail),
        })
    }

    /// What an escape stands for; surrogate pairs are two escapes for one character.
    fn escape(&mut self) -> Result<char> {
        let start = self.at;
        self.at += 1;
        let character = match self.peek() {
            Some(escaped @ (b'"' | b'\\' | b'/')) => char::from(escaped),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.code_point(start);
            }
            _ => return Err(self.invalid("one of `\"\\/bfnrtu` behind a backslash")),
        };
        self.at += 1;
        Ok(character)
    }

    /// The character of the escape that begins at `start`, from after its `\u` on.
    fn code_point(&mut self, start: usize) -> Result<char> {
        let unit = self.hexadecimal()?;
        let low = if matches!(unit, 0xd800..0xdc00) { self.low_surrogate() } else { None };
        let code_point = match low {
            Some(low) => 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00),
            None => unit,
        };
        char::from_u32(code_point).ok_or_else(|| JsonFault {
            kind: JsonFaultKind::LoneSurrogate,
            at: start,
            expected: "surrogates in pairs",
            found: format!("`{}` at byte {start}", &self.text[start..start + 6]),
        })
    }

    /// The low half of a pair, if its escape comes next.
    fn low_surrogate(&mut self) -> Option<u32> {
        let escape = self.text.as_bytes().get(self.at..self.at + 6)?;
        let digits = std::str::from_utf8(escape.strip_prefix(b"\\u")?).ok()?;
        let only_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let unit = u32::from_str_radix(digits, 16).ok().filter(|_| only_digits)?;
        if !matches!(unit, 0xdc00..0xe000) {
            return None;
        }
        self.at += 6;
        Some(unit)
    }

    fn hexadecimal(&mut self) -> Result<u32> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else {
                return Err(self.invalid("four hexadecimal digits behind `\\u`"));
            };
            unit = unit * 16 + digit;
            self.at += 1;
        }
        Ok(unit)
    }

    fn invalid(&self, expected: &'static str) -> JsonFault {
        self.fault(JsonFaultKind::Invalid, expected)
    }

    fn fault(&self, kind: JsonFaultKind, expected: &'static str) -> JsonFault {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let found = match rest.chars().next() {
            None => "the end of the text".to_owned(),
            Some(control) if control.is_control() => {
                format!("`{}` at byte {}", control.escape_unicode(), self.at)
            }
            Some(character) => format!("`{character}` at byte {}", self.at),
        };
        JsonFault { kind, at: self.at, expected, found }
    }
}

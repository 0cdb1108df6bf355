//! Finds where a JSON value ends, byte by byte, over any number of reads.
//!
//! Only what the end depends on is looked at: strings, brackets and what may stand between them
//! (RFC 8259, 2). Whether a number or a word is one, and a string's escapes, the decoder tells.

use memchr::{memchr, memchr3};

/// U+001E, which stands before each text of a JSON text sequence (RFC 7464, 2.2).
pub(crate) const RECORD_SEPARATOR: u8 = 0x1e;

/// A value that nests deeper is taken for broken, so that this takes no memory without end.
const DEPTH_MAX: usize = 1 << 20;

/// What a scan of some bytes found; places count from their start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scanned {
    /// The value goes on after them.
    GoesOn,
    /// The value ends before this place.
    EndsAt(usize),
    /// What stands at this place cannot stand in the value.
    BreaksAt(usize),
}

/// What may come next in a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
}

/// The scan of one value, an object, an array or a string.
#[derive(Debug, Clone)]
pub(crate) struct JsonScan {
    next: Next,
    /// Of each array or object around, whether it is an object.
    around: Vec<bool>,
    in_string: bool,
    is_key: bool,
    in_escape: bool,
    in_word: bool,
    /// Bytes that were scanned.
    scanned: u64,
    /// Whether the value holds a line end.
    pub has_lines: bool,
    /// How far the value is indented, in its line.
    pub indent: u64,
    /// How far this line is indented so far; none after its first character.
    column: Option<u64>,
    /// Whether the last byte was a comma at the begin of a line.
    after_comma: bool,
    /// Where the first line within begins that has an object at the value's own indentation: if the
    /// value turns out to be broken, that object is the next value.
    pub restart: Option<u64>,
}

impl JsonScan {
    /// The scan of a value, from its first byte on.
    pub fn new(indent: u64) -> Self {
        JsonScan {
            next: Next::Value,
            around: Vec::new(),
            in_string: false,
            is_key: false,
            in_escape: false,
            in_word: false,
            scanned: 0,
            has_lines: false,
            indent,
            column: None,
            after_comma: false,
            restart: None,
        }
    }

    /// Scans on.
    pub fn scan(&mut self, bytes: &[u8]) -> Scanned {
        let mut at = 0;
        while at < bytes.len() {
            if self.in_string {
                match self.scan_string(&bytes[at..]) {
                    Scanned::GoesOn => break,
                    Scanned::BreaksAt(place) => return Scanned::BreaksAt(at + place),
                    Scanned::EndsAt(place) => at += place,
                }
                self.in_string = false;
                self.next = if self.is_key { Next::Colon } else { Next::CommaOrEnd };
                if self.around.is_empty() {
                    return Scanned::EndsAt(at);
                }
                continue;
            }
            let byte = bytes[at];
            if !self.step(byte, self.scanned + at as u64) {
                return Scanned::BreaksAt(at);
            }
            at += 1;
            let is_bracket = matches!(byte, b'}' | b']');
            if is_bracket && self.around.is_empty() {
                return Scanned::EndsAt(at);
            }
        }
        self.scanned += bytes.len() as u64;
        Scanned::GoesOn
    }

    /// Goes to a string's end. A line end or a record separator in it breaks it: neither may stand
    /// there, and what comes after is most likely the next value.
    fn scan_string(&mut self, bytes: &[u8]) -> Scanned {
        let mut at = 0;
        if std::mem::take(&mut self.in_escape) && !bytes.is_empty() {
            if matches!(bytes[0], b'\n' | RECORD_SEPARATOR) {
                return Scanned::BreaksAt(0);
            }
            at = 1;
        }
        loop {
            let found = memchr3(b'"', b'\\', b'\n', &bytes[at..]).map(|place| at + place);
            let until = found.unwrap_or(bytes.len());
            if let Some(separator) = memchr(RECORD_SEPARATOR, &bytes[at..until]) {
                return Scanned::BreaksAt(at + separator);
            }
            let Some(place) = found else { return Scanned::GoesOn };
            match (bytes[place], bytes.get(place + 1)) {
                (b'"', _) => return Scanned::EndsAt(place + 1),
                (b'\n', _) => return Scanned::BreaksAt(place),
                (_, Some(b'\n' | &RECORD_SEPARATOR)) => return Scanned::BreaksAt(place + 1),
                (_, Some(_)) => at = place + 2,
                (_, None) => {
                    self.in_escape = true;
                    return Scanned::GoesOn;
                }
            }
        }
    }

    /// Takes a byte outside of strings; false if it cannot stand there.
    fn step(&mut self, byte: u8, place: u64) -> bool {
        match byte {
            b'\n' => {
                (self.column, self.has_lines) = (Some(0), true);
                self.end_word();
                return true;
            }
            b' ' | b'\t' | b'\r' => {
                self.column = self.column.map(|column| column + 1);
                self.end_word();
                return true;
            }
            _ => {}
        }
        let column = self.column.take();
        let is_at_own_place = column == Some(self.indent);
        if byte == b'{' && is_at_own_place && self.restart.is_none() {
            self.restart = Some(if self.after_comma { place } else { place - self.indent });
        }
        // Some writers begin lines with the comma before the next value.
        self.after_comma = byte == b',' && is_at_own_place;
        if self.after_comma {
            self.column = column;
        }
        if matches!(byte, b',' | b':' | b'}' | b']' | b'"' | b'{' | b'[') {
            self.end_word();
        } else if self.in_word {
            return byte != RECORD_SEPARATOR;
        }
        match (self.next, byte) {
            (_, RECORD_SEPARATOR) => false,
            (Next::Value | Next::ValueOrEnd, b'{') => self.go_into(true),
            (Next::Value | Next::ValueOrEnd, b'[') => self.go_into(false),
            (Next::ValueOrEnd | Next::CommaOrEnd, b']') => self.go_out_of(false),
            (Next::KeyOrEnd | Next::CommaOrEnd, b'}') => self.go_out_of(true),
            (Next::Value | Next::ValueOrEnd | Next::Key | Next::KeyOrEnd, b'"') => {
                self.is_key = matches!(self.next, Next::Key | Next::KeyOrEnd);
                self.in_string = true;
                true
            }
            (Next::Colon, b':') => self.expect(Next::Value),
            (Next::CommaOrEnd, b',') => {
                let in_object = self.around.last() == Some(&true);
                self.expect(if in_object { Next::Key } else { Next::Value })
            }
            (_, b',' | b':' | b'}' | b']') => false,
            (Next::Value | Next::ValueOrEnd, _) => {
                self.in_word = true;
                true
            }
            _ => false,
        }
    }

    fn end_word(&mut self) {
        if std::mem::take(&mut self.in_word) {
            self.next = Next::CommaOrEnd;
        }
    }

    fn expect(&mut self, next: Next) -> bool {
        self.next = next;
        true
    }

    fn go_into(&mut self, is_object: bool) -> bool {
        self.around.push(is_object);
        self.next = if is_object { Next::KeyOrEnd } else { Next::ValueOrEnd };
        self.around.len() <= DEPTH_MAX
    }

    fn go_out_of(&mut self, is_object: bool) -> bool {
        self.next = Next::CommaOrEnd;
        self.around.pop() == Some(is_object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The scan in one go and byte by byte, which must be the same.
    fn scan(text: &str) -> (Scanned, Option<u64>) {
        let mut at_once = JsonScan::new(0);
        let found = at_once.scan(text.as_bytes());
        let mut trickled = JsonScan::new(0);
        for (place, byte) in text.bytes().enumerate() {
            match trickled.scan(&[byte]) {
                Scanned::GoesOn => {}
                Scanned::EndsAt(end) => {
                    assert_eq!(found, Scanned::EndsAt(place + end), "{text}");
                    return (found, at_once.restart);
                }
                Scanned::BreaksAt(_) => {
                    assert!(matches!(found, Scanned::BreaksAt(at) if at == place), "{text}");
                    return (found, at_once.restart);
                }
            }
        }
        assert_eq!(found, Scanned::GoesOn, "{text}");
        (found, at_once.restart)
    }

    #[test]
    fn a_value_ends_where_its_bracket_does() {
        for value in [
            "{}",
            "[]",
            "\"a\\\"}\"",
            "{\"a\":1}",
            "{\"a\\\\\":{\"b\":[1,{},[],\"]}\"]}}",
            "{ \"a\" : [ -1.5e3 , true ] ,\n\t\"b\" : null }",
        ] {
            let after = format!("{value}{{\"x\":1}}");
            assert_eq!(scan(&after).0, Scanned::EndsAt(value.len()), "{value}");
            assert_eq!(scan(&value[..value.len() - 1]).0, Scanned::GoesOn, "{value}");
        }
    }

    #[test]
    fn a_broken_value_breaks_where_it_does_and_knows_where_the_next_may_begin() {
        assert_eq!(scan("{\"a\":1\n{\"b\":2}"), (Scanned::BreaksAt(7), Some(7)));
        assert_eq!(scan("{\"a\":[\n{\"b\":2}\n{\"c\":3}"), (Scanned::BreaksAt(15), Some(7)));
        assert_eq!(scan("{\"a\":\"x\n{\"b\":2}"), (Scanned::BreaksAt(7), None));
        assert_eq!(scan("{\"a\":\"x\\\n"), (Scanned::BreaksAt(8), None));
        assert_eq!(scan("{\"a\":\"x\u{1e}{"), (Scanned::BreaksAt(7), None));
        assert_eq!(scan("{\"a\":1\u{1e}"), (Scanned::BreaksAt(6), None));
        for broken in
            ["{\"a\":1]", "[1}", "{1}", "{\"a\" 1}", "{\"a\":1 2}", "{,}", "[1,]", "{\"a\":}"]
        {
            assert!(matches!(scan(broken).0, Scanned::BreaksAt(_)), "{broken}");
        }
    }
}

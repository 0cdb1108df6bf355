//! Bytes as a log might have them: lines of JSON with numbers at the edges, and then some damage.

/// SplitMix64: the same cases from the same seed, on every machine.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.bits() % bound as u64) as usize
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// A number at an edge, a small one, or any.
    pub fn integer(&mut self) -> i64 {
        let edges = [i64::MAX, i64::MIN, i64::MAX - 1, i64::MIN + 1, i64::MAX / 2, 3_037_000_500];
        let narrow = [i64::from(i32::MAX), i64::from(i32::MIN), 1 << 31, 46_341, -129, 65_536];
        match self.below(8) {
            0 => self.of(&edges),
            1 => self.of(&narrow),
            2 => self.bits() as i64 >> self.below(64),
            _ => self.below(21) as i64 - 7,
        }
    }
}

/// What `logs` is made of.
pub const CONTRACT: &str = r#"
[[column]]
name = "id"
type = "int64"
required = true
[[column]]
name = "name"
type = "string"
[[column]]
name = "text"
type = "string"
[[column]]
name = "a"
type = "int64"
[[column]]
name = "b"
type = "int32"
[[column]]
name = "d"
type = "decimal(12,2)"
number_in_string = true
[[column]]
name = "e"
type = "decimal(38,10)"
number_in_string = true
[[column]]
name = "f"
type = "float64"
[[column]]
name = "at"
type = "timestamp"
"#;

/// A table that lines are joined with: a code that is there twice, and one that no line has.
pub const CODES: [(&str, i64); 5] =
    [("a", 3), ("b", i64::MAX), ("b", -2), ("ü", i64::MIN), ("nowhere", 1)];

const NAMES: [&str; 8] = ["a", "b", "c", "", "ü", "A", "a b", "nul\\nl"];
const TEXTS: [&str; 16] = [
    "7",
    "-7",
    "+7",
    "007",
    "9223372036854775807",
    "9223372036854775808",
    "1.5",
    "1e3",
    " 1",
    "",
    "2026-11-21",
    "2026-11-21T00:00:00Z",
    "%Y-%m-%d",
    "(",
    "[1,2]",
    "https://a.example/ü?q=%41",
];
const TIMES: [&str; 6] = [
    "2026-11-21T13:05:00+09:00",
    "1969-12-31T23:59:59.999999Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "2026-13-01T00:00:00Z",
    "1677-09-21T00:12:43Z",
];
const DAMAGE: [&[u8]; 12] =
    [b"\n", b"\r\n", b"\\ud800", b"\xff", b"\0", b"{", b"}", b"\"", b"1e400", b"null", b",", b"\t"];

/// A field's value as JSON; `b` and `d` mostly fit their columns.
fn value(random: &mut Random, field: &str) -> String {
    let quoted = |text: &str| format!("\"{text}\"");
    match field {
        "name" => quoted(random.of(&NAMES)),
        "text" => quoted(random.of(&TEXTS)),
        "b" if !random.one_in(12) => (random.integer() as i32).to_string(),
        "d" => format!("{}.{:02}", random.integer() % 10_000_000_000, random.below(100)),
        "e" => {
            let digits: String = (0..random.below(27)).map(|_| '9').collect();
            format!("\"{}{digits}.{}\"", random.integer() % 90, random.bits() % 10_000_000_000)
        }
        "f" => format!("{}e{}", random.integer(), random.below(600) as i64 - 300),
        "at" => quoted(random.of(&TIMES)),
        _ => random.integer().to_string(),
    }
}

fn line(random: &mut Random) -> String {
    let mut fields = Vec::new();
    for field in ["id", "name", "text", "a", "b", "d", "e", "f", "at"] {
        let value = match random.below(32) {
            0 | 1 => continue,
            2 => "null".to_owned(),
            3 => random.of(&["true", "[]", "{\"a\":1}", "\"\"", "0.5"]).to_string(),
            _ => value(random, field),
        };
        fields.push(format!("\"{field}\":{value}"));
    }
    format!("{{{}}}", fields.join(","))
}

/// An object's bytes: some lines, of which a third of all objects are damaged in a few places.
pub fn object(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..=random.below(24) {
        let end: &[u8] = if random.one_in(12) { b"\r\n\n" } else { b"\n" };
        bytes.extend_from_slice(line(random).as_bytes());
        bytes.extend_from_slice(end);
    }
    if random.one_in(3) {
        for _ in 0..=random.below(4) {
            damage(random, &mut bytes);
        }
    }
    bytes
}

fn damage(random: &mut Random, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let at = random.below(bytes.len());
    let end = (at + random.below(40)).min(bytes.len());
    match random.below(5) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => drop(bytes.drain(at..end)),
        2 => bytes.truncate(at.max(1)),
        3 => {
            let copy = bytes[at..end].to_vec();
            let to = random.below(bytes.len());
            bytes.splice(to..to, copy);
        }
        _ => {
            let piece = random.of(&DAMAGE);
            bytes.splice(at..at, piece.iter().copied());
        }
    }
}

//! The text of a pattern → its items; what is wrong with it.

use super::{Item, NameLength, Named, Number, Part, Pattern};

/// Why a pattern is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternFault {
    /// What is wrong, to be read after "pattern `…`".
    pub message: String,
    /// What to write instead.
    pub help: String,
}

/// What a pattern is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::contract) enum Wanted {
    Date,
    Timestamp,
}

pub(super) fn fault<T>(
    message: impl Into<String>,
    help: impl Into<String>,
) -> Result<T, PatternFault> {
    Err(PatternFault { message: message.into(), help: help.into() })
}

impl Pattern {
    /// Takes a pattern apart.
    pub(in crate::contract) fn new(text: &str) -> Result<Self, PatternFault> {
        let mut pattern = Pattern { items: Vec::new(), named: Vec::new() };
        pattern.add_all(text, None)?;
        pattern.fix_widths()?;
        pattern.check_ends()?;
        Ok(pattern)
    }

    /// Whether its texts tell their distance from UTC.
    pub(in crate::contract) fn names_offset(&self) -> bool {
        [Named::Offset, Named::Zone, Named::Epoch].into_iter().any(|named| self.names(named))
    }

    /// Whether an assumed zone may mean something for its texts: a zone's abbreviation does in it.
    pub(in crate::contract) fn heeds_assumed_zone(&self) -> bool {
        !self.names(Named::Offset) && !self.names(Named::Epoch)
    }

    fn names(&self, named: Named) -> bool {
        self.directive_of(named).is_some()
    }

    fn directive_of(&self, named: Named) -> Option<&str> {
        let found = self.named.iter().find(|(known, _)| *known == named);
        found.map(|(_, directive)| directive.as_str())
    }

    /// Adds the items of a text, in the name of a directive that stands for several.
    fn add_all(&mut self, mut text: &str, whole: Option<&str>) -> Result<(), PatternFault> {
        while let Some(character) = text.chars().next() {
            if character == '%' {
                let directive = Directive::at_start(text)?;
                text = &text[directive.text.len()..];
                self.add(&directive, whole.unwrap_or(directive.text))?;
            } else if character.is_whitespace() {
                text = text.trim_start();
                self.add_space();
            } else {
                text = &text[character.len_utf8()..];
                self.add_character(character);
            }
        }
        Ok(())
    }

    fn add_space(&mut self) {
        if self.items.last() != Some(&Item::Space) {
            self.items.push(Item::Space);
        }
    }

    fn add_character(&mut self, character: char) {
        match self.items.last_mut() {
            Some(Item::Text(text)) => text.push(character),
            _ => self.items.push(Item::Text(character.to_string())),
        }
    }

    fn add(&mut self, directive: &Directive<'_>, shown: &str) -> Result<(), PatternFault> {
        if let Some((part, named, digits)) = directive.number() {
            self.name(named, shown)?;
            let all = directive.flags == "0";
            self.items.push(Item::Number(Number {
                part,
                least: if all { digits } else { digits_min(part, digits) },
                most: digits,
                is_spaced: directive.flags == "_"
                    || matches!(directive.letter, 'd' | 'e' | 'k' | 'l'),
                is_bare: directive.flags == "-",
            }));
            return Ok(());
        }
        let whole = |text: &'static str| (directive.is_plain()).then_some(text);
        let composed = match directive.letter {
            'F' => whole("%Y-%m-%d"),
            'T' => whole("%H:%M:%S"),
            'R' => whole("%H:%M"),
            'D' => whole("%m/%d/%y"),
            'r' => whole("%I:%M:%S %p"),
            _ => None,
        };
        if let Some(text) = composed {
            return self.add_all(text, Some(shown));
        }
        match directive.letter {
            'n' | 't' if directive.is_plain() => self.add_space(),
            '%' if directive.is_plain() => self.add_character('%'),
            _ => {
                let Some((named, item)) = directive.item() else {
                    let message = format!("has an unknown directive, `{}`", directive.text);
                    return fault(message, directive.pointer());
                };
                self.name(named, shown)?;
                if directive.flags == "." && item != Item::PointAndFraction {
                    self.add_character('.');
                }
                self.items.push(item);
            }
        }
        Ok(())
    }

    fn name(&mut self, named: Named, directive: &str) -> Result<(), PatternFault> {
        let same = |known: Named| match named {
            Named::Hour | Named::HourOfHalf => matches!(known, Named::Hour | Named::HourOfHalf),
            Named::DayOfYear => matches!(known, Named::DayOfYear | Named::Month | Named::Day),
            Named::Month | Named::Day => known == named || known == Named::DayOfYear,
            _ => known == named,
        };
        if let Some((_, first)) = self.named.iter().find(|(known, _)| same(*known)) {
            let message =
                format!("names the {} twice, by `{first}` and `{directive}`", named.word());
            return fault(message, "leave one of them");
        }
        self.named.push((named, directive.to_owned()));
        Ok(())
    }

    /// Numbers side by side can only be told apart by their widths.
    fn fix_widths(&mut self) -> Result<(), PatternFault> {
        for place in 0..self.items.len() {
            let next_is_digits = self.items.get(place + 1).is_some_and(Item::begins_with_digit);
            let last = place.checked_sub(1).and_then(|last| self.items.get(last));
            let in_run = next_is_digits || last.is_some_and(Item::ends_with_digits);
            match &mut self.items[place] {
                Item::Number(number) if in_run && number.is_bare => {
                    let message = "has a number without padding (`%-`) right beside other digits";
                    return fault(message, "what is not padded needs another character beside it");
                }
                Item::Number(number) if in_run => number.least = number.most,
                Item::Fraction(least, most) if next_is_digits && *least < *most => {
                    let help = "write how many digits it has, as `%3f` or `%6f`";
                    return fault("has digits right behind `%f`, which takes them all", help);
                }
                Item::Epoch if in_run => {
                    let help = "milliseconds since the epoch are the form `epoch_ms`, with \
                                `number_in_string` if they are in a string";
                    return fault("has digits right beside `%s`, which takes them all", help);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What has no end of its own needs another character after it.
    fn check_ends(&self) -> Result<(), PatternFault> {
        for pair in self.items.windows(2) {
            let next_is_name = match &pair[1] {
                Item::Text(text) => text.starts_with(is_zone_character),
                Item::Space | Item::PointAndFraction => false,
                _ => true,
            };
            if pair[0] == Item::Zone && next_is_name {
                let help = "put another character between them";
                return fault("has a letter, a digit or one of `+-_/:` right behind `%Z`", help);
            }
            let next_is_offset = match &pair[1] {
                Item::Text(text) => text.starts_with(':'),
                _ => false,
            };
            if pair[0] == Item::Offset && (next_is_offset || pair[1].begins_with_digit()) {
                let help = "put another character between them";
                return fault("has a digit or `:` right behind `%z`", help);
            }
        }
        Ok(())
    }

    /// Whether the pattern's texts say what a column of that type needs, and nothing against it.
    pub(in crate::contract) fn check(&self, wanted: Wanted) -> Result<(), PatternFault> {
        if let (Wanted::Timestamp, Some(epoch)) = (wanted, self.directive_of(Named::Epoch)) {
            let goes_with = [Named::Epoch, Named::Fraction, Named::Offset];
            return match self.named.iter().find(|(named, _)| !goes_with.contains(named)) {
                Some((_, other)) => fault(
                    format!("names the whole time by `{epoch}`, and `{other}` beside it"),
                    "leave one of them",
                ),
                None => Ok(()),
            };
        }
        if wanted == Wanted::Date
            && let Some(directive) = self.directive_of_time()
        {
            let message = format!("names a time (`{directive}`), which a date has no place for");
            return fault(message, "take type `timestamp`, and the day of it in SQL");
        }
        self.check_missing(wanted)?;
        self.check_clock()?;
        self.check_literals(wanted)
    }

    /// Whether its texts say more than a day.
    pub(in crate::contract) fn names_time(&self) -> bool {
        self.directive_of_time().is_some()
    }

    fn directive_of_time(&self) -> Option<&str> {
        use Named::{Epoch, Fraction, Half, Hour, HourOfHalf, Minute, Offset, Second, Zone};

        let times = [Hour, HourOfHalf, Half, Minute, Second, Fraction, Offset, Zone, Epoch];
        times.into_iter().find_map(|named| self.directive_of(named))
    }

    /// Whether the pattern's texts say a time of day, and no more.
    pub(in crate::contract) fn check_time_of_day(&self) -> Result<(), PatternFault> {
        use Named::{Day, DayOfYear, Epoch, Month, Offset, Weekday, Year, Zone};

        let others = [Year, Month, Day, DayOfYear, Weekday, Offset, Zone, Epoch];
        if let Some(other) = others.into_iter().find_map(|named| self.directive_of(named)) {
            let message = format!("names more than a time of day (`{other}`)");
            return fault(message, "take `to_timestamp`");
        }
        if !self.names(Named::Hour) && !self.names(Named::HourOfHalf) {
            return fault("names no hour", "add `%H`");
        }
        self.check_clock()
    }

    /// Whether the hour has its half, and a fraction its second.
    fn check_clock(&self) -> Result<(), PatternFault> {
        use Named::{Fraction, Half, HourOfHalf, Second};

        match (self.directive_of(HourOfHalf), self.directive_of(Half)) {
            (Some(hour), None) => {
                let message = format!("names an hour from 1 to 12 (`{hour}`), but not its half");
                return fault(message, "add `%p`, or write `%H` for hours from 0 to 23");
            }
            (None, Some(half)) => {
                let message = format!("has `{half}` beside an hour from 0 to 23");
                return fault(message, "write `%I` for hours from 1 to 12");
            }
            _ => {}
        }
        if self.names(Fraction) && !self.names(Second) {
            return fault("names a fraction of a second, but no second", "add `%S`");
        }
        Ok(())
    }

    fn check_missing(&self, wanted: Wanted) -> Result<(), PatternFault> {
        let has_hour = self.names(Named::Hour) || self.names(Named::HourOfHalf);
        let by_day = self.names(Named::DayOfYear);
        let is_timestamp = wanted == Wanted::Timestamp;
        let missing = [
            (self.names(Named::Year), "year", "`%Y`"),
            (by_day || self.names(Named::Month), "month", "`%m`"),
            (by_day || self.names(Named::Day), "day", "`%d`"),
            (!is_timestamp || has_hour, "hour", "`%H`"),
            (!is_timestamp || self.names(Named::Minute), "minute", "`%M`"),
        ];
        let missing: Vec<_> = missing.into_iter().filter(|(is_named, ..)| !is_named).collect();
        let words: Vec<&str> = missing.iter().map(|(_, word, _)| *word).collect();
        let directives: Vec<&str> = missing.iter().map(|(.., directive)| *directive).collect();
        match words.as_slice() {
            [] => Ok(()),
            ["hour", "minute"] => fault(
                "names no hour and no minute",
                "for whole days take type `date`; else add `%H` and `%M`",
            ),
            _ => fault(
                format!("names no {}", words.join(" and no ")),
                format!("without it a text may mean many times: add {}", directives.join(" and ")),
            ),
        }
    }

    /// `Z` as a mere character would be passed over, and its text taken for local time.
    fn check_literals(&self, wanted: Wanted) -> Result<(), PatternFault> {
        if wanted == Wanted::Date || self.names_offset() {
            return Ok(());
        }
        for item in &self.items {
            let Item::Text(text) = item else { continue };
            let mut words = text.split(|c: char| !c.is_ascii_alphabetic());
            if let Some(word) = words.find(|word| matches!(*word, "Z" | "UTC" | "GMT")) {
                let directive = if word == "Z" { "%z" } else { "%Z" };
                let message = format!("has `{word}` as mere text, so that nobody heeds it");
                return fault(message, format!("write `{directive}`, which reads it"));
            }
            let digits = text.trim_start_matches(['+', '-']).replace(':', "");
            let is_offset = text.starts_with(['+', '-']) && matches!(digits.len(), 2 | 4);
            if is_offset && digits.bytes().all(|byte| byte.is_ascii_digit()) {
                let message = format!("has `{text}` as mere text, so that nobody heeds it");
                return fault(message, "write `%z`, which reads it");
            }
        }
        Ok(())
    }
}

/// Years have all their digits always.
fn digits_min(part: Part, digits: usize) -> usize {
    if matches!(part, Part::Year | Part::YearOfCentury) { digits } else { 1 }
}

/// What a zone's name is made of.
pub(super) fn is_zone_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '+' | '-' | '_' | '/' | ':')
}

/// `%`, flags, a width and a letter.
pub(super) struct Directive<'p> {
    pub text: &'p str,
    pub flags: &'p str,
    width: &'p str,
    pub letter: char,
}

impl<'p> Directive<'p> {
    pub fn at_start(pattern: &'p str) -> Result<Self, PatternFault> {
        let body = &pattern[1..];
        let flags_end = body.find(|c| !"-_^#:.0".contains(c)).unwrap_or(body.len());
        let (flags, rest) = body.split_at(flags_end);
        let width_end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (width, rest) = rest.split_at(width_end);
        let Some(letter) = rest.chars().next() else {
            return fault("ends within a directive", "a percent sign as such is written `%%`");
        };
        let length = 1 + flags.len() + width.len() + letter.len_utf8();
        Ok(Directive { text: &pattern[..length], flags, width, letter })
    }

    pub fn is_plain(&self) -> bool {
        self.flags.is_empty() && self.width.is_empty()
    }

    /// The number that is read, what it names, and how many digits it has at most.
    pub fn number(&self) -> Option<(Part, Named, usize)> {
        let number = match self.letter {
            'Y' => (Part::Year, Named::Year, 4),
            'y' => (Part::YearOfCentury, Named::Year, 2),
            'm' => (Part::Month, Named::Month, 2),
            'd' | 'e' => (Part::Day, Named::Day, 2),
            'j' => (Part::DayOfYear, Named::DayOfYear, 3),
            'H' | 'k' => (Part::Hour, Named::Hour, 2),
            'I' | 'l' => (Part::HourOfHalf, Named::HourOfHalf, 2),
            'M' => (Part::Minute, Named::Minute, 2),
            'S' => (Part::Second, Named::Second, 2),
            'u' => (Part::WeekdayFromMonday, Named::Weekday, 1),
            'w' => (Part::WeekdayFromSunday, Named::Weekday, 1),
            _ => return None,
        };
        let is_year = number.1 == Named::Year;
        let is_known = match self.flags {
            "" | "0" => true,
            "-" | "_" => !is_year,
            _ => false,
        };
        (is_known && self.width.is_empty()).then_some(number)
    }

    fn item(&self) -> Option<(Named, Item)> {
        let width = match self.width {
            "" => None,
            width => Some(width.parse().ok().filter(|width| (1..=9).contains(width))?),
        };
        Some(match (self.flags, width, self.letter) {
            ("", None, 'b' | 'h') => (Named::Month, Item::MonthName(NameLength::Three)),
            ("", None, 'B') => (Named::Month, Item::MonthName(NameLength::Whole)),
            ("", None, 'a') => (Named::Weekday, Item::WeekdayName(NameLength::Three)),
            ("", None, 'A') => (Named::Weekday, Item::WeekdayName(NameLength::Whole)),
            ("", None, 'p' | 'P') => (Named::Half, Item::Half),
            ("", None, 'f') => (Named::Fraction, Item::Fraction(1, 9)),
            ("", Some(width), 'f') => (Named::Fraction, Item::Fraction(width, width)),
            (".", None, 'f') => (Named::Fraction, Item::PointAndFraction),
            (".", Some(width), 'f') => (Named::Fraction, Item::Fraction(width, width)),
            ("" | ":" | "#", None, 'z') => (Named::Offset, Item::Offset),
            ("", None, 'Z') => (Named::Zone, Item::Zone),
            ("", None, 's') => (Named::Epoch, Item::Epoch),
            _ => return None,
        })
    }

    /// What to write for a directive of other programs.
    pub fn pointer(&self) -> String {
        let text = match self.letter {
            'f' | 'N' | 'L' | 'n' => "a second's fraction is `%f`, or `%3f`, `%6f`, `%9f`",
            'v' => "write `%e-%b-%Y`",
            'Q' => "milliseconds since the epoch are the form `epoch_ms`",
            '+' => "that is the form `rfc3339`",
            'c' | 'x' | 'X' => "it depends on the locale: write it out, as `%a %b %e %H:%M:%S %Y`",
            'U' | 'W' | 'V' | 'G' | 'g' => "weeks are not read: name month and day, or `%j`",
            'C' => "write `%Y` for the whole year",
            'E' | 'O' => "there are no other calendars or digits: leave this letter out",
            'z' => "an offset in any form is `%z`",
            'i' => "minutes are `%M`",
            _ if self.flags.contains(['^', '#']) => {
                "names are taken in any case of letters: leave the flag out"
            }
            _ => "known are Y y m d e j b B a A u w H k I l p M S f z Z s F T R D r n t and %",
        };
        text.to_owned()
    }
}

impl Item {
    fn begins_with_digit(&self) -> bool {
        match self {
            Item::Number(_) | Item::Fraction(..) | Item::Epoch => true,
            Item::Text(text) => text.starts_with(|c: char| c.is_ascii_digit()),
            _ => false,
        }
    }

    fn ends_with_digits(&self) -> bool {
        matches!(self, Item::Number(_) | Item::Fraction(..) | Item::Epoch)
    }
}

impl Named {
    fn word(self) -> &'static str {
        match self {
            Named::Year => "year",
            Named::Month => "month",
            Named::Day | Named::DayOfYear => "day",
            Named::Weekday => "weekday",
            Named::Hour | Named::HourOfHalf => "hour",
            Named::Half => "half of the day",
            Named::Minute => "minute",
            Named::Second => "second",
            Named::Fraction => "fraction of the second",
            Named::Offset => "offset",
            Named::Zone => "zone",
            Named::Epoch => "time since the epoch",
        }
    }
}

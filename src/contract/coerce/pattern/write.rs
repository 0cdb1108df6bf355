//! What a pattern writes: the same directives as are read, and those of strftime that nobody reads.

use super::compile::{Directive, PatternFault, fault};

/// The pattern by which chrono writes what this one means.
///
/// ```text
/// %H:%M:%S.%f   %H:%M:%S.%6f    chrono's own `%f` counts nanoseconds
/// %Q            refused
/// ```
pub(in crate::contract) fn written(text: &str) -> Result<String, PatternFault> {
    let (mut written, mut rest) = (String::new(), text);
    while let Some(start) = rest.find('%') {
        written.push_str(&rest[..start]);
        let directive = Directive::at_start(&rest[start..])?;
        written.push_str(directive.written()?);
        rest = &rest[start + directive.text.len()..];
    }
    written.push_str(rest);
    Ok(written)
}

impl<'p> Directive<'p> {
    fn written(&self) -> Result<&'p str, PatternFault> {
        if self.number().is_some() {
            return Ok(self.text);
        }
        let is_written = match self.letter {
            'f' if self.text == "%f" => return Ok("%6f"),
            'f' => {
                let known = ["%3f", "%6f", "%9f", "%.f", "%.3f", "%.6f", "%.9f"];
                if known.contains(&self.text) {
                    return Ok(self.text);
                }
                let message = format!("has `{}`, which is not written", self.text);
                return fault(message, "write `%f` (six digits), `%3f`, `%6f`, `%9f` or `%.f`");
            }
            'z' if self.text == "%#z" => {
                return fault("has `%#z`, which is for reading", "write `%z` or `%:z`");
            }
            'z' => matches!(self.text, "%z" | "%:z"),
            'b' | 'h' | 'B' | 'a' | 'A' | 'p' | 'P' | 'Z' | 's' => self.is_plain(),
            'F' | 'T' | 'R' | 'D' | 'r' | 'n' | 't' | '%' => self.is_plain(),
            // What is written in the C locale, and weeks, are what strftime writes.
            'c' | 'x' | 'X' | 'C' | 'G' | 'g' | 'V' | 'U' | 'W' => self.is_plain(),
            _ => false,
        };
        if is_written {
            return Ok(self.text);
        }
        fault(format!("has an unknown directive, `{}`", self.text), self.pointer_to_write())
    }

    /// What to write for a directive of other programs.
    fn pointer_to_write(&self) -> String {
        match self.letter {
            'Q' | 'v' => {
                "seconds since the epoch are `%s`, and their milliseconds `%3f`".to_owned()
            }
            '+' => "write `%Y-%m-%dT%H:%M:%S%:z`".to_owned(),
            _ if self.flags.contains(['^', '#']) => {
                "take `upper` or `lower` of the result".to_owned()
            }
            _ => self.pointer(),
        }
    }
}

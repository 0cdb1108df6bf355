//! One record: its keys and values from left to right, into the columns.

use std::sync::Arc;

mod lists;

use lists::ReadList;

use super::columns::{ColumnSlot, Group, bit};
use super::keys::{Action, Found, Keys, Kind};
use super::plan::NOT_COUNTED;
use super::scalars::{boolean, decimal, double, integer, is_null, timestamp};
use super::short::{Ahead, ShortTexts};
use super::time::{LastDate, quoted_date};
use super::unknown::UnknownPaths;
use crate::contract::{Mends, Value};
use crate::json::scan::cpu::{Kernel, Task};
use crate::json::scan::input::{Unhandled, after_space, byte};
use crate::json::scan::skip::{SkipRules, skip_value};
use crate::json::scan::text::{check_text, copy_text};
use crate::json::{DEPTH_LIMIT, read_json};

/// What reading records needs besides the columns.
pub(super) struct Reader<'r, K> {
    pub kernel: K,
    pub bytes: &'r [u8],
    pub keys: &'r mut Keys,
    pub unknown: &'r mut UnknownPaths,
    pub last_date: &'r mut LastDate,
    pub rules: Rules,
}

/// What the contract says of lines as such.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub depth_max: usize,
    pub duplicates_unhandled: bool,
    pub unknown_unhandled: bool,
    pub collects: bool,
}

impl<K: Kernel> Reader<'_, K> {
    /// Reads a record into the group's record in the making, from after its `{`; gives the place
    /// after its `}`.
    #[inline(always)]
    pub(super) fn read_record(
        &mut self,
        group: &mut Group,
        root: u32,
        mut at: usize,
    ) -> Result<usize, Unhandled> {
        let record = self.keys.begin_record();
        let unknown_fields = self.unknown.fields_count();
        let mut node = root;
        let mut before = self.keys.nodes[root as usize].start;
        at = after_space(self.bytes, at);
        if byte(self.bytes, at) == b'}' {
            return Ok(at + 1);
        }
        loop {
            let (bytes, keys) = (self.bytes, self.keys.short(record));
            let texts = ShortTexts { bytes, keys, group, before, at };
            let found = match texts.with(self.kernel) {
                Ahead::End(key, after) => {
                    (before, at) = (key, after);
                    None
                }
                Ahead::Value(key, after) => Some(Found { key, after }),
                Ahead::Any(before, at) => {
                    Some(self.keys.next(self.kernel, bytes, at, before, node, self.unknown)?)
                }
            };
            if let Some(Found { key, after }) = found {
                let (kind, again) = self.keys.meet(key, record);
                if again {
                    self.supersede(key, unknown_fields)?;
                }
                before = key;
                at = after;
                let mut first = byte(self.bytes, at);
                if first <= b' ' {
                    at = after_space(self.bytes, at);
                    first = byte(self.bytes, at);
                }
                if kind == Kind::Text && first == b'"' {
                    // Most values are texts.
                    at = self.take_text(group, self.keys.action(key), at)?;
                } else {
                    let opened;
                    (at, opened) = self.take_or_open(group, key, node, at)?;
                    if let Some(opened) = opened {
                        node = opened;
                        before = self.keys.nodes[node as usize].start;
                        at = after_space(self.bytes, at + 1);
                        if byte(self.bytes, at) != b'}' {
                            continue;
                        }
                    }
                }
            }
            let done;
            (at, done) = self.go_on(at, root, &mut node, &mut before)?;
            if done {
                return Ok(at);
            }
        }
    }

    /// Goes after a value to the next key, out of all objects that end there; true if the record
    /// did.
    #[inline(always)]
    fn go_on(
        &self,
        mut at: usize,
        root: u32,
        node: &mut u32,
        before: &mut u32,
    ) -> Result<(usize, bool), Unhandled> {
        loop {
            // Comparisons instead of a match, which would become a jump by a table.
            let after = byte(self.bytes, at);
            at += 1;
            if after == b',' {
                if byte(self.bytes, at) <= b' ' {
                    at = after_space(self.bytes, at);
                }
                return Ok((at, false));
            }
            if after == b'}' {
                if *node == root {
                    return Ok((at, true));
                }
                let closed = &self.keys.nodes[*node as usize];
                (*before, *node) = (closed.key, closed.parent);
            } else if matches!(after, b' ' | b'\t' | b'\r') {
                at = after_space(self.bytes, at);
            } else {
                return Err(Unhandled);
            }
        }
    }

    /// Does with a value what is to be done and gives the place after it; an object that paths
    /// lead through is only opened, and its node is given with its place.
    #[inline(always)]
    fn take_or_open(
        &mut self,
        group: &mut Group,
        key: u32,
        node: u32,
        at: usize,
    ) -> Result<(usize, Option<u32>), Unhandled> {
        let action = self.keys.action(key);
        if action.kind == Kind::Several {
            let end = self.take_several(group, action, node, at)?;
            let last = self.keys.several[action.place as usize].last();
            let object = last.filter(|last| last.kind == Kind::Object);
            return Ok(match object.filter(|_| byte(self.bytes, at) == b'{') {
                Some(object) => (at, Some(object.node)),
                None => (end, None),
            });
        }
        if action.kind == Kind::Object && byte(self.bytes, at) == b'{' {
            return Ok((at, Some(action.node)));
        }
        Ok((self.take(group, action, node, at)?, None))
    }

    /// Does with a value what is to be done; gives the place after it.
    #[inline(always)]
    fn take(
        &mut self,
        group: &mut Group,
        action: Action,
        node: u32,
        at: usize,
    ) -> Result<usize, Unhandled> {
        let place = action.place as usize;
        let bytes = self.bytes;
        let index = group.len;
        macro_rules! fixed {
            ($columns:ident, $read:expr) => {
                match $read {
                    Ok((value, end)) => {
                        if claim(group, action)? {
                            group.$columns[place].set(index, value);
                        }
                        Ok(end)
                    }
                    Err(Unhandled) => self.take_fallback(group, action, node, at),
                }
            };
        }
        match action.kind {
            Kind::Text if byte(bytes, at) == b'"' => self.take_text(group, action, at),
            Kind::Text => self.take_fallback(group, action, node, at),
            Kind::Int32 => fixed!(int32s, {
                integer(bytes, at, &group.columns[action.column as usize].forms).and_then(
                    |(value, end)| Ok((i32::try_from(value).map_err(|_| Unhandled)?, end)),
                )
            }),
            Kind::Int64 => {
                fixed!(int64s, integer(bytes, at, &group.columns[action.column as usize].forms))
            }
            Kind::Float64 => {
                fixed!(float64s, double(bytes, at, &group.columns[action.column as usize].forms))
            }
            Kind::Decimal => {
                fixed!(decimals, decimal(bytes, at, &group.columns[action.column as usize].forms))
            }
            Kind::Bool => fixed!(bools, boolean(bytes, at)),
            Kind::Date => fixed!(
                int32s,
                match byte(bytes, at) {
                    b'"' => quoted_date(bytes, at + 1, self.last_date),
                    _ => Err(Unhandled),
                }
            ),
            Kind::Timestamp => fixed!(
                int64s,
                timestamp(bytes, at, &group.columns[action.column as usize].forms, self.last_date)
            ),
            Kind::Unknown | Kind::Skip | Kind::Object => self.take_unknown(action, node, at),
            Kind::Json => self.take_json(group, action, node, at),
            Kind::List => self.take_list(group, action, at),
            Kind::Reader => self.take_fallback(group, action, node, at),
            Kind::Several | Kind::Unhandled => Err(Unhandled),
        }
    }

    /// Takes a string from its opening quote on.
    #[inline(always)]
    fn take_text(&self, group: &mut Group, action: Action, at: usize) -> Result<usize, Unhandled> {
        if !claim(group, action)? {
            return check_text(self.kernel, self.bytes, at + 1, false);
        }
        let index = group.len;
        let column = &mut group.texts[action.place as usize];
        if !column.built {
            return check_text(self.kernel, self.bytes, at + 1, true);
        }
        column.start = column.bytes.len();
        let end = copy_text(self.kernel, self.bytes, at + 1, &mut column.bytes)?;
        column.end(index);
        Ok(end)
    }

    #[inline(always)]
    fn skip(&self, node: u32, at: usize) -> Result<usize, Unhandled> {
        let depth = self.keys.nodes[node as usize].depth;
        let rules = SkipRules {
            depth_left: self.rules.depth_max.saturating_sub(depth),
            duplicates_unhandled: self.rules.duplicates_unhandled,
        };
        skip_value(self.kernel, self.bytes, at, rules)
    }

    /// A key stands in the record for the second time: the last one counts. Where it matters for
    /// more than a count, the line is unhandled.
    #[cold]
    fn supersede(&mut self, key: u32, unknown_fields: usize) -> Result<(), Unhandled> {
        let action = self.keys.action(key);
        match action.kind {
            _ if self.rules.duplicates_unhandled => Err(Unhandled),
            Kind::Skip => Ok(()),
            Kind::Unknown => {
                self.unknown.forget(action.unknown, unknown_fields);
                Ok(())
            }
            _ => Err(Unhandled),
        }
    }

    /// A value that no column takes: an unknown field, or none where an object might have been.
    #[inline(always)]
    fn take_unknown(&mut self, action: Action, node: u32, at: usize) -> Result<usize, Unhandled> {
        let end = self.skip(node, at)?;
        let counts = match action.kind {
            Kind::Skip => false,
            Kind::Unknown => true,
            _ => action.unknown != NOT_COUNTED && !is_null(self.bytes, at),
        };
        if counts {
            if self.rules.unknown_unhandled {
                return Err(Unhandled);
            }
            self.unknown.meet(action.unknown, at, end);
        }
        Ok(end)
    }

    #[inline(always)]
    fn take_json(
        &mut self,
        group: &mut Group,
        action: Action,
        node: u32,
        at: usize,
    ) -> Result<usize, Unhandled> {
        let end = self.skip(node, at)?;
        if !is_null(self.bytes, at) && claim(group, action)? {
            let index = group.len;
            let column = &mut group.texts[action.place as usize];
            if column.built {
                column.start = column.bytes.len();
                column.bytes.extend_from_slice(self.bytes.get(at..end).ok_or(Unhandled)?);
                column.end(index);
            }
        }
        Ok(end)
    }

    #[inline(always)]
    fn take_list(
        &mut self,
        group: &mut Group,
        action: Action,
        at: usize,
    ) -> Result<usize, Unhandled> {
        match byte(self.bytes, at) {
            b'[' => {
                // A list that stands after another one of its column, or before it, is unhandled.
                if !claim(group, action)? {
                    return Err(Unhandled);
                }
                let kernel = self.kernel;
                kernel.run(ReadList { reader: self, group, action, at: at + 1 })
            }
            b'n' if is_null(self.bytes, at) => Ok(at + 4),
            _ => Err(Unhandled),
        }
    }

    /// Does all that is to be done with a value; an object that paths lead through is left to the
    /// caller.
    fn take_several(
        &mut self,
        group: &mut Group,
        action: Action,
        node: u32,
        at: usize,
    ) -> Result<usize, Unhandled> {
        let kernel = self.kernel;
        kernel.run(TakeSeveral { reader: self, group, action, node, at })
    }

    /// A value that is null or no plain one: the contract's own reader has to say.
    #[cold]
    #[inline(never)]
    fn take_fallback(
        &mut self,
        group: &mut Group,
        action: Action,
        node: u32,
        at: usize,
    ) -> Result<usize, Unhandled> {
        if is_null(self.bytes, at) {
            return Ok(at + 4);
        }
        let end = self.skip(node, at)?;
        if !claim(group, action)? {
            return Ok(end);
        }
        if let ColumnSlot::Text(place) = group.columns[action.column as usize].slot {
            group.texts[place].start = group.texts[place].bytes.len();
        }
        let text = self.bytes.get(at..end).and_then(|text| std::str::from_utf8(text).ok());
        let json = read_json(text.ok_or(Unhandled)?, DEPTH_LIMIT).map_err(|_fault| Unhandled)?;
        let column = action.column as usize;
        let mut mends = Mends::default();
        let reader = &group.columns[column].reader;
        let value = reader.take_at(usize::from(action.rank), &json, &mut mends);
        // A text of its own, for the reader that it may be borrowed from lies in the group, too.
        let value = value.map_err(|_misfit| Unhandled)?.to_static();
        if value == Value::Null {
            if !group.may_be_null(column) {
                return Err(Unhandled);
            }
            let (word, bit) = bit(column);
            group.present[word] &= !bit;
        }
        group.set(column, &value);
        for mend in mends.into_vec() {
            // The name has the lists that the record lies in, which the reader does not know.
            self.unknown.mends.push((Arc::clone(&group.columns[column].name), mend.kind));
        }
        Ok(end)
    }
}

/// Takes the column for a value of this rank; false if a better path has given it one already.
#[inline(always)]
fn claim(group: &mut Group, action: Action) -> Result<bool, Unhandled> {
    let (word, bit) = bit(action.column as usize);
    let present = group.present.get_mut(word).ok_or(Unhandled)?;
    if *present & bit != 0 {
        return contest(group, action.kind, action.column, action.place, action.rank);
    }
    *present |= bit;
    if action.ranked {
        group.ranks[action.column as usize] = action.rank;
    }
    Ok(true)
}

/// Out of line and by single values, so that no action need be laid down in memory.
#[cold]
#[inline(never)]
fn contest(
    group: &mut Group,
    kind: Kind,
    column: u32,
    place: u32,
    rank: u8,
) -> Result<bool, Unhandled> {
    // What was mended in a value that does not count must not count either.
    if kind == Kind::List || group.columns[column as usize].may_mend {
        return Err(Unhandled);
    }
    let best = &mut group.ranks[column as usize];
    if *best < rank {
        return Ok(false);
    }
    *best = rank;
    let is_text = match kind {
        Kind::Text | Kind::Json => true,
        Kind::Reader => matches!(group.columns[column as usize].slot, ColumnSlot::Text(_)),
        _ => false,
    };
    if is_text {
        group.texts[place as usize].drop_text(group.len);
    }
    Ok(true)
}

struct TakeSeveral<'l, 'r, K> {
    reader: &'l mut Reader<'r, K>,
    group: &'l mut Group,
    action: Action,
    node: u32,
    at: usize,
}

impl<A: Kernel> Task for TakeSeveral<'_, '_, A> {
    type Output = Result<usize, Unhandled>;

    #[inline(always)]
    fn with<K: Kernel>(self, _kernel: K) -> Self::Output {
        let TakeSeveral { reader, group, action, node, at } = self;
        let mut end = at;
        for index in 0..reader.keys.several[action.place as usize].len() {
            let action = reader.keys.several[action.place as usize][index];
            if action.kind != Kind::Object {
                end = reader.take(group, action, node, at)?;
            }
        }
        Ok(end)
    }
}

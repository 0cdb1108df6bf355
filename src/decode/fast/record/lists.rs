//! Lists of records, element by element.

use super::Reader;
use crate::decode::fast::columns::Group;
use crate::decode::fast::keys::Action;
use crate::decode::fast::scalars::is_null;
use crate::json::scan::cpu::{Kernel, Task};
use crate::json::scan::input::{Unhandled, after_space, byte};

/// Reads a list's elements, from after its `[`.
pub(super) struct ReadList<'l, 'r, K> {
    pub reader: &'l mut Reader<'r, K>,
    pub group: &'l mut Group,
    pub action: Action,
    pub at: usize,
}

impl<A: Kernel> Task for ReadList<'_, '_, A> {
    type Output = Result<usize, Unhandled>;

    #[inline(always)]
    fn with<K: Kernel>(self, _kernel: K) -> Self::Output {
        let ReadList { reader, group, action, at } = self;
        let list = &mut group.lists[action.place as usize];
        if group.is_table {
            list.mark();
        }
        let end = reader.read_elements(&mut list.elements, action.node, at)?;
        list.end(group.len);
        Ok(end)
    }
}

impl<K: Kernel> Reader<'_, K> {
    #[inline(always)]
    fn read_elements(
        &mut self,
        group: &mut Group,
        node: u32,
        at: usize,
    ) -> Result<usize, Unhandled> {
        let bytes = self.bytes;
        let mut at = after_space(bytes, at);
        if byte(bytes, at) == b']' {
            return Ok(at + 1);
        }
        let mut index = 0;
        loop {
            if byte(bytes, at) == b'{' {
                if self.rules.collects {
                    self.unknown.elements.push(index);
                }
                group.reserve_row();
                at = self.read_record(group, node, at + 1)?;
                if !group.accept() {
                    return Err(Unhandled);
                }
                self.unknown.elements.pop();
            } else if is_null(bytes, at) {
                group.append_null();
                at += 4;
            } else {
                return Err(Unhandled);
            }
            index += 1;
            at = after_space(bytes, at);
            match byte(bytes, at) {
                b',' => at = after_space(bytes, at + 1),
                b']' => return Ok(at + 1),
                _ => return Err(Unhandled),
            }
        }
    }
}

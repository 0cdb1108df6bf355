//! Keys that stand twice in one object.

use std::collections::HashSet;

use crate::contract::{DuplicateKeys, PathKey};
use crate::json::{Json, JsonKind, Member};

/// Members up to which comparing each with each is quicker than hashing.
const FEW_MEMBERS: usize = 16;

/// The path of a key that stands twice, from the record on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DuplicateKey {
    pub path: String,
}

/// Leaves each key of each object once, the last of its members; or tells of the first that is
/// there twice if the contract wants none.
pub(super) fn settle_duplicates(
    members: &mut Vec<Member<'_>>,
    policy: DuplicateKeys,
) -> Result<(), DuplicateKey> {
    let superseded = superseded(members);
    if let (DuplicateKeys::Reject, Some(first)) = (policy, superseded.first()) {
        return Err(DuplicateKey { path: PathKey(&members[*first].key).to_string() });
    }
    if !superseded.is_empty() {
        let mut superseded = superseded.into_iter().peekable();
        let mut index = 0;
        members.retain(|_| {
            index += 1;
            superseded.next_if_eq(&(index - 1)).is_none()
        });
    }
    for member in members {
        let key = &member.key;
        settle_within(&mut member.value, policy).map_err(|duplicate| DuplicateKey {
            path: format!("{}{}", PathKey(key), duplicate.path),
        })?;
    }
    Ok(())
}

/// As [`settle_duplicates`], in any value; the path begins with its separator.
fn settle_within(json: &mut Json<'_>, policy: DuplicateKeys) -> Result<(), DuplicateKey> {
    match &mut json.kind {
        JsonKind::Object(members) => settle_duplicates(members, policy)
            .map_err(|duplicate| DuplicateKey { path: format!(".{}", duplicate.path) }),
        JsonKind::Array(elements) => {
            for (index, element) in elements.iter_mut().enumerate() {
                settle_within(element, policy).map_err(|duplicate| DuplicateKey {
                    path: format!("[{index}]{}", duplicate.path),
                })?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Indices, in order, of the members after which another one has the same key.
fn superseded(members: &[Member<'_>]) -> Vec<usize> {
    if members.len() <= FEW_MEMBERS {
        let comes_again = |index: &usize| {
            members[index + 1..].iter().any(|later| later.key == members[*index].key)
        };
        return (0..members.len()).filter(comes_again).collect();
    }
    let mut seen = HashSet::with_capacity(members.len());
    let from_behind = members.iter().enumerate().rev();
    let mut superseded: Vec<usize> = from_behind
        .filter(|(_, member)| !seen.insert(member.key.as_ref()))
        .map(|(index, _)| index)
        .collect();
    superseded.reverse();
    superseded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json::read_json;

    fn settled(text: &str, policy: DuplicateKeys) -> Result<Vec<(String, String)>, String> {
        let JsonKind::Object(mut members) = read_json(text, 64).unwrap().kind else {
            panic!("{text} is no object");
        };
        settle_duplicates(&mut members, policy).map_err(|duplicate| duplicate.path)?;
        let pair = |member: &Member<'_>| (member.key.to_string(), member.value.raw.to_owned());
        Ok(members.iter().map(pair).collect())
    }

    #[test]
    fn the_first_key_that_stands_twice_is_told_with_its_path() {
        let cases = [
            (r#"{"a":1,"b":2,"a":3}"#, "a"),
            (r#"{"a":1,"\u0061":3}"#, "a"),
            (r#"{"x":{"y.z":[1,{"k":{},"k":{}}]}}"#, "x.\"y.z\"[1].k"),
            (r#"{"x":[[{"k":1,"k":1}]]}"#, "x[0][0].k"),
        ];
        for (text, path) in cases {
            assert_eq!(settled(text, DuplicateKeys::Reject), Err(path.to_owned()), "{text}");
        }
        assert!(settled(r#"{"a":{"a":1},"b":[{"a":1},{"a":1}]}"#, DuplicateKeys::Reject).is_ok());
    }

    proptest! {
        #[test]
        fn the_last_of_equal_keys_stays_whether_members_are_few_or_many(
            keys in prop::collection::vec(0_u8..30, 0..60),
        ) {
            let member = |(value, key): (usize, &u8)| format!("\"k{key}\":{value}");
            let members: Vec<String> = keys.iter().enumerate().map(member).collect();
            let text = format!("{{{}}}", members.join(","));
            let expected: Vec<(String, String)> = keys
                .iter()
                .enumerate()
                .filter(|(index, key)| !keys[index + 1..].contains(key))
                .map(|(value, key)| (format!("k{key}"), value.to_string()))
                .collect();
            let unique = expected.len() == keys.len();
            prop_assert_eq!(settled(&text, DuplicateKeys::Last), Ok(expected));
            prop_assert_eq!(settled(&text, DuplicateKeys::Reject).is_ok(), unique);
        }
    }
}

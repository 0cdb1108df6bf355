//! Names of columns and fields that Hive's Parquet SerDe can take.
//!
//! It writes the columns down as text and reads that again (`message t { optional binary a b; }`,
//! `struct<a b:int>`), where a blank or a bracket in one name makes all columns unreadable.

use std::collections::BTreeSet;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};

/// What stands in the way of reading these columns by Hive, a sentence each.
pub(crate) fn check_hive_names(columns: &[FieldRef]) -> Vec<String> {
    let mut problems = Vec::new();
    for column in columns {
        let name = column.name();
        if !is_hive_name(name, "_-@$") {
            problems.push(format!(
                "column `{name}`: Hive's SerDe cannot take {} in a column's name, expected ASCII \
                 letters, digits and `_`; rename it with AS in the view, or choose another \
                 `target`",
                what_is_wrong(name, "_-@$"),
            ));
        }
        check_fields(name, column.data_type(), &mut problems);
    }
    problems
}

/// Checks the fields of a type: structs, whatever they are in.
fn check_fields(path: &str, data_type: &DataType, problems: &mut Vec<String>) {
    use DataType as T;
    match data_type {
        T::List(item)
        | T::LargeList(item)
        | T::FixedSizeList(item, _)
        | T::ListView(item)
        | T::LargeListView(item) => check_fields(path, item.data_type(), problems),
        T::Map(entries, _) => {
            if let T::Struct(pair) = entries.data_type() {
                let types = pair.iter().map(|field| field.data_type());
                types.for_each(|data_type| check_fields(path, data_type, problems));
            }
        }
        T::Dictionary(_, values) => check_fields(path, values, problems),
        T::RunEndEncoded(_, values) => check_fields(path, values.data_type(), problems),
        T::Struct(fields) => {
            let mut names = BTreeSet::new();
            for field in fields {
                problems.extend(check_field(path, field, &mut names));
                check_fields(&format!("{path}.{}", field.name()), field.data_type(), problems);
            }
        }
        _ => {}
    }
}

fn check_field(path: &str, field: &Field, names: &mut BTreeSet<String>) -> Option<String> {
    let name = field.name();
    if !is_hive_name(name, "_") {
        return Some(format!(
            "column `{path}`: Hive's SerDe cannot take {} in the name of the field `{name}`, \
             expected ASCII letters, digits and `_`; build the struct with another name \
             (named_struct), or choose another `target`",
            what_is_wrong(name, "_"),
        ));
    }
    (!names.insert(name.to_ascii_lowercase())).then(|| {
        format!(
            "column `{path}`: two of its fields are called `{name}` but for their case, and Hive \
             cannot tell them apart; build the struct with other names (named_struct), or choose \
             another `target`"
        )
    })
}

fn is_hive_name(name: &str, others: &str) -> bool {
    !name.is_empty() && !name.contains(|c| !is_taken(c, others))
}

fn is_taken(c: char, others: &str) -> bool {
    c.is_ascii_alphanumeric() || others.contains(c)
}

fn what_is_wrong(name: &str, others: &str) -> String {
    match name.chars().find(|c| !is_taken(*c, others)) {
        Some(c) => format!("{c:?}"),
        None => "no character".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn problems(name: &str, data_type: DataType) -> Vec<String> {
        check_hive_names(&[Arc::new(Field::new(name, data_type, true))])
    }

    #[test]
    fn names_that_the_serde_would_read_as_something_else_are_refused() {
        for bad in ["a b", "a,b", "a:b", "a.b", "a`b", "a;b", "a(b", "a{b", "a=b", "a\tb", "日", ""]
        {
            assert_eq!(problems(bad, DataType::Int64).len(), 1, "{bad}");
        }
        for good in ["a", "A_1", "_c0", "1a", "@timestamp", "a-b"] {
            assert_eq!(problems(good, DataType::Int64), Vec::<String>::new(), "{good}");
        }
    }

    #[test]
    fn fields_of_structs_are_looked_at_however_deep_they_are() {
        let of = |names: &[&str]| {
            let fields: Vec<Field> =
                names.iter().map(|name| Field::new(*name, DataType::Int64, true)).collect();
            DataType::Struct(fields.into())
        };
        let list = |item: DataType| DataType::List(Arc::new(Field::new("item", item, true)));
        let found = problems("items", list(of(&["sku", "a-b"])));
        assert!(found[0].contains("column `items`") && found[0].contains("`a-b`"), "{found:?}");
        let twins = problems("x", of(&["id", "ID", "iD"]));
        assert_eq!(twins.len(), 2, "{twins:?}");
        let deep = DataType::Struct(vec![Field::new("y", list(of(&["z z"])), true)].into());
        assert!(problems("x", deep)[0].contains("column `x.y`"));
        assert_eq!(problems("x", list(of(&["a", "b_1"]))), Vec::<String>::new());
    }
}

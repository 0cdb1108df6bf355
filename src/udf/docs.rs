//! What `ashiato functions` prints of a function, written beside its code.

use std::fmt;

use datafusion::logical_expr::{DocSection, Documentation};
use serde::Serialize;

/// The documentation of a SQL function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct FunctionDoc {
    /// The name in SQL.
    pub name: &'static str,
    /// How it is called; brackets hold what may be left out.
    pub syntax: &'static str,
    /// What it does and what it gives for odd input.
    pub description: &'static str,
    /// Its arguments in order.
    pub arguments: &'static [ArgumentDoc],
    /// Queries with their results; a test runs each.
    pub examples: &'static [ExampleDoc],
    /// Where its rules are from.
    pub source: &'static str,
    /// Functions that do something near.
    pub see_also: &'static [&'static str],
}

/// The documentation of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct ArgumentDoc {
    /// The name in [`FunctionDoc::syntax`].
    pub name: &'static str,
    /// What it means and which types it takes.
    pub description: &'static str,
}

/// A query and its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct ExampleDoc {
    /// A query that needs no table.
    pub sql: &'static str,
    /// Its only value as text, `NULL` for a null.
    pub result: &'static str,
}

impl FunctionDoc {
    /// The same documentation as the engine keeps it.
    pub fn to_documentation(self) -> Documentation {
        let section = DocSection { include: true, label: "Ashiato", description: None };
        let mut builder = Documentation::builder(section, self.description, self.syntax);
        for argument in self.arguments {
            builder = builder.with_argument(argument.name, argument.description);
        }
        for related in self.see_also {
            builder = builder.with_related_udf(*related);
        }
        let examples = self.examples.iter().map(|e| format!("> {};\n{}", e.sql, e.result));
        builder.with_sql_example(examples.collect::<Vec<_>>().join("\n")).build()
    }
}

impl FunctionDoc {
    /// The same documentation as a section of a page.
    pub fn to_markdown(self) -> String {
        let mut text = format!("## {}\n`{}`\n\n", self.name, self.syntax);
        let lines: Vec<&str> = self.description.lines().collect();
        text += &format!("{}\n\n", lines.join("\n\n"));
        for argument in self.arguments {
            text += &format!("- `{}`: {}\n", argument.name, argument.description);
        }
        text += "\n```sql\n";
        for example in self.examples {
            text += &format!("{};  -- {}\n", example.sql, example.result);
        }
        text += &format!("```\n\nSource: {}.", self.source);
        let links: Vec<String> =
            self.see_also.iter().map(|name| format!("[`{name}`](#{name})")).collect();
        if !links.is_empty() {
            text += &format!(" See also: {}.", links.join(", "));
        }
        text + "\n"
    }
}

impl fmt::Display for FunctionDoc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n\n  {}\n", self.syntax, self.description.replace('\n', "\n  "))?;
        for argument in self.arguments {
            let text = argument.description.replace('\n', "\n      ");
            writeln!(f, "  {}\n      {text}", argument.name)?;
        }
        for example in self.examples {
            writeln!(f, "\n  > {}\n  {}", example.sql, example.result)?;
        }
        writeln!(f, "\n  source: {}", self.source)?;
        match self.see_also {
            [] => Ok(()),
            names => writeln!(f, "  see also: {}", names.join(", ")),
        }
    }
}

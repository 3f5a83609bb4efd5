//! The graph of references, as text and for Graphviz.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::reference::{OnOrphan, Reference};

/// The references by table, one a line: what holds it, what it points at, and what happens to an orphan.
pub fn text<'r>(references: impl IntoIterator<Item = &'r Reference>) -> String {
    let mut tables: BTreeMap<&str, Vec<&Reference>> = BTreeMap::new();
    for reference in references {
        tables.entry(&reference.table).or_default().push(reference);
    }
    let mut out = String::new();
    for (table, references) in tables {
        // Writing to a string does not fail.
        let _ = writeln!(out, "{table}");
        for reference in references {
            let _ = writeln!(
                out,
                "  {} -> {}, on orphan {}",
                written_place(reference),
                reference.target,
                reference.action.word()
            );
        }
    }
    out
}

/// The same as a graph in the language of Graphviz: a node for each table, a frame for each schema, an arrow for each
/// reference. It is dashed if an orphan is cleared, and bold if its row is deleted.
pub fn dot<'r>(references: impl IntoIterator<Item = &'r Reference>) -> String {
    let references: Vec<&Reference> = references.into_iter().collect();
    let mut schemas: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for reference in &references {
        let Reference { table, target, .. } = reference;
        let schema = table.split('.').next().unwrap_or_default();
        schemas.entry(schema).or_default().insert(table.clone());
        schemas.entry(&target.schema).or_default().insert(format!("{}.{}", target.schema, target.table));
    }
    let mut out = String::from("digraph references {\n  rankdir=LR;\n  node [shape=box];\n");
    for (schema, tables) in schemas {
        let _ = writeln!(out, "  subgraph {} {{", quoted(&format!("cluster_{schema}")));
        let _ = writeln!(out, "    label={};", quoted(schema));
        for table in tables {
            let _ = writeln!(out, "    {};", quoted(&table));
        }
        out.push_str("  }\n");
    }
    for reference in references {
        let target = format!("{}.{}", reference.target.schema, reference.target.table);
        let style = match reference.action {
            OnOrphan::Report => "solid",
            OnOrphan::Delete => "bold",
            OnOrphan::Clear => "dashed",
        };
        let label = quoted(&written_place(reference));
        let _ = writeln!(out, "  {} -> {} [label={label}, style={style}];", quoted(&reference.table), quoted(&target));
    }
    out.push_str("}\n");
    out
}

/// The place as a comment writes it: `body.product_uids[]`.
fn written_place(reference: &Reference) -> String {
    format!("{}{}", reference.place(), if reference.list { "[]" } else { "" })
}

/// A string of the language of Graphviz.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

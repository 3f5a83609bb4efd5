//! The shape of a mapping file, and reading it with errors that name the file and the setting.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::transform::Transform;

/// A mapping as it was written.
#[derive(Clone, Debug)]
pub(crate) struct Mapping {
    /// The file, for error messages.
    pub(crate) file: PathBuf,
    pub(crate) source: Source,
    pub(crate) group: Option<Group>,
    pub(crate) fields: BTreeMap<String, Rule>,
}

/// How the records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// Values separated by a delimiter, one record a line, a header first.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

/// `[source]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    pub(crate) format: Option<Format>,
    pub(crate) delimiter: Option<char>,
}

/// `[group]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    pub(crate) by: String,
}

/// What one field is made of.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    pub(crate) column: Option<String>,
    #[serde(default)]
    pub(crate) optional: bool,
    #[serde(default)]
    pub(crate) transforms: Vec<Transform>,
    #[serde(default)]
    pub(crate) prefix: String,
    pub(crate) pick: Option<Pick>,
    pub(crate) value: Option<String>,
    pub(crate) split: Option<String>,
}

/// Which record of a group gives the row its value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Pick {
    #[default]
    FirstNonEmpty,
    First,
    LastNonEmpty,
    Last,
    Earliest,
    Latest,
}

impl Mapping {
    /// Reads a mapping file.
    pub(crate) fn load(file: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("the mapping {} cannot be read", file.display()))?;
        Self::parse(file, &text)
    }

    /// Reads a mapping from its text; `file` is for error messages.
    pub(crate) fn parse(file: &Path, text: &str) -> anyhow::Result<Self> {
        let mut document: toml::Table = toml::from_str(text).map_err(|error: toml::de::Error| {
            let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            anyhow::anyhow!("{}:{line}: {}", file.display(), error.message())
        })?;
        let source = section(file, "source", document.remove("source"))?.unwrap_or_default();
        let group = section(file, "group", document.remove("group"))?;
        let rules: BTreeMap<String, toml::Value> = section(file, "fields", document.remove("fields"))?
            .with_context(|| format!("{}: the section [fields] is missing", file.display()))?;
        if let Some(unknown) = document.keys().next() {
            anyhow::bail!("{}: unknown section `{unknown}`, expected `source`, `group` or `fields`", file.display());
        }
        let fields = rules
            .into_iter()
            .map(|(path, rule)| {
                let rule = section(file, &format!("fields.{path:?}"), Some(rule))?;
                Ok((path, rule.context("a rule was given")?))
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { file: file.to_owned(), source, group, fields })
    }
}

fn section<T: DeserializeOwned>(file: &Path, key: &str, value: Option<toml::Value>) -> anyhow::Result<Option<T>> {
    let Some(value) = value else { return Ok(None) };
    T::deserialize(value).map(Some).map_err(|error: toml::de::Error| {
        let message =
            error.message().replace("unknown field", "unknown setting").replace("unknown variant", "unknown name");
        let hint = if message.starts_with("unknown setting") && key.starts_with("fields.") {
            "; a path of several parts stands in quotes, as \"status.phase\""
        } else {
            ""
        };
        anyhow::anyhow!("{}: {key}: {message}{hint}", file.display())
    })
}

//! The structure of a mapping file. Errors name the file and the setting.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use encoding_rs::Encoding;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

use super::sources::Same;
use super::transform::Transform;
use crate::whole_file::read_text;

/// A mapping as written.
#[derive(Clone, Debug)]
pub(crate) struct Mapping {
    /// The file, for error messages.
    pub(crate) file: PathBuf,
    pub(crate) source: SourceSection,
    pub(crate) group: Option<GroupSection>,
    pub(crate) fields: Fields,
    /// The `[[name]]` sections, by name, unchecked: which names are allowed depends on the resource.
    lists: BTreeMap<String, toml::Value>,
}

/// The rules of each path, in the order of the file.
pub(crate) type Fields = BTreeMap<String, Vec<Rule>>;

/// A `[[name]]` section: how elements of a list are made.
#[derive(Clone, Debug)]
pub(crate) struct Element {
    pub(crate) each: Each,
    pub(crate) on: Option<On>,
    pub(crate) fields: Fields,
}

/// What an element of a list is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Each {
    /// A record: the row gets an element from each of its records.
    #[default]
    Record,
    /// All records of the row together.
    Row,
}

/// The format of the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// Delimited values, one record per line, after a header.
    Csv,
    /// One JSON object per line.
    Jsonl,
}

/// `[source]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceSection {
    pub(crate) format: Option<Format>,
    pub(crate) delimiter: Option<char>,
    pub(crate) quoting: Option<Quoting>,
    #[serde(default, deserialize_with = "encoding")]
    pub(crate) encoding: Option<&'static Encoding>,
}

/// Whether the cells of a CSV file may be quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Quoting {
    /// In double quotes. Quotes within them are doubled.
    Double,
    /// Not quoted: a quote is an ordinary character.
    None,
}

/// Parses an encoding by any of its labels in the WHATWG standard, in any letter case.
fn encoding<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'static Encoding>, D::Error> {
    let label = String::deserialize(deserializer)?;
    Encoding::for_label_no_replacement(label.as_bytes()).map(Some).ok_or_else(|| {
        serde::de::Error::custom(format_args!(
            "unknown encoding `{label}`, expected a label of the WHATWG standard, such as `utf-8`, `windows-1252`, \
             `utf-16` \
             or `shift_jis`"
        ))
    })
}

/// `[group]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupSection {
    pub(crate) by: String,
    #[serde(default)]
    pub(crate) consecutive: bool,
}

/// How a field is made.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    #[serde(default)]
    pub(crate) column: Option<ColumnNames>,
    #[serde(default)]
    pub(crate) optional: bool,
    #[serde(default)]
    pub(crate) transforms: Vec<Transform>,
    #[serde(default)]
    pub(crate) prefix: String,
    pub(crate) pick: Option<Pick>,
    pub(crate) value: Option<String>,
    #[serde(default)]
    pub(crate) json: bool,
    pub(crate) split: Option<String>,
    pub(crate) most: Option<usize>,
    pub(crate) same: Option<Same>,
    pub(crate) on: Option<On>,
}

/// Names of a column. The file has one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ColumnNames(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for ColumnNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = match toml::Value::deserialize(deserializer)? {
            toml::Value::String(name) => vec![name],
            toml::Value::Array(names) if !names.is_empty() => names
                .into_iter()
                .map(toml::Value::try_into::<String>)
                .collect::<Result<_, _>>()
                .map_err(|error| D::Error::custom(format!("column: {}", error.message())))?,
            _ => return Err(D::Error::custom("column: is neither a name nor a list of names")),
        };
        if (1..names.len()).any(|place| names[..place].contains(&names[place])) {
            return Err(D::Error::custom("column: has a name twice"));
        }
        Ok(Self(names))
    }
}

/// Which rows take a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum On {
    /// New rows. An existing row keeps its value.
    Create,
}

/// Which record of a group the value is taken from.
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
        /// Mappings are written by hand, so a larger file is a mistake.
        const MAX_MIB: u64 = 1;
        let text =
            read_text(file, MAX_MIB).with_context(|| format!("the mapping {} cannot be read", file.display()))?;
        Self::parse(file, &text)
    }

    /// Parses a mapping; `file` is for error messages.
    pub(crate) fn parse(file: &Path, text: &str) -> anyhow::Result<Self> {
        let mut document: toml::Table = toml::from_str(text).map_err(|error: toml::de::Error| {
            let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            anyhow::anyhow!("{}:{line}: {}", file.display(), error.message())
        })?;
        let source = section(file, "source", document.remove("source"))?.unwrap_or_default();
        let group = section(file, "group", document.remove("group"))?;
        let fields = document.remove("fields");
        let fields = fields.with_context(|| format!("{}: the section [fields] is missing", file.display()))?;
        let fields = rules(file, "fields", fields)?;
        Ok(Self { file: file.to_owned(), source, group, fields, lists: document.into_iter().collect() })
    }

    /// The names of the sections other than `source`, `group` and `fields`.
    pub(crate) fn lists(&self) -> impl Iterator<Item = &str> {
        self.lists.keys().map(String::as_str)
    }

    /// The elements of a list, each with its name for messages.
    pub(crate) fn elements(&self, list: &str) -> anyhow::Result<Vec<(String, Element)>> {
        let file = &self.file;
        let elements = match self.lists.get(list) {
            None => return Ok(Vec::new()),
            Some(toml::Value::Array(elements)) if elements.iter().all(toml::Value::is_table) => elements,
            Some(_) => anyhow::bail!("{}: {list}: a list needs double brackets: [[{list}]]", file.display()),
        };
        let mut read = Vec::new();
        for (place, element) in elements.iter().enumerate() {
            let name = format!("{list}.{}", place + 1);
            let mut element = element.as_table().cloned().unwrap_or_default();
            let each = section(file, &format!("{name}.each"), element.remove("each"))?.unwrap_or_default();
            let on = section(file, &format!("{name}.on"), element.remove("on"))?;
            let fields = element.remove("fields");
            let fields = fields.with_context(|| format!("{}: {name}: [{list}.fields] is missing", file.display()))?;
            if let Some(unknown) = element.keys().next() {
                anyhow::bail!(
                    "{}: {name}: unknown setting `{unknown}`, expected `each`, `on` or `fields`",
                    file.display()
                );
            }
            let fields = rules(file, &format!("{name}.fields"), fields)?;
            read.push((name, Element { each, on, fields }));
        }
        Ok(read)
    }
}

/// Parses rules: one or a list for each path.
fn rules(file: &Path, key: &str, value: toml::Value) -> anyhow::Result<Fields> {
    let rules: BTreeMap<String, toml::Value> = section(file, key, Some(value))?.unwrap_or_default();
    let mut read = Fields::new();
    for (path, rule) in rules {
        let key = format!("{key}.{path:?}");
        let several = match rule {
            toml::Value::Array(several) if several.is_empty() => anyhow::bail!("{}: {key}: is empty", file.display()),
            toml::Value::Array(several) => several,
            one => vec![one],
        };
        let several =
            several.into_iter().map(|rule| section(file, &key, Some(rule))).collect::<anyhow::Result<Vec<_>>>()?;
        read.insert(path, several.into_iter().flatten().collect());
    }
    Ok(read)
}

fn section<T: DeserializeOwned>(file: &Path, key: &str, value: Option<toml::Value>) -> anyhow::Result<Option<T>> {
    let Some(value) = value else { return Ok(None) };
    T::deserialize(value).map(Some).map_err(|error: toml::de::Error| {
        let message =
            error.message().replace("unknown field", "unknown setting").replace("unknown variant", "unknown name");
        let hint = if message.starts_with("unknown setting") && key.contains("fields.") {
            "; a path with dots must be quoted, such as \"status.phase\""
        } else {
            ""
        };
        anyhow::anyhow!("{}: {key}: {message}{hint}", file.display())
    })
}

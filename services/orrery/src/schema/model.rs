//! What a schema consists of. Names in [`Key`]s are as in the catalogs; all other texts are SQL, quoted and qualified.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// The schema of a database.
///
/// The default is that of a new database: the empty schema `public`, and the language PL/pgSQL.
#[derive(Clone, Debug)]
pub struct Schema {
    pub(super) objects: BTreeMap<Key, Object>,
    pub(super) left_out: Vec<String>,
    /// The quoted role that read it. It is expected to run the statements that change it, so that new objects are its
    /// own.
    pub(super) role: Option<String>,
}

impl Schema {
    /// Descriptions of what the database has, but a copy of its schema does not: invalid indexes, publications,
    /// subscriptions, large objects.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }
}

impl Default for Schema {
    fn default() -> Self {
        let object = |kind: Kind, schema: &str, name: &str, creation: &str| {
            let key = Key { kind, schema: schema.to_owned(), table: String::new(), name: name.to_owned() };
            (key, Object::created_by(name, creation))
        };
        let language = object(Kind::Extension, "pg_catalog", "plpgsql", "create extension plpgsql schema pg_catalog");
        let (public, mut object) = object(Kind::Namespace, "public", "public", "create schema public");
        object.owner = Some("pg_database_owner".to_owned());
        object.comment = Some("standard public schema".to_owned());
        object.grants = [Grant::to_public("usage")].into();
        let objects = [(public, object), language];
        Self { objects: objects.into(), left_out: Vec::new(), role: None }
    }
}

/// The kind of an object. In the order in which objects are created if neither depends on the other.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Namespace,
    Extension,
    Type,
    Sequence,
    Function,
    Table,
    PrimaryKey,
    View,
    Constraint,
    Index,
    MaterializedView,
    ForeignKey,
    Statistics,
    Rule,
    Trigger,
    Policy,
    DefaultPrivileges,
}

impl Kind {
    /// The word for it in `comment on`, `drop` and `alter ... owner`.
    pub(super) const fn noun(self) -> &'static str {
        match self {
            Self::Namespace => "schema",
            Self::Extension => "extension",
            Self::Type => "type",
            Self::Sequence => "sequence",
            Self::Function => "routine",
            Self::Table => "table",
            Self::PrimaryKey | Self::Constraint | Self::ForeignKey => "constraint",
            Self::View => "view",
            Self::Index => "index",
            Self::MaterializedView => "materialized view",
            Self::Statistics => "statistics",
            Self::Rule => "rule",
            Self::Trigger => "trigger",
            Self::Policy => "policy",
            Self::DefaultPrivileges => "default privileges",
        }
    }

    /// The word for it in `grant` and `revoke`.
    pub(super) const fn grant_noun(self) -> &'static str {
        match self {
            Self::View | Self::MaterializedView => "table",
            other => other.noun(),
        }
    }

    /// Whether it is created after the rows of tables are copied, because it would slow the copying down, or refuse
    /// rows that are older than it, or do something with them.
    pub(super) fn follows_rows(self) -> bool {
        self > Self::View
    }

    /// Whether others may use it, so that it is dropped after all of them were changed.
    pub(super) const fn is_dropped_late(self) -> bool {
        matches!(self, Self::Namespace | Self::Extension | Self::Type | Self::Sequence | Self::Function)
    }
}

/// Identifies an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) kind: Kind,
    pub(super) schema: String,
    /// The table, view or materialized view to which it belongs, in the same schema. Else empty.
    pub(super) table: String,
    pub(super) name: String,
}

/// An object.
#[derive(Clone, Debug)]
pub(super) struct Object {
    /// How statements refer to it, such as `catalog.product`, or `product_pkey on catalog.product`.
    pub(super) sql: String,
    pub(super) body: Body,
    pub(super) comment: Option<String>,
    /// By the quoted name of the column.
    pub(super) column_comments: BTreeMap<String, String>,
    /// `None` if objects of the kind have none, or if it follows from another object.
    pub(super) owner: Option<String>,
    /// Except those of the owner.
    pub(super) grants: Grants,
    pub(super) depends: BTreeSet<Dependency>,
}

impl Object {
    /// An object without anything but a statement that creates it.
    fn created_by(sql: &str, creation: &str) -> Self {
        Self {
            sql: sql.to_owned(),
            body: Body::Text(Text { creation: creation.to_owned(), ..Text::default() }),
            comment: None,
            column_comments: BTreeMap::new(),
            owner: None,
            grants: Grants::new(),
            depends: BTreeSet::new(),
        }
    }

    /// Whether it is an index that the server does not use, because building it failed.
    pub(super) fn is_invalid(&self) -> bool {
        matches!(&self.body, Body::Text(text) if text.invalid)
    }
}

/// Something that an object needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Dependency {
    pub(super) key: Key,
    /// The column, as in the catalog, if it needs only one of a table.
    pub(super) column: Option<String>,
}

/// What an object consists of.
#[derive(Clone, Debug)]
pub(super) enum Body {
    /// It is created by statements, and replaced when they change.
    Text(Text),
    Enum(Vec<String>),
    Domain(Domain),
    Function(Function),
    Sequence(Sequence),
    Table(Table),
    DefaultPrivileges(DefaultPrivileges),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Text {
    /// Empty if another statement creates it.
    pub(super) creation: String,
    /// The statements after that.
    pub(super) afterwards: Vec<String>,
    /// `None` for `drop` with its kind and name.
    pub(super) removal: Option<String>,
    pub(super) invalid: bool,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Domain {
    pub(super) base: String,
    pub(super) collation: Option<String>,
    pub(super) default: Option<String>,
    pub(super) not_null: bool,
    /// By their quoted names.
    pub(super) checks: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Function {
    /// `create or replace ...`.
    pub(super) definition: String,
    /// What `create or replace` cannot change.
    pub(super) signature: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Sequence {
    pub(super) unlogged: bool,
    /// The clauses of `create sequence`.
    pub(super) options: String,
    /// The column that owns it.
    pub(super) owned_by: Option<String>,
    /// Whether it belongs to an identity column, which creates and drops it.
    pub(super) identity: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Table {
    pub(super) unlogged: bool,
    pub(super) columns: Vec<Column>,
    /// Such as `fillfactor`, with values as string constants.
    pub(super) options: BTreeMap<String, String>,
    pub(super) access_method: Option<String>,
    pub(super) row_security: bool,
    pub(super) force_row_security: bool,
    /// Such as `full` or `using index product_pkey`.
    pub(super) replica_identity: String,
    /// The index by which `cluster` orders the table.
    pub(super) cluster: Option<String>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Column {
    /// As in the catalog.
    pub(super) name: String,
    pub(super) number: i16,
    pub(super) sql: String,
    #[serde(rename = "type")]
    pub(super) data_type: String,
    /// If it is not that of the type.
    pub(super) collation: Option<String>,
    pub(super) not_null: bool,
    pub(super) default: Option<String>,
    /// `generated always as (...) stored` or `virtual`.
    pub(super) generated: Option<String>,
    pub(super) identity: Option<Identity>,
    pub(super) storage: String,
    pub(super) usual_storage: bool,
    pub(super) compression: String,
    pub(super) statistics: i32,
    pub(super) options: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Identity {
    /// `always` or `by default`.
    pub(super) generated: String,
    pub(super) sequence: String,
    pub(super) options: String,
}

/// The rights that objects get which a role creates from then on.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct DefaultPrivileges {
    /// `alter default privileges for role ... in schema ...`.
    pub(super) statement: String,
    /// Such as `tables`.
    pub(super) objects: String,
    /// The kinds of objects.
    pub(super) kinds: Vec<Kind>,
    /// All schemas if `None`.
    pub(super) schema: Option<String>,
    /// The rights without such a statement.
    pub(super) initial: Grants,
}

/// Rights on an object.
pub(crate) type Grants = BTreeSet<Grant>;

/// A right on an object.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Grant {
    /// A quoted role, or `public`.
    pub(crate) grantee: String,
    /// The quoted column, if not on the whole.
    #[serde(default)]
    pub(crate) column: Option<String>,
    pub(crate) grantable: bool,
    pub(crate) privilege: String,
}

impl Grant {
    pub(super) fn to_public(privilege: &str) -> Self {
        Self { grantee: "public".to_owned(), column: None, grantable: false, privilege: privilege.to_owned() }
    }
}

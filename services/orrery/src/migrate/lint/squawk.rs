//! The rules of squawk: which of them are on, what to write instead, and why the others are off.
//!
//! The table is a `match` without a wildcard, so a new version of squawk with a new rule does not compile before
//! somebody has decided about it.

use squawk_linter::{Linter, LinterSettings, Rule, Violation};

use super::down;
use super::finding::Hit;
use super::section::Parsed;

/// What is done with a rule of squawk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    /// It is on. Holds what to write instead.
    On(&'static str),
    /// It is off. Holds why.
    Off(&'static str),
}

/// The rules that are on, and the others.
pub(super) fn rules() -> impl Iterator<Item = (Rule, Setting)> {
    enum_iterator::all::<Rule>().map(|rule| (rule, setting(rule)))
}

fn setting(rule: Rule) -> Setting {
    use Setting::{Off, On};
    match rule {
        Rule::RequireConcurrentIndexCreation => {
            On("create index concurrently if not exists, alone in a file with transaction:false")
        }
        Rule::RequireConcurrentIndexDeletion => {
            On("drop index concurrently if exists, alone in a file with transaction:false")
        }
        Rule::ConstraintMissingNotValid => On("the constraint with `not valid`, and in a later file its validation"),
        Rule::AddingFieldWithDefault => On("a column without the default, or with a constant one"),
        Rule::ChangingColumnType => {
            On("a new column; fill it from the service, then drop the old one in a later release")
        }
        Rule::AddingNotNullableField => {
            On("a check constraint `not valid`, its validation in a later file, and then `set not null`")
        }
        Rule::AddingSerialPrimaryKeyField => On("a unique index, made concurrently, and `add primary key using index`"),
        Rule::RenamingColumn => On("a new column; drop the old one in a later release"),
        Rule::RenamingTable => On("a new table, or a view of the new name"),
        Rule::RenamingObject => On("a new object; drop the old one in a later release"),
        Rule::DisallowedUniqueConstraint => On("a unique index, made concurrently"),
        Rule::BanDropDatabase => On("`dropdb`, by whoever owns the server"),
        Rule::PreferBigintOverSmallint => On("integer or bigint"),
        Rule::PreferRepack => On("vacuum without `full`, or pg_repack"),
        Rule::PreferRobustStmts => On("the statement with `if exists` or `if not exists`, so that it can run again"),
        Rule::PreferTextField => On("text; the service checks the length"),
        Rule::PreferTimestampTz => On("timestamptz"),
        Rule::BanCharField => On("text"),
        Rule::BanDropColumn => On("keep the column, until no running release reads it; then allow it and say so"),
        Rule::BanDropTable => On("keep the table, until no running release reads it; then allow it and say so"),
        Rule::BanDropNotNull => On("keep `not null`, until no running release relies on it"),
        Rule::AddingRequiredField => On("a column that may be null, or that has a constant default"),
        Rule::BanCreateDomainWithConstraint | Rule::BanAlterDomainWithAddConstraint => {
            On("a check constraint of the table, `not valid` at first")
        }
        Rule::BanTruncateCascade => On("truncate of the tables by name"),
        Rule::IdentifierTooLong => On("a name of at most 63 bytes"),
        Rule::RequireConcurrentPartitionDetach => On("detach partition concurrently"),
        Rule::RequireConcurrentReindex => On("reindex concurrently"),
        Rule::BanDuplicateColumnAssignments => On("one assignment for each column"),
        Rule::BanDropView => On("keep the view, until no running release reads it"),
        Rule::BanDropFunction => On("keep the function, until no running release calls it"),
        Rule::BanDropType | Rule::BanDropDomain => On("keep the type, until no column and no running release uses it"),
        Rule::BanDropDefault => On("keep the default, until every running release writes the column"),
        Rule::BanDropSchema => On("keep the schema; a slice is removed by hand"),
        Rule::BanDropSequence => On("keep the sequence, until no running release uses it"),
        Rule::BanDropConstraint => On("keep the constraint, until no running release relies on it"),
        Rule::BanDropGeneratedExpression | Rule::BanAlterGeneratedExpression => {
            On("a new column, which the service writes")
        }
        Rule::BanSetSchema => On("a table in the other schema, which a procedure of the service fills"),
        Rule::BanAlterIdentity => On("a text column uid that the service fills"),
        Rule::BanDropExtension | Rule::BanAlterExtension => On("an extension that the operator of the server manages"),
        Rule::BanReplicaIdentity => On("replication that the operator of the server sets up"),
        Rule::BanRevoke => On("the right, until no running release needs it"),
        Rule::BanReplaceViewFunction | Rule::BanAlterViewOptions => On("a view of a new name"),
        Rule::BanAlterRoleOptions | Rule::BanAlterDatabaseOptions | Rule::BanAlterSystemOptions => {
            On("a setting that the operator of the server makes")
        }
        Rule::BanCreatePolicy
        | Rule::BanAlterPolicyCondition
        | Rule::BanAlterPolicyRoles
        | Rule::BanDropPolicy
        | Rule::BanAlterRowLevelSecurity => On("a condition in the statements of the service"),
        Rule::BanAddCompositeAttribute => On("a column, or a key of a jsonb column"),
        Rule::BanDetachInheritance => On("the partition, until no running release reads it through its parent"),
        Rule::AddingForeignKeyConstraint => Off("ban-foreign-key bans them all, also in create table"),
        Rule::PreferBigintOverInt => Off("what the contract says is int32 is an integer"),
        Rule::PreferIdentity => Off("keys are texts; ban-sequence bans serial and identity columns alike"),
        Rule::TransactionNesting | Rule::BanUncommittedTransaction => {
            Off("ban-transaction-control finds these statements, as orrery migrate does")
        }
        Rule::BanConcurrentIndexCreationInTransaction => {
            Off("require-transaction-false finds these statements, as orrery migrate does")
        }
        Rule::UnusedIgnore => Off("comments for squawk are not supported; see unsupported-squawk-comment"),
        Rule::RequireTimeoutSettings | Rule::RequireLockTimeout => {
            Off("orrery migrate sets the lock timeout and retries")
        }
        Rule::RequireStatementTimeout => Off("it would end the build of a large index"),
        Rule::RequireEnumValueOrdering | Rule::BanAddEnumValue => Off("ban-enum-type bans enum types"),
        Rule::RequireTableSchema => Off("require-owner-slice wants a schema, and one of a slice"),
        Rule::BanDropTrigger | Rule::BanDisableTrigger => Off("ban-trigger bans triggers; removing one is right"),
        Rule::BanDropIndex => Off("an index changes no answer; tests compare the plans of all statements"),
        Rule::BanSetDefault => Off("a default concerns new rows only, and services name the columns they write"),
        Rule::BanAlterFunctionOptions => Off("ban-function and ban-procedure ban functions"),
        Rule::BanNewWriteRestriction => {
            Off("constraint-missing-not-valid finds what is expensive; reviews decide the rest")
        }
        Rule::BanAddColumn => Off("this is how tables grow; services name the columns they read and write"),
        Rule::BanAlterSequenceValues => Off("ban-sequence bans sequences"),
    }
}

/// What squawk finds in a section. In the down section of `up`, what takes back a statement of `up` is not found.
pub(super) fn hits(parsed: &Parsed<'_>, up: Option<&Parsed<'_>>) -> Vec<Hit> {
    let taken_back = |violation: &Violation| up.is_some_and(|up| down::takes_back(violation, parsed, up));
    let hit = |violation: Violation| match setting(violation.code) {
        Setting::On(instead) => Some(Hit {
            at: Some(usize::from(violation.text_range.start())),
            rule: violation.code.to_string(),
            why: violation.message.trim_end_matches('.').to_owned().into(),
            instead: instead.into(),
        }),
        Setting::Off(_) => None,
    };
    violations(parsed).into_iter().filter(|violation| !taken_back(violation)).filter_map(hit).collect()
}

/// What the rules that are on find in a section.
pub(super) fn violations(parsed: &Parsed<'_>) -> Vec<Violation> {
    let on = rules().filter(|(_, setting)| matches!(setting, Setting::On(_))).map(|(rule, _)| rule);
    let mut linter = Linter::from(on);
    // The default version is 15: what later ones can do is not assumed.
    linter.settings = LinterSettings { assume_in_transaction: parsed.section.transaction, ..LinterSettings::default() };
    linter.lint(&parsed.parse, &parsed.text)
}

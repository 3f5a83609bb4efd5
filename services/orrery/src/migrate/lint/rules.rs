//! Orrery's own rules. Those of squawk are in [`super::squawk`].

use std::fmt;

use enum_iterator::Sequence;

/// A rule of Orrery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Sequence)]
pub(super) enum Own {
    InvalidFile,
    DuplicateVersion,
    IgnoredFile,
    SyntaxError,
    BanTransactionControl,
    RequireTransactionFalse,
    BanSeveralStatementsWithoutTransaction,
    BanForeignKey,
    BanFunction,
    BanProcedure,
    BanTrigger,
    BanEventTrigger,
    BanRule,
    BanMaterializedView,
    BanEnumType,
    BanSequence,
    BanExtension,
    BanDoBlock,
    RequireOwnerSlice,
    BanSeveralSlices,
    RequireTableGrant,
    RequireTableComment,
    RequireReferenceComment,
    BanRowChangesInDown,
    InvalidAllowance,
    UnusedAllowance,
    UnsupportedSquawkComment,
    InvalidBaseline,
}

impl Own {
    /// Its name.
    pub(super) const fn name(self) -> &'static str {
        self.text()[0]
    }

    /// Why there is such a rule.
    pub(super) const fn why(self) -> &'static str {
        self.text()[1]
    }

    /// What to write instead.
    pub(super) const fn instead(self) -> &'static str {
        self.text()[2]
    }

    /// Whether a comment can allow what it finds. What stops `orrery migrate up` cannot be allowed.
    pub(super) const fn can_be_allowed(self) -> bool {
        !matches!(
            self,
            Self::InvalidFile
                | Self::DuplicateVersion
                | Self::IgnoredFile
                | Self::BanTransactionControl
                | Self::RequireTransactionFalse
                | Self::InvalidAllowance
                | Self::UnusedAllowance
                | Self::UnsupportedSquawkComment
                | Self::InvalidBaseline
        )
    }

    /// Name, why, what to write instead.
    const fn text(self) -> [&'static str; 3] {
        match self {
            Self::InvalidFile => [
                "invalid-file",
                "orrery migrate refuses what is not in the format, and dbmate may ignore it without a word",
                "one section `-- migrate:up` and after it one `-- migrate:down`, each with the option \
                 transaction:false or none",
            ],
            Self::DuplicateVersion => [
                "duplicate-version",
                "the table of applied migrations has one row for each version",
                "a new file of `orrery migrate new NAME`",
            ],
            Self::IgnoredFile => [
                "ignored-file",
                "orrery migrate and dbmate ignore a file whose name does not start with a digit",
                "a name of the form YYYYMMDDHHMMSS_NAME.sql",
            ],
            Self::SyntaxError => [
                "syntax-error",
                "the parser does not understand it, so the rules may not see all of it",
                "a statement that the parser understands",
            ],
            Self::BanTransactionControl => [
                "ban-transaction-control",
                "each section is one transaction, together with its row in schema_migrations",
                "the section without this statement",
            ],
            Self::RequireTransactionFalse => [
                "require-transaction-false",
                "Postgres refuses the statement in a transaction",
                "the statement alone in a file whose section begins with transaction:false",
            ],
            Self::BanSeveralStatementsWithoutTransaction => [
                "ban-several-statements-without-transaction",
                "without a transaction, a failure leaves the statements before it done and unrecorded",
                "one file for each statement",
            ],
            Self::BanForeignKey => [
                "ban-foreign-key",
                "the database enforces no reference: a foreign key locks rows of both tables, and ties slices together",
                "a comment on the column: references SCHEMA.TABLE.COLUMN on orphan report|delete|clear",
            ],
            Self::BanFunction => [
                "ban-function",
                "logic is in the services, where it is tested, deployed and rolled back with them",
                "a statement of the service",
            ],
            Self::BanProcedure => [
                "ban-procedure",
                "logic is in the services, where it is tested, deployed and rolled back with them",
                "a procedure of the service, which `orrery procedures` starts",
            ],
            Self::BanTrigger => [
                "ban-trigger",
                "a trigger changes rows that no statement of a service names",
                "the statement that the trigger would run, in the service's transaction",
            ],
            Self::BanEventTrigger => [
                "ban-event-trigger",
                "an event trigger runs inside of every later migration",
                "a check in the migration itself",
            ],
            Self::BanRule => {
                ["ban-rule", "a rule rewrites statements of services into others", "the other statement in the service"]
            }
            Self::BanMaterializedView => [
                "ban-materialized-view",
                "a refresh computes everything anew in one statement and needs its owner's rights",
                "a table that a procedure of the service fills in pages",
            ],
            Self::BanEnumType => [
                "ban-enum-type",
                "a value cannot be removed from an enum type, and its order is fixed",
                "a text column; the service checks its values",
            ],
            Self::BanSequence => [
                "ban-sequence",
                "keys are ULIDs that the services make; a sequence has gaps and is not restored by a rollback",
                "a text column uid with collate \"C\"; a counter in a row if numbers must have no gaps",
            ],
            Self::BanExtension => [
                "ban-extension",
                "an extension brings functions and types, and not every server has it",
                "plain SQL, or code in the service",
            ],
            Self::BanDoBlock => [
                "ban-do-block",
                "the rules cannot see the statements inside of a do block",
                "the statements without the block",
            ],
            Self::RequireOwnerSlice => [
                "require-owner-slice",
                "each table belongs to a slice, and the schemas catalog, orders and records are the slices",
                "SCHEMA.TABLE with one of these schemas",
            ],
            Self::BanSeveralSlices => [
                "ban-several-slices",
                "a file belongs to one slice, so that slices can have databases of their own",
                "a file for each slice",
            ],
            Self::RequireTableGrant => [
                "require-table-grant",
                "the role that migrates owns the table, and the slice's role has no rights on it",
                "grant select, insert, update, delete on SCHEMA.TABLE to SCHEMA_service",
            ],
            Self::RequireTableComment => [
                "require-table-comment",
                "nothing in the database says what the table holds",
                "comment on table SCHEMA.TABLE is '...'",
            ],
            Self::RequireReferenceComment => [
                "require-reference-comment",
                "nothing documents what the column refers to, so no service and no doctor can find its orphans",
                "comment on column SCHEMA.TABLE.COLUMN is 'references SCHEMA.TABLE.COLUMN on orphan \
                 report|delete|clear', or 'no reference: WHY'",
            ],
            Self::BanRowChangesInDown => [
                "ban-row-changes-in-down",
                "a rollback cannot bring the rows back, nor their former values",
                "a down that changes the schema alone",
            ],
            Self::InvalidAllowance => [
                "invalid-allowance",
                "the comment allows nothing",
                "-- lint: allow RULE: WHY, with a rule of `orrery migrate lint --rules`",
            ],
            Self::UnusedAllowance => [
                "unused-allowance",
                "the rule finds nothing there",
                "the comment directly above its statement, at the head of the section for a rule about the whole \
                 section, or no comment",
            ],
            Self::UnsupportedSquawkComment => {
                ["unsupported-squawk-comment", "comments for squawk have no effect here", "-- lint: allow RULE: WHY"]
            }
            Self::InvalidBaseline => [
                "invalid-baseline",
                "the line of lint-baseline does not fit the files",
                "VERSION RULE COUNT: WHY, with the number of findings, or no line",
            ],
        }
    }
}

impl fmt::Display for Own {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

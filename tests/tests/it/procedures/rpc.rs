//! `ProceduresService` as its clients see it.

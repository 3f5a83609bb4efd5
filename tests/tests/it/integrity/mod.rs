//! Integrity without foreign keys.

mod references;

//! The address of the database, password included, in a type that does not print it.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

use super::ConfigError;

/// `postgres://user:password@host:port/database`. What it prints is where the database is, never the password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The whole URL with its password: for connecting, not for messages or logs.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What to connect with. Parts that the URL leaves out come from Postgres's own variables (`PGHOST`, `PGPASSWORD`, ...).
    ///
    /// # Errors
    ///
    /// When this is no Postgres URL; the error does not repeat it.
    pub fn options(&self) -> Result<PgConnectOptions, ConfigError> {
        let refused =
            || ConfigError::new("database-url", "not of the form postgres://user:password@host:port/database");
        if !self.0.starts_with("postgres://") && !self.0.starts_with("postgresql://") {
            return Err(refused());
        }
        // The cause is dropped: it may quote the URL.
        PgConnectOptions::from_str(&self.0).map_err(|_| refused())
    }
}

/// Never fails, so that no parser's message quotes the value; [`DatabaseUrl::options`] says whether it can be used.
impl FromStr for DatabaseUrl {
    type Err = Infallible;

    fn from_str(url: &str) -> Result<Self, Infallible> {
        Ok(Self(url.to_owned()))
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(options) = self.options() else {
            return f.write_str("(not a Postgres URL)");
        };
        let (user, port) = (options.get_username(), options.get_port());
        let database = options.get_database().unwrap_or(user);
        match options.get_socket() {
            Some(socket) => write!(f, "postgres://{user}@{}:{port}/{database}", socket.display()),
            None => write!(f, "postgres://{user}@{}:{port}/{database}", options.get_host()),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

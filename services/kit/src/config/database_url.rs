//! The URL of the database, in a type that does not print its password.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

use super::ConfigError;

/// `postgres://user:password@host:port/database`. Displays the location of the database, never the password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The whole URL with its password. For connecting, not for messages or logs.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The connection options. Parts that the URL leaves out come from Postgres's own variables (`PGHOST`,
    /// `PGPASSWORD`, ...).
    ///
    /// # Errors
    ///
    /// It is not a Postgres URL. The error does not repeat it.
    pub fn options(&self) -> Result<PgConnectOptions, ConfigError> {
        let refused =
            || ConfigError::new("database-url", "must have the form postgres://user:password@host:port/database");
        if !self.0.starts_with("postgres://") && !self.0.starts_with("postgresql://") {
            return Err(refused());
        }
        // The cause is dropped: it may quote the URL.
        check_password_file(std::env::var_os("PGPASSFILE"))?;
        let options = PgConnectOptions::from_str(&self.0).map_err(|_| refused())?;
        check_files(&options)?;
        Ok(options)
    }
}

/// Certificates and the key are read completely, again for each connection. So a device, which has no end, and a pipe,
/// which can be read only once, are refused.
fn check_files(options: &PgConnectOptions) -> Result<(), ConfigError> {
    for (name, value) in options.to_url_lossy().query_pairs() {
        let is_file = ["sslrootcert", "sslcert", "sslkey"].contains(&&*name) && !value.trim().starts_with("-----BEGIN");
        // The library adds this prefix to the path.
        let path = value.strip_prefix("file: ").unwrap_or(&value);
        if is_file && !can_be_read_whole(Path::new(path)) {
            let problem = format!("{name} must be a regular file of at most 1 MiB, and {path} is not");
            return Err(ConfigError::new("database-url", problem));
        }
    }
    Ok(())
}

/// The password file is also read completely, while the URL is parsed. `/dev/null` means none.
fn check_password_file(path: Option<OsString>) -> Result<(), ConfigError> {
    match path {
        Some(path) if path != "/dev/null" && !can_be_read_whole(Path::new(&path)) => {
            Err(ConfigError::new("database-url", "PGPASSFILE must name a regular file of at most 1 MiB"))
        }
        _ => Ok(()),
    }
}

/// Whether a path is a regular file of limited size. A missing or unreadable file passes: reading it reports the error.
fn can_be_read_whole(path: &Path) -> bool {
    const MOST_BYTES: u64 = 1024 * 1024;
    std::fs::metadata(path).map_or(true, |metadata| metadata.is_file() && metadata.len() <= MOST_BYTES)
}

/// Never fails, so that no parser's message quotes the value. [`DatabaseUrl::options`] checks it.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_whole_is_an_ordinary_file_of_no_great_size() {
        let refused = |name: &str, path: &str| {
            let url = DatabaseUrl(format!("postgres://me@localhost/shop?{name}={path}"));
            url.options().err().map(|error| error.to_string())
        };
        for name in ["sslrootcert", "ssl-ca", "sslcert", "sslkey"] {
            assert_eq!(refused(name, "/nowhere/x"), None, "reading it reports the error");
            assert_eq!(refused(name, concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")), None);
            for path in ["/dev/zero", "%2Fdev%2Fzero", "/dev"] {
                let refused = refused(name, path).unwrap_or_default();
                assert!(refused.contains("must be a regular file of at most 1 MiB"), "{name}={path}: {refused}");
            }
        }
        assert!(check_password_file(Some("/dev/zero".into())).is_err());
        assert_eq!(check_password_file(Some("/dev/null".into())), Ok(()));
        assert_eq!(check_password_file(None), Ok(()));
    }
}

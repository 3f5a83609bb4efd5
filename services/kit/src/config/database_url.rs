//! The address of the database, password included, in a type that does not print it.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use sqlx::ConnectOptions as _;
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

    /// What to connect with. Parts that the URL leaves out come from Postgres's own variables (`PGHOST`, `PGPASSWORD`,
    /// ...).
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
        check_password_file(std::env::var_os("PGPASSFILE"))?;
        let options = PgConnectOptions::from_str(&self.0).map_err(|_| refused())?;
        check_files(&options)?;
        Ok(options)
    }
}

/// The certificates and the key are read whole, for each connection anew: a device has no end, and a pipe can be read
/// once.
fn check_files(options: &PgConnectOptions) -> Result<(), ConfigError> {
    for (name, value) in options.to_url_lossy().query_pairs() {
        let is_file = ["sslrootcert", "sslcert", "sslkey"].contains(&&*name) && !value.trim().starts_with("-----BEGIN");
        // So the library writes it, before the path.
        let path = value.strip_prefix("file: ").unwrap_or(&value);
        if is_file && !can_be_read_whole(Path::new(path)) {
            let problem = format!("the {name} {path} is no ordinary file of at most 1 MiB");
            return Err(ConfigError::new("database-url", problem));
        }
    }
    Ok(())
}

/// The file of passwords is read whole as well, while a URL is read. `/dev/null` stands for none.
fn check_password_file(path: Option<OsString>) -> Result<(), ConfigError> {
    match path {
        Some(path) if path != "/dev/null" && !can_be_read_whole(Path::new(&path)) => {
            Err(ConfigError::new("database-url", "PGPASSFILE names no ordinary file of at most 1 MiB"))
        }
        _ => Ok(()),
    }
}

/// Whether a file has an end, and soon. That it is missing, or may not be read, shows as it is read.
fn can_be_read_whole(path: &Path) -> bool {
    const MOST_BYTES: u64 = 1024 * 1024;
    std::fs::metadata(path).map_or(true, |metadata| metadata.is_file() && metadata.len() <= MOST_BYTES)
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
            assert_eq!(refused(name, "/nowhere/x"), None, "that shows as it is read");
            assert_eq!(refused(name, concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")), None);
            for path in ["/dev/zero", "%2Fdev%2Fzero", "/dev"] {
                let refused = refused(name, path).unwrap_or_default();
                assert!(refused.contains("is no ordinary file of at most 1 MiB"), "{name}={path}: {refused}");
            }
        }
        assert!(check_password_file(Some("/dev/zero".into())).is_err());
        assert_eq!(check_password_file(Some("/dev/null".into())), Ok(()));
        assert_eq!(check_password_file(None), Ok(()));
    }
}

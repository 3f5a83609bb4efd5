//! Changes parts of a database URL and leaves the others as they are.

/// A URL in parts: `postgres://user:password@host:port`, path, and query.
fn split(url: &str) -> (&str, &str, &str) {
    let start = url.find("://").map_or(0, |position| position + 3);
    let url = url.split_once('#').map_or(url, |(url, _)| url);
    let end = url[start..].find(['/', '?']).map_or(url.len(), |position| start + position);
    let (path, query) = url[end..].split_once('?').unwrap_or((&url[end..], ""));
    (&url[..end], path, query)
}

/// The query without one of its parameters.
fn query_without(query: &str, parameter: &str) -> String {
    let kept = query.split('&').filter(|part| !part.is_empty() && part.split('=').next() != Some(parameter));
    let kept: Vec<&str> = kept.collect();
    if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) }
}

/// The URL of another database on the same server.
pub(super) fn with_database(url: &str, database: &str) -> String {
    let (server, _, query) = split(url);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let encode = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    let encoded: Vec<String> = database.bytes().map(encode).collect();
    format!("{server}/{}{}", encoded.concat(), query_without(query, "dbname"))
}

/// The URL without its password.
pub(in crate::migrate) fn without_password(url: &str) -> String {
    let (server, path, query) = split(url);
    let server = match server.rsplit_once('@') {
        Some((before, host)) => {
            let (scheme, user) = before.split_once("://").unwrap_or(("postgres", before));
            let user = user.split_once(':').map_or(user, |(user, _)| user);
            format!("{scheme}://{user}@{host}")
        }
        None => server.to_owned(),
    };
    format!("{server}{path}{}", query_without(query, "password"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_database_changes() {
        for (url, expected) in [
            ("postgres://u:p@h:1/shop", "postgres://u:p@h:1/a%20b"),
            ("postgres://u:p@h:1", "postgres://u:p@h:1/a%20b"),
            ("postgres://u@h?sslmode=require&dbname=shop", "postgres://u@h/a%20b?sslmode=require"),
            ("postgres:///shop?host=/run", "postgres:///a%20b?host=/run"),
        ] {
            assert_eq!(with_database(url, "a b"), expected);
        }
    }

    #[test]
    fn the_password_is_left_out_wherever_it_stands() {
        for (url, expected) in [
            ("postgres://u:p@h:1/shop?sslmode=require", "postgres://u@h:1/shop?sslmode=require"),
            ("postgresql://u:p%40@h/shop", "postgresql://u@h/shop"),
            ("postgres://u:a@b:c@h/shop", "postgres://u@h/shop"),
            ("postgres://h/shop?password=p&user=u", "postgres://h/shop?user=u"),
        ] {
            assert_eq!(without_password(url), expected);
        }
    }
}

//! The address of another service.

use std::fmt;
use std::str::FromStr;

use tonic::transport::{Endpoint, Uri};

/// The address of a service: `localhost:50051` or `http://localhost:50051`.
#[derive(Clone, Debug)]
pub struct ServiceAddress {
    endpoint: Endpoint,
}

impl ServiceAddress {
    /// The endpoint to connect to.
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint.clone()
    }
}

impl fmt::Display for ServiceAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.endpoint.uri().authority() {
            Some(authority) => write!(formatter, "{authority}"),
            None => write!(formatter, "{}", self.endpoint.uri()),
        }
    }
}

impl FromStr for ServiceAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = uri.parse().map_err(|error| format!("{error}; an address has the form localhost:50051"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err("TLS is not supported; use http://".into()),
            _ => return Err("an address must begin with http:// or with the host".into()),
        }
        if uri.port_u16().is_none() {
            return Err("the port is missing, as in localhost:50051".into());
        }
        if uri.host().is_none_or(str::is_empty) {
            return Err("the host is missing, as in localhost:50051".into());
        }
        if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
            return Err("an address must end with its port".into());
        }
        Ok(Self { endpoint: Endpoint::from(uri) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_scheme() {
        for text in ["localhost:50051", "http://localhost:50051", "http://localhost:50051/"] {
            assert_eq!(text.parse::<ServiceAddress>().unwrap().to_string(), "localhost:50051");
        }
        assert_eq!("[::1]:1".parse::<ServiceAddress>().unwrap().to_string(), "[::1]:1");
        for text in ["", "localhost", ":50051", "https://a:1", "ftp://a:1", "a:1/path", "a b:1", "a:99999"] {
            assert!(text.parse::<ServiceAddress>().is_err(), "{text:?}");
        }
    }
}

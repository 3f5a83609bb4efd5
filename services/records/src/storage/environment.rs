//! The variables of the environment that the programs of AWS use, in a type that does not print their values.

use std::collections::BTreeMap;
use std::fmt;

/// The variables that are read: credentials in their usual forms, region, endpoints, and a file of certificates.
const NAMES: [&str; 15] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_ENDPOINT_URL_STS",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL",
    "AWS_CA_BUNDLE",
];

/// The variables that give a service access to a bucket.
#[derive(Clone, Default)]
pub struct AwsEnvironment(BTreeMap<&'static str, String>);

impl AwsEnvironment {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self::from_pairs(NAMES.into_iter().filter_map(|name| Some((name, std::env::var(name).ok()?))))
    }

    /// These, for tests. Unknown and empty ones are left out.
    pub fn from_pairs<N: AsRef<str>, V: Into<String>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let known = pairs.into_iter().filter_map(|(name, value)| {
            let name = NAMES.into_iter().find(|known| *known == name.as_ref())?;
            Some((name, value.into())).filter(|(_, value)| !value.is_empty())
        });
        Self(known.collect())
    }

    /// The value of the first of these variables that is set.
    pub(super) fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.0.get(*name)).map(String::as_str)
    }

    /// Whether it says where credentials come from.
    pub(super) fn has_credentials(&self) -> bool {
        let has = |name| self.0.contains_key(name);
        (has("AWS_ACCESS_KEY_ID") && has("AWS_SECRET_ACCESS_KEY"))
            || (has("AWS_WEB_IDENTITY_TOKEN_FILE") && has("AWS_ROLE_ARN"))
            || has("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
            || (has("AWS_CONTAINER_CREDENTIALS_FULL_URI") && has("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"))
    }

    /// The variables about credentials, with their values.
    pub(super) fn credentials(&self) -> impl Iterator<Item = (&'static str, &str)> {
        NAMES[..10].iter().filter_map(|name| Some((*name, self.0.get(name)?.as_str())))
    }
}

impl fmt::Debug for AwsEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_shown() {
        let environment = AwsEnvironment::from_pairs([("AWS_ACCESS_KEY_ID", "me"), ("AWS_SECRET_ACCESS_KEY", "hush")]);
        assert_eq!(format!("{environment:?}"), "{\"AWS_ACCESS_KEY_ID\", \"AWS_SECRET_ACCESS_KEY\"}");
        assert_eq!(environment.credentials().count(), 2);
    }

    #[test]
    fn credentials_are_there_if_they_are_complete() {
        for (set, complete) in [
            (&["AWS_ACCESS_KEY_ID"][..], false),
            (&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"], true),
            (&["AWS_WEB_IDENTITY_TOKEN_FILE"], false),
            (&["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"], true),
            (&["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"], true),
            (&["AWS_CONTAINER_CREDENTIALS_FULL_URI"], false),
            (&["AWS_REGION", "AWS_PROFILE"], false),
        ] {
            let environment = AwsEnvironment::from_pairs(set.iter().map(|name| (name, "x")));
            assert_eq!(environment.has_credentials(), complete, "{set:?}");
        }
        let empty = AwsEnvironment::from_pairs([("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "x")]);
        assert!(!empty.has_credentials());
    }
}

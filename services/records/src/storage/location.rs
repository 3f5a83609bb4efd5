//! Where documents are kept: a folder, or a bucket of an S3-compatible service.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where documents are kept. It never holds credentials, so it can be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DocumentsLocation {
    /// A folder of this machine, or one that all replicas mount.
    Folder(PathBuf),
    /// A bucket.
    Bucket {
        /// Its name.
        name: String,
        /// The beginning of all keys, without `/` at its ends; empty for none.
        prefix: String,
    },
}

impl FromStr for DocumentsLocation {
    type Err = String;

    /// The error says what is wrong. It does not repeat the text, which may hold a password by mistake.
    fn from_str(text: &str) -> Result<Self, String> {
        const FORMS: &str = "must be a folder, file:///folder, or s3://bucket/prefix";
        if let Some(rest) = text.strip_prefix("s3://") {
            return bucket(rest);
        }
        let folder = match text.strip_prefix("file://") {
            // The host is empty: the folder is on this machine.
            Some(folder) if folder.starts_with('/') => decoded(folder)?,
            Some(_) => return Err("a file URL has three slashes: file:///folder".to_owned()),
            None if text.contains("://") => return Err(FORMS.to_owned()),
            None => text.to_owned(),
        };
        if folder.is_empty() || folder.contains('\0') {
            return Err(FORMS.to_owned());
        }
        Ok(Self::Folder(folder.into()))
    }
}

fn bucket(rest: &str) -> Result<DocumentsLocation, String> {
    if rest.contains(['@', '?', '#']) {
        return Err("an s3 URL has only a bucket and a prefix: s3://bucket/prefix. Credentials come from \
                    AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            .to_owned());
    }
    let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    if !(3..=63).contains(&name.len()) || !name.bytes().all(is_name) {
        return Err("a bucket has a name of 3 to 63 characters of a-z, 0-9, '-' and '.'".to_owned());
    }
    let prefix = prefix.trim_matches('/');
    let is_key = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
    let odd = prefix.split('/').any(|part| part == "." || part == ".." || (part.is_empty() && !prefix.is_empty()));
    if prefix.len() > 512 || odd || !prefix.bytes().all(is_key) {
        return Err("a prefix is names of A-Z, a-z, 0-9, '-', '_' and '.' with '/' between them, at most 512 \
                    characters"
            .to_owned());
    }
    Ok(DocumentsLocation::Bucket { name: name.to_owned(), prefix: prefix.to_owned() })
}

/// The path of a file URL, whose special characters are written as `%20`.
fn decoded(path: &str) -> Result<String, String> {
    const PROBLEM: &str = "a '%' in a file URL must be followed by two hexadecimal digits";
    let mut bytes = Vec::with_capacity(path.len());
    let mut pieces = path.split('%');
    bytes.extend(pieces.next().unwrap_or_default().bytes());
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2).ok_or(PROBLEM)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(PROBLEM.to_owned());
        }
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| PROBLEM)?);
        bytes.extend(rest.bytes());
    }
    String::from_utf8(bytes).map_err(|_| "a file URL must be UTF-8".to_owned())
}

impl fmt::Display for DocumentsLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "{}", path.display()),
            Self::Bucket { name, prefix } if prefix.is_empty() => write!(f, "s3://{name}"),
            Self::Bucket { name, prefix } => write!(f, "s3://{name}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(name: &str, prefix: &str) -> DocumentsLocation {
        DocumentsLocation::Bucket { name: name.to_owned(), prefix: prefix.to_owned() }
    }

    #[test]
    fn folders_and_buckets_are_read() {
        for (text, expected) in [
            ("documents", DocumentsLocation::Folder("documents".into())),
            ("/srv/documents", DocumentsLocation::Folder("/srv/documents".into())),
            ("file:///srv/documents", DocumentsLocation::Folder("/srv/documents".into())),
            ("file:///srv/my%20documents", DocumentsLocation::Folder("/srv/my documents".into())),
            ("s3://shop-documents", bucket("shop-documents", "")),
            ("s3://shop-documents/", bucket("shop-documents", "")),
            ("s3://shop.documents/a/b_c/", bucket("shop.documents", "a/b_c")),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_shown_is_read_again() {
        for text in ["documents", "/srv/documents", "s3://shop-documents", "s3://shop-documents/a/b"] {
            let location: Result<DocumentsLocation, String> = text.parse();
            assert_eq!(location.map(|location| location.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn anything_else_is_refused_and_not_repeated() {
        for text in [
            "",
            "file://hush/folder",
            "file:///a%2",
            "file:///a%zz",
            "file:///a%é1",
            "file:///a%00hush",
            "http://hush",
            "gs://hush",
            "s3://",
            "s3://ab",
            "s3://Hush",
            "s3://key:hush@bucket",
            "s3://bucket?hush",
            "s3://bucket/../hush",
            "s3://bucket/a//hush",
            "s3://bucket/hush ",
        ] {
            let refused = text.parse::<DocumentsLocation>().err();
            assert!(refused.as_ref().is_some_and(|why| !why.to_lowercase().contains("hush")), "{text}: {refused:?}");
        }
    }
}

//! The settings of document storage.

use std::time::Duration;

use clap::Args;
use http::Uri;
use orrery_kit::config::{ByteSize, ConfigError, parse_bytes, parse_duration};

use super::location::DocumentsLocation;

/// S3 refuses smaller parts, unless it is the last one of its object.
const MIN_PART_BYTES: usize = 5 * 1024 * 1024;
/// Parts are held in memory.
const MAX_PART_BYTES: usize = 64 * 1024 * 1024;
/// The most parts of one object in S3.
const MAX_PARTS: usize = 10_000;
/// Unfinished uploads must be gone within a day, and the process that removes them may be down for a while.
const MAX_UNFINISHED_LIFETIME: Duration = Duration::from_hours(23);
/// Unfinished uploads are gone within this time after they have expired.
const MAX_SWEEP_INTERVAL: Duration = Duration::from_mins(30);

/// Where the content of documents is kept, and within which limits.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Documents")]
pub struct DocumentsConfig {
    /// Where the content of documents is kept: a folder, file:///folder, or s3://bucket/prefix.
    ///
    /// All replicas of the service must use the same place. A folder is created when the first document arrives. A
    /// bucket must exist; access to it comes from the environment as for all programs of AWS: AWS_ACCESS_KEY_ID and
    /// AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, or
    /// AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI.
    #[arg(
        long = "documents",
        id = "documents",
        value_name = "URL",
        env = "DOCUMENTS",
        default_value = ".orrery/documents"
    )]
    pub location: DocumentsLocation,

    /// The S3-compatible service of the bucket: https://host or http://host:port. Default: AWS_ENDPOINT_URL_S3, then
    /// AWS_ENDPOINT_URL, then AWS S3 in the region.
    ///
    /// For Cloudflare R2 https://ACCOUNT_ID.r2.cloudflarestorage.com. With http, content is not encrypted on its way.
    /// AWS_CA_BUNDLE may name a file of further certificates to trust.
    #[arg(
        long = "documents-endpoint",
        id = "documents-endpoint",
        value_name = "URL",
        env = "DOCUMENTS_ENDPOINT",
        value_parser = parse_endpoint
    )]
    pub endpoint: Option<String>,

    /// The region of the bucket. Default: AWS_REGION, then AWS_DEFAULT_REGION, then us-east-1.
    ///
    /// For Cloudflare R2 auto.
    #[arg(
        long = "documents-region",
        id = "documents-region",
        value_name = "REGION",
        env = "DOCUMENTS_REGION",
        value_parser = parse_region
    )]
    pub region: Option<String>,

    /// Size of the parts in which content is stored while it arrives. A broken upload continues at a multiple of it.
    ///
    /// Larger parts need fewer requests, and more memory: see --documents-parts-in-memory. 5MiB to 64MiB.
    #[arg(
        long = "documents-part-bytes",
        id = "documents-part-bytes",
        value_name = "BYTES",
        env = "DOCUMENTS_PART_BYTES",
        default_value = "5MiB",
        value_parser = parse_bytes
    )]
    pub part_bytes: usize,

    /// Maximum size of a document's content.
    ///
    /// At most 10,000 parts.
    #[arg(
        long = "documents-max-bytes",
        id = "documents-max-bytes",
        value_name = "BYTES",
        env = "DOCUMENTS_MAX_BYTES",
        default_value = "1GiB",
        value_parser = parse_bytes
    )]
    pub max_bytes: usize,

    /// Maximum number of parts in memory, over all uploads.
    ///
    /// An upload holds one part while it arrives and is stored. Further uploads wait for their turn.
    #[arg(
        long = "documents-parts-in-memory",
        id = "documents-parts-in-memory",
        value_name = "PARTS",
        env = "DOCUMENTS_PARTS_IN_MEMORY",
        default_value_t = 4
    )]
    pub parts_in_memory: usize,

    /// How long one request to a bucket may take, or may send nothing, before it is tried again.
    ///
    /// Must suffice for one part on the way to the bucket. An upload whose client sends nothing for this long ends with
    /// DEADLINE_EXCEEDED, and can be continued.
    #[arg(
        long = "documents-timeout",
        id = "documents-timeout",
        value_name = "DURATION",
        env = "DOCUMENTS_TIMEOUT",
        default_value = "30s",
        value_parser = parse_duration
    )]
    pub timeout: Duration,

    /// How long requests to a bucket that fail are tried again, before the call fails with UNAVAILABLE.
    ///
    /// A shorter deadline of the caller takes precedence. At most 4m: a request is signed once.
    #[arg(
        long = "documents-retry-time",
        id = "documents-retry-time",
        value_name = "DURATION",
        env = "DOCUMENTS_RETRY_TIME",
        default_value = "1m",
        value_parser = parse_duration
    )]
    pub retry_time: Duration,

    /// How long an upload that is not finished is kept after the last part that arrived.
    ///
    /// It can be continued for as long. At most 23h.
    #[arg(
        long = "documents-unfinished-lifetime",
        id = "documents-unfinished-lifetime",
        value_name = "DURATION",
        env = "DOCUMENTS_UNFINISHED_LIFETIME",
        default_value = "20h",
        value_parser = parse_duration
    )]
    pub unfinished_lifetime: Duration,

    /// How often, on average, a process looks for content that belongs to no document, and removes it.
    #[arg(
        long = "documents-sweep-interval",
        id = "documents-sweep-interval",
        value_name = "DURATION",
        env = "DOCUMENTS_SWEEP_INTERVAL",
        default_value = "10m",
        value_parser = parse_duration
    )]
    pub sweep_interval: Duration,
}

impl DocumentsConfig {
    /// Checks the settings together.
    ///
    /// # Errors
    ///
    /// The first invalid setting.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let refuse = |flag, problem: String| Err(ConfigError::new(flag, problem));
        if !(MIN_PART_BYTES..=MAX_PART_BYTES).contains(&self.part_bytes) {
            let (least, most) = (ByteSize(MIN_PART_BYTES), ByteSize(MAX_PART_BYTES));
            return refuse("documents-part-bytes", format!("must be {least} to {most}"));
        }
        let most = self.part_bytes * MAX_PARTS;
        if !(1..=most).contains(&self.max_bytes) {
            let most = ByteSize(most);
            return refuse(
                "documents-max-bytes",
                format!("must be 1B to {most}, 10,000 parts of --documents-part-bytes"),
            );
        }
        if !(1..=1_000).contains(&self.parts_in_memory) {
            return refuse("documents-parts-in-memory", "must be 1 to 1000".to_owned());
        }
        if self.timeout.is_zero() {
            return refuse("documents-timeout", "must be longer than 0s".to_owned());
        }
        if self.retry_time > Duration::from_mins(4) {
            return refuse("documents-retry-time", "must be at most 4m".to_owned());
        }
        if !(Duration::from_mins(1)..=MAX_UNFINISHED_LIFETIME).contains(&self.unfinished_lifetime) {
            return refuse("documents-unfinished-lifetime", "must be 1m to 23h".to_owned());
        }
        if self.sweep_interval.is_zero() || self.sweep_interval > MAX_SWEEP_INTERVAL {
            return refuse("documents-sweep-interval", "must be longer than 0s, and at most 30m".to_owned());
        }
        let is_bucket = matches!(self.location, DocumentsLocation::Bucket { .. });
        if self.endpoint.is_some() && !is_bucket {
            return refuse("documents-endpoint", "is of use only if --documents is s3://bucket".to_owned());
        }
        Ok(())
    }
}

/// Checks the address of an S3-compatible service. The error says what is wrong, and does not repeat the text, which
/// may hold a password by mistake.
pub(super) fn parse_endpoint(text: &str) -> Result<String, String> {
    const FORM: &str = "must be https://host or http://host:port, without a user, password or query";
    let uri: Uri = text.parse().map_err(|_| FORM)?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    let named =
        uri.authority().is_some_and(|authority| !authority.host().is_empty() && !authority.as_str().contains('@'));
    if !is_http || !named || uri.query().is_some() || text.contains('#') {
        return Err(FORM.to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn parse_region(text: &str) -> Result<String, String> {
    let is_name = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_name { Ok(text.to_owned()) } else { Err("must be a name of a-z, 0-9 and '-'".to_owned()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct CommandLine {
        #[command(flatten)]
        documents: DocumentsConfig,
    }

    fn parse(arguments: &[&str]) -> Result<DocumentsConfig, String> {
        let all = ["records"].iter().chain(arguments);
        let config = CommandLine::try_parse_from(all).map_err(|error| error.to_string())?.documents;
        config.validate().map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn a_folder_is_the_default() {
        let config = parse(&[]).unwrap();
        assert_eq!(config.location, DocumentsLocation::Folder(".orrery/documents".into()));
        assert_eq!((config.part_bytes, config.max_bytes), (5 << 20, 1 << 30));
        assert!(config.unfinished_lifetime < Duration::from_hours(24));
    }

    #[test]
    fn a_bucket_has_an_endpoint_and_a_region() {
        let endpoint = "https://0123.r2.cloudflarestorage.com/";
        let config =
            parse(&["--documents=s3://shop/docs", "--documents-endpoint", endpoint, "--documents-region=auto"])
                .unwrap();
        assert_eq!(config.location.to_string(), "s3://shop/docs");
        assert_eq!(config.endpoint.as_deref(), Some("https://0123.r2.cloudflarestorage.com"));
        assert_eq!(config.region.as_deref(), Some("auto"));
        assert_eq!(parse_endpoint("http://127.0.0.1:9000").as_deref(), Ok("http://127.0.0.1:9000"));
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_its_flag() {
        for (flag, value) in [
            ("--documents", "gs://shop"),
            ("--documents", "s3://key:secret@shop"),
            ("--documents-endpoint", "minio:9000"),
            ("--documents-endpoint", "ftp://minio"),
            ("--documents-endpoint", "http://minio?a=b"),
            ("--documents-endpoint", "https://minio.internal"),
            ("--documents-region", "eu west"),
            ("--documents-part-bytes", "4MiB"),
            ("--documents-part-bytes", "65MiB"),
            ("--documents-max-bytes", "0"),
            ("--documents-max-bytes", "50000MiB1"),
            ("--documents-max-bytes", "49GiB"),
            ("--documents-parts-in-memory", "0"),
            ("--documents-timeout", "0s"),
            ("--documents-retry-time", "5m"),
            ("--documents-unfinished-lifetime", "24h"),
            ("--documents-unfinished-lifetime", "1s"),
            ("--documents-sweep-interval", "0s"),
            ("--documents-sweep-interval", "31m"),
        ] {
            let refused = parse(&[flag, value]).unwrap_err();
            assert!(refused.contains(flag) && !refused.contains("of use to"), "{flag} {value}: {refused}");
        }
        for secret in ["https://me:hush@minio", "https://me:hush@minio:1"] {
            assert!(!parse_endpoint(secret).unwrap_err().contains("hush"));
        }
    }
}

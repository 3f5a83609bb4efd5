//! The payloads of artifacts, in the column `body`: one message for each kind.

use orrery_kit::resource::kind::{self, Member, OneOf, Payload, TextKind};

use super::artifact::{CLASSIFICATION_SPEC, COMBO_REPORT, COMBO_SUGGESTION, COMBO_TEMPLATE, DESIGN_ASSET, DOCUMENT};
use super::uids::ARTIFACT_UID;
use crate::rules::artifact::combo_name::check_code;

/// Maximum length of a URL in bytes.
const MAX_URL_BYTES: usize = 4_096;
/// Maximum length of a key in another storage, in bytes.
const MAX_BEARER_KEY_BYTES: usize = 1_024;
/// Maximum length of a media type in bytes (RFC 6838: 127 on each side of the slash).
const MAX_MEDIA_TYPE_BYTES: usize = 255;
/// Maximum length of a text that people write, in bytes.
const MAX_PROSE_BYTES: usize = 65_536;
/// Maximum length of a product code or an audience in bytes.
pub const MAX_CODE_BYTES: usize = 64;
/// Maximum number of products of a suggestion or report.
const MAX_PRODUCTS: usize = 1_000;

/// The types of combos.
pub const COMBO_TYPES: &[&str] = &["SP", "CT", "NT", "UGC", "ST"];

const COMBO_TYPE: TextKind<OneOf> = kind::one_of(COMBO_TYPES).optional();

/// The oneof `payload`, told apart by the column `kind`.
pub static PAYLOAD: Payload = kind::payload(Payload {
    oneof: "payload",
    discriminator: "kind",
    members: &[
        Member {
            field: DESIGN_ASSET,
            fields: &[
                ("content_hash", &kind::hash(64)),
                ("bearer_key", &kind::text(MAX_BEARER_KEY_BYTES)),
                ("bearer_url", &kind::text(MAX_URL_BYTES)),
                ("media_type", &kind::text(MAX_MEDIA_TYPE_BYTES)),
                ("size_bytes", &kind::big_integer(0, i64::MAX)),
                ("source_url", &kind::text(MAX_URL_BYTES)),
            ],
        },
        Member {
            field: COMBO_TEMPLATE,
            fields: &[
                ("type", &COMBO_TYPE),
                ("product_codes", &kind::text_list(32, MAX_CODE_BYTES)),
                ("product_count", &kind::integer(0, 9_999)),
                ("audience", &kind::text_checked(MAX_CODE_BYTES, check_code).optional()),
                ("design_url", &kind::text(MAX_URL_BYTES)),
            ],
        },
        Member {
            field: COMBO_SUGGESTION,
            fields: &[
                ("template_uid", &kind::uid_of(ARTIFACT_UID).optional()),
                ("product_uids", &kind::text_list(MAX_PRODUCTS, 128)),
                ("rationale", &kind::text(MAX_PROSE_BYTES)),
                ("score", &kind::double()),
                ("report_uid", &kind::uid_of(ARTIFACT_UID).computed()),
            ],
        },
        Member {
            field: COMBO_REPORT,
            fields: &[
                ("template_uid", &kind::uid_of(ARTIFACT_UID).optional()),
                ("type", &COMBO_TYPE),
                ("product_codes", &kind::text_list(32, MAX_CODE_BYTES)),
                ("product_count", &kind::integer(0, 9_999)),
                ("audience", &kind::text_checked(MAX_CODE_BYTES, check_code).optional()),
                ("ran_from", &kind::timestamp()),
                ("ran_to", &kind::timestamp()),
                ("product_uids", &kind::text_list(MAX_PRODUCTS, 128)),
                ("spend", &kind::decimal(34, 18).optional()),
                ("impressions", &kind::big_integer(0, i64::MAX)),
                ("clicks", &kind::big_integer(0, i64::MAX)),
                ("purchases", &kind::big_integer(0, i64::MAX)),
                ("notes", &kind::text(MAX_PROSE_BYTES)),
                ("suggestion_uid", &kind::uid_of(ARTIFACT_UID).computed()),
                ("final_ts", &kind::timestamp().computed()),
            ],
        },
        Member {
            field: CLASSIFICATION_SPEC,
            fields: &[("metric_name", &kind::text_checked(256, |_| Ok(()))), ("thresholds", &kind::labels())],
        },
        Member {
            field: DOCUMENT,
            fields: &[
                ("title", &kind::text_checked(2_048, |_| Ok(()))),
                ("media_type", &kind::text(MAX_MEDIA_TYPE_BYTES)),
                ("size_bytes", &kind::big_integer(0, i64::MAX).computed()),
                ("content_hash", &kind::hash(64).computed()),
                ("bearer_key", &kind::text(MAX_BEARER_KEY_BYTES).computed()),
            ],
        },
    ],
});

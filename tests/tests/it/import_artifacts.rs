//! `orrery import` and `orrery export` of artifacts: payloads in columns and as JSON, and what is exported comes back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use crate::harness::operator::{CommandResult, run};
use crate::records::Records;

const MAPPING: &str = "--mapping=deploy/examples/artifacts.toml";

async fn import(records: &Records, file: &std::path::Path, text: &str, arguments: &[&str]) -> CommandResult {
    std::fs::write(file, text).unwrap();
    let address = format!("--records={}", records.server.address());
    run(&[&["import", "artifacts", file.to_str().unwrap(), &address], arguments].concat()).await
}

async fn export(records: &Records, arguments: &[&str]) -> String {
    let address = format!("--records={}", records.server.address());
    let exported = run(&[&["export", "artifacts", &address], arguments].concat()).await;
    assert_eq!(exported.code, Some(0), "{exported:?}");
    exported.stdout
}

/// All artifacts, with their bodies.
async fn stored(records: &Records) -> Vec<String> {
    let select = "select uid || ' ' || kind || ' ' || coalesce(identifier, '') || ' ' || (status ->> 'phase') || ' ' || \
                  create_ts::text || ' ' || body::text from records.macrodata_artifact order by uid";
    records.texts(select).await
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_are_read_from_columns_and_from_json() {
    let records = Records::new().await;
    let folder = tempfile::tempdir().unwrap();
    let (file, mapping) = (folder.path().join("x.csv"), folder.path().join("x.toml"));
    let fields = "[fields]\nuid = { column = \"id\", prefix = \"mda_\" }\n\
        \"design_asset.content_hash\" = { column = \"sha256\", transforms = [\"lower\"] }\n\
        \"design_asset.size_bytes\" = { column = \"size\" }\n\
        combo_template = { column = \"template\", json = true }\n";
    std::fs::write(&mapping, fields).unwrap();
    let mapping = format!("--mapping={}", mapping.display());
    let (one, two) = ("A".repeat(64), "b".repeat(64));
    let template = "\"{\"\"type\"\":\"\"SP\"\",\"\"product_codes\"\":[\"\"IPH\"\"],\"\"product_count\"\":2,\"\"audience\"\":\"\"WOMEN\"\"}\"";
    let text = format!(
        "id,sha256,size,template\n1,{one},5,\n2,{two},,\n3,,,{template}\n4,{one},,{template}\n5,xyz,,\n\
         6,,,\"{{\"\"typ\"\":\"\"SP\"\"}}\"\n7,,,nothing\n8,{one},6,\n9,,,\n"
    );
    let imported = import(&records, &file, &text, &[&mapping]).await;
    assert_eq!((imported.code, imported.counts()), (Some(3), [3, 0, 1, 5]), "{imported:?}");
    for refused in [
        "design_asset.content_hash: has a value, and so has combo_template: a row has one of them: line 5",
        "combo_template: typ: is not a field of ComboTemplate: line 7",
        "combo_template: is not JSON: line 8",
        "design_asset.content_hash: FIELD_INVALID: line 6",
    ] {
        assert!(imported.stderr.contains(refused), "{refused}\n{}", imported.stderr);
    }
    let kinds = records.texts("select uid || ' ' || kind from records.macrodata_artifact order by 1").await;
    assert_eq!(kinds, ["mda_1 design_asset", "mda_2 design_asset", "mda_3 combo_template"]);
    let identifiers = records.texts("select identifier from records.macrodata_artifact where uid = 'mda_3'").await;
    assert_eq!(identifiers, ["SP-IPH-2-WOMEN-001"]);

    // Only what the mapping names changes, and an empty cell keeps what is stored.
    records
        .execute("update records.macrodata_artifact set body = body || '{\"media_type\": \"x/y\", \"more\": 1}' where uid = 'mda_1'")
        .await;
    let changed = format!("id,sha256,size,template\n1,{one},7,\n2,{two},,\n3,,,{template}\n");
    let imported = import(&records, &file, &changed, &[&mapping]).await;
    assert_eq!((imported.code, imported.counts()), (Some(0), [0, 1, 2, 0]), "{imported:?}");
    let body: Vec<String> =
        records.texts("select body::text from records.macrodata_artifact where uid = 'mda_1'").await;
    let body: serde_json::Value = serde_json::from_str(&body[0]).unwrap();
    assert_eq!((&body["media_type"], &body["more"]), (&"x/y".into(), &1.into()), "{body}");
    assert!(body["size_bytes"] == 7 || body["size_bytes"] == "7", "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn artifacts_that_are_exported_come_back() {
    let records = Records::new().await;
    let folder = tempfile::tempdir().unwrap();
    let hash = "c".repeat(64);
    let text = format!(
        "{{\"uid\":\"mda_1\",\"design_asset\":{{\"content_hash\":\"{hash}\",\"media_type\":\"a, \\\"b\\\"\"}},\"create_ts\":\"2020-01-02T03:04:05Z\"}}\n\
         {{\"uid\":\"mda_2\",\"combo_template\":{{\"type\":\"CT\",\"product_codes\":[\"AIR\",\"IPH\"],\"audience\":\"MEN\"}}}}\n\
         {{\"uid\":\"mda_3\",\"status\":{{\"phase\":\"accepted\"}},\"combo_suggestion\":{{\"template_uid\":\"mda_2\",\"product_uids\":[\"prd_1\"],\"score\":0.25}}}}\n\
         {{\"uid\":\"mda_4\",\"status\":{{\"phase\":\"final\"}},\"combo_report\":{{\"template_uid\":\"mda_2\",\"type\":\"CT\",\"product_codes\":[\"IPH\"],\"audience\":\"MEN\",\"spend\":\"12.50\",\"impressions\":\"7\",\"notes\":\"fine\\nday\"}}}}\n\
         {{\"uid\":\"mda_5\",\"document\":{{\"title\":\"Terms\"}}}}\n\
         {{\"uid\":\"mda_6\",\"document\":{{\"title\":\"Terms\"}},\"design_asset\":{{}}}}\n"
    );
    let imported = import(&records, &folder.path().join("x.jsonl"), &text, &[]).await;
    assert_eq!((imported.code, imported.counts()), (Some(3), [5, 0, 0, 1]), "{imported:?}");
    assert!(imported.stderr.contains("a row has one of them: line 6"), "{imported:?}");
    let before = stored(&records).await;
    let (csv, json) = (export(&records, &["--format=csv"]).await, export(&records, &[]).await);
    assert!(csv.starts_with("uid,catalog_uid,identifier,status.phase,create_ts,design_asset,"), "{csv}");
    for (name, text, mapping) in
        [("x.csv", &csv, &[MAPPING][..]), ("y.jsonl", &json, &[]), ("z.jsonl", &json, &[MAPPING])]
    {
        let again = import(&records, &folder.path().join(name), text, mapping).await;
        assert_eq!((again.code, again.counts()), (Some(0), [0, 0, 5, 0]), "{name}: {again:?}");
        records.execute("delete from records.macrodata_artifact").await;
        let back = import(&records, &folder.path().join(name), text, mapping).await;
        assert_eq!((back.code, back.counts()), (Some(0), [5, 0, 0, 0]), "{name}: {back:?}");
        let without_times = |rows: &[String]| -> Vec<String> {
            rows.iter().map(|row| row.split("\"final_ts\"").next().unwrap().to_owned()).collect()
        };
        assert_eq!(without_times(&stored(&records).await), without_times(&before), "{name}");
    }
    let of_kind = export(&records, &["--filter-kind=document", "--filter-kind=DESIGN_ASSET", "--read-mask=uid"]).await;
    assert_eq!(of_kind, "{\"uid\":\"mda_1\"}\n{\"uid\":\"mda_5\"}\n");
    let wrong = run(&["export", "artifacts", "--filter-kind=poem"]).await;
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
}

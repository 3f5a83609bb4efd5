//! The identifiers of combo templates and combo reports.

use futures::future::join_all;
use orrery_proto::records::v1::artifact::Payload;
use orrery_proto::records::v1::{Artifact, ComboReport, ComboTemplate, MacrodataCatalog};
use orrery_proto::r#type::v1::{WriteMode, WriteStart};
use tonic::Code;

use super::{named, report, report_of, template, template_of, told, with};
use crate::harness::{Role, assert_invalid, refusal};
use crate::records::Records;
use crate::resources::skipping;

fn identified(identifier: &str, artifact: Artifact) -> Artifact {
    Artifact { identifier: identifier.to_owned(), ..artifact }
}

/// The first identifiers of `template(&["IPH"])`.
fn expected(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("SP-IPH-1-WOMEN-{number:03}")).collect()
}

#[tokio::test]
async fn an_identifier_is_made_of_what_the_combo_consists_of() {
    let records = Records::new().await;
    let combo = ComboTemplate {
        r#type: "UGC".to_owned(),
        product_codes: ["mac", "AIR", "IPH"].map(str::to_owned).into(),
        audience: "Students".to_owned(),
        ..ComboTemplate::default()
    };
    let made = records.created(with(Payload::ComboTemplate(combo.clone()))).await;
    assert_eq!(made.identifier, "UGC-AIR+IPH+MAC-3-STUDENTS-001");
    let stored = template_of(&made);
    assert_eq!((&stored.product_codes, stored.product_count), (&combo.product_codes, 3));
    let two = ComboTemplate { product_count: 2, ..combo };
    let made = records.created(with(Payload::ComboTemplate(two.clone()))).await;
    assert_eq!(made.identifier, "UGC-AIR+IPH+MAC-2-STUDENTS-001");
    let made = records.created(with(Payload::ComboTemplate(two))).await;
    assert_eq!(made.identifier, "UGC-AIR+IPH+MAC-2-STUDENTS-002");
    // Reports are numbered by themselves.
    assert_eq!(records.created(template(&["IPH"])).await.identifier, "SP-IPH-1-WOMEN-001");
    assert_eq!(records.created(report()).await.identifier, "SP-IPH-1-WOMEN-001");
}

#[tokio::test]
async fn what_an_identifier_needs_is_required() {
    let records = Records::new().await;
    let whole = template_of(&template(&["IPH"])).clone();
    let cases = [
        (ComboTemplate { r#type: String::new(), ..whole.clone() }, "type"),
        (ComboTemplate { r#type: "XX".to_owned(), ..whole.clone() }, "type"),
        (ComboTemplate { product_codes: vec![], ..whole.clone() }, "product_codes"),
        (
            ComboTemplate { product_codes: vec!["IPH".to_owned(), "A-B".to_owned()], ..whole.clone() },
            "product_codes[1]",
        ),
        (ComboTemplate { product_codes: vec!["X".repeat(64); 9], ..whole.clone() }, "product_codes"),
        (ComboTemplate { audience: String::new(), ..whole.clone() }, "audience"),
        (ComboTemplate { audience: "young women".to_owned(), ..whole.clone() }, "audience"),
        (ComboTemplate { product_count: -1, ..whole.clone() }, "product_count"),
        (ComboTemplate { product_count: 10_000, ..whole }, "product_count"),
    ];
    for (combo, field) in cases {
        let refused = refusal(&records.create(with(Payload::ComboTemplate(combo))).await.unwrap_err());
        assert_eq!(
            (refused.code, refused.fields),
            (Code::InvalidArgument, vec![format!("artifact.combo_template.{field}")])
        );
    }
    assert_eq!(records.texts("select name from records.identifier_series").await, [""; 0]);
}

#[tokio::test]
async fn of_32_creators_each_gets_a_number_and_none_is_left_out() {
    let records = Records::new().await;
    let creates = (0..64).map(|nth| {
        // Half of them come through streams.
        let records = &records;
        async move {
            if nth % 2 == 0 {
                records.created(template(&["IPH"])).await;
            } else {
                let row = named(&format!("mda_{nth}"), template(&["IPH"]));
                records.write_artifacts(WriteStart::default(), &[row]).await.1.unwrap();
            }
        }
    });
    join_all(creates).await;
    assert_eq!(records.identifiers("combo_template").await, expected(64));
}

#[tokio::test]
async fn a_create_that_fails_takes_no_number() {
    let records = Records::new().await;
    records.created(named("mda_taken", template(&["IPH"]))).await;
    let taken = records.create(named("mda_taken", template(&["IPH"]))).await.unwrap_err();
    assert_eq!(taken.code(), Code::AlreadyExists);
    // The database refuses these after their numbers were taken.
    records
        .execute("alter table records.macrodata_artifact add constraint odd check (body ->> 'design_url' <> 'odd')")
        .await;
    let odd = |uid: &str| {
        let combo = ComboTemplate { design_url: "odd".to_owned(), ..template_of(&template(&["IPH"])).clone() };
        named(uid, with(Payload::ComboTemplate(combo)))
    };
    let creates = (0..16).map(|nth| {
        let (records, odd) = (&records, odd(&format!("mda_odd{nth}")));
        async move { (records.create(odd).await.is_err(), records.create(template(&["IPH"])).await.is_ok()) }
    });
    assert!(join_all(creates).await.into_iter().all(|(refused, made)| refused && made));
    // In a chunk, a row that the database refuses costs its row.
    let rows = [named("mda_a", template(&["IPH"])), odd("mda_b"), named("mda_c", template(&["IPH"]))];
    let (totals, end) = records.write_artifacts(skipping(WriteMode::Upsert), &rows).await;
    end.unwrap();
    assert_eq!(totals.counts(), [2, 0, 0, 1, 0]);
    // One that is refused ends the stream, and takes the numbers of its chunk back.
    let (_, end) = records.write_artifacts(WriteStart::default(), &[odd("mda_d"), template(&["IPH"])]).await;
    end.unwrap_err();
    assert_eq!(records.identifiers("combo_template").await, expected(19));
}

#[tokio::test]
async fn an_identifier_that_is_brought_moves_the_numbers_on() {
    let records = Records::new().await;
    // What the payload leaves unset is taken from the identifier.
    let bare = with(Payload::ComboTemplate(ComboTemplate::default()));
    let made = records.created(identified("CT-AIR+IPH-2-MEN-040", bare.clone())).await;
    let combo = template_of(&made);
    assert_eq!((combo.r#type.as_str(), combo.audience.as_str(), combo.product_count), ("CT", "MEN", 2));
    assert_eq!(combo.product_codes, ["AIR", "IPH"]);
    records.created(identified("CT-AIR+IPH-2-MEN-007", bare.clone())).await;
    let men = ComboTemplate {
        r#type: "CT".to_owned(),
        product_codes: vec!["IPH".to_owned(), "AIR".to_owned()],
        audience: "men".to_owned(),
        ..ComboTemplate::default()
    };
    let next = || with(Payload::ComboTemplate(men.clone()));
    assert_eq!(records.created(next()).await.identifier, "CT-AIR+IPH-2-MEN-041");
    // In one chunk as well, whatever the order of the rows.
    let rows = [
        named("mda_a", next()),
        identified("CT-AIR+IPH-2-MEN-999", named("mda_b", bare.clone())),
        named("mda_c", next()),
    ];
    let (totals, end) = records.write_artifacts(WriteStart::default(), &rows).await;
    end.unwrap();
    assert_eq!(totals.counts(), [3, 0, 0, 0, 0]);
    let made = [records.artifact("mda_a").await.identifier, records.artifact("mda_c").await.identifier];
    assert_eq!(made, ["CT-AIR+IPH-2-MEN-1000", "CT-AIR+IPH-2-MEN-1001"]);
    let taken = records.create(identified("CT-AIR+IPH-2-MEN-999", bare.clone())).await.unwrap_err();
    assert_eq!((taken.code(), refusal(&taken).fields), (Code::AlreadyExists, vec!["artifact.identifier".to_owned()]));
    for text in ["x", "CT-AIR+IPH-2-MEN-1", "ct-AIR-1-MEN-001", "CT-IPH+AIR-2-MEN-001"] {
        assert_invalid(records.create(identified(text, bare.clone())).await, "FIELD_INVALID", "artifact.identifier");
    }
    // A report may bring one too.
    let bare = with(Payload::ComboReport(ComboReport::default()));
    let made = records.created(identified("ST-X-5-ALL-003", bare)).await;
    assert_eq!((report_of(&made).product_count, report_of(&made).r#type.as_str()), (5, "ST"));
}

#[tokio::test]
async fn the_numbers_of_a_series_end() {
    let records = Records::new().await;
    let bare = with(Payload::ComboTemplate(ComboTemplate::default()));
    records.created(identified("SP-IPH-1-WOMEN-999999999", bare)).await;
    assert_invalid(records.create(template(&["IPH"])).await, "FIELD_INVALID", "artifact.identifier");
    records.created(template(&["AIR"])).await;
}

#[tokio::test]
async fn an_identifier_and_what_it_says_stay_together() {
    let records = Records::new().await;
    let disagreeing = identified("SP-AIR-1-WOMEN-001", template(&["IPH"]));
    assert_invalid(records.create(disagreeing).await, "FIELD_INVALID", "artifact.combo_template.product_codes");
    let made = records.created(template(&["IPH"])).await;
    let change = |change: fn(&mut ComboTemplate)| {
        let mut combo = template_of(&made).clone();
        change(&mut combo);
        Artifact { payload: Some(Payload::ComboTemplate(combo)), etag: String::new(), revision: 0, ..made.clone() }
    };
    let cases: [(Artifact, &str); 5] = [
        (change(|combo| combo.r#type = "CT".to_owned()), "combo_template.type"),
        (change(|combo| combo.product_codes.push("AIR".to_owned())), "combo_template.product_codes"),
        (change(|combo| combo.product_count = 7), "combo_template.product_count"),
        (change(|combo| combo.audience = "MEN".to_owned()), "combo_template.audience"),
        (identified("SP-IPH-1-WOMEN-002", change(|_| ())), "identifier"),
    ];
    for (changed, field) in cases {
        for paths in [&[][..], &["*"]] {
            let refused = refusal(&records.update(changed.clone(), paths).await.unwrap_err());
            assert_eq!(refused.fields, [format!("artifact.{field}")], "{paths:?}");
        }
        let (totals, end) = records.write_artifacts(skipping(WriteMode::Upsert), &[changed]).await;
        end.unwrap();
        assert_eq!(told(&totals.errors), [(0, "FIELD_INVALID", field)]);
    }
    let cleared = change(|combo| combo.audience.clear());
    assert_invalid(
        records.update(cleared, &["combo_template.audience"]).await,
        "FIELD_INVALID",
        "artifact.combo_template.audience",
    );
    let cleared = identified("", change(|_| ()));
    assert_invalid(records.update(cleared, &["identifier"]).await, "FIELD_INVALID", "artifact.identifier");
    // Another way to write the same, and what is not in the identifier.
    let updated = change(|combo| {
        combo.audience = "Women".to_owned();
        combo.design_url = "https://a".to_owned();
    });
    assert_eq!(template_of(&records.update(updated, &[]).await.unwrap()).audience, "Women");
}

#[tokio::test]
async fn a_report_is_what_its_template_is() {
    let records = Records::new().await;
    let of = records.created(template(&["IPH", "AIR"])).await;
    let bare = ComboReport { template_uid: of.uid.clone(), ..ComboReport::default() };
    let made = records.created(with(Payload::ComboReport(bare.clone()))).await;
    assert_eq!(made.identifier, "SP-AIR+IPH-2-WOMEN-001");
    assert_eq!((report_of(&made).r#type.as_str(), report_of(&made).product_count), ("SP", 2));
    // What the report sets itself counts.
    let own = ComboReport { audience: "MEN".to_owned(), ..bare };
    assert_eq!(records.created(with(Payload::ComboReport(own))).await.identifier, "SP-AIR+IPH-2-MEN-001");
    assert_invalid(
        records.create(with(Payload::ComboReport(ComboReport::default()))).await,
        "FIELD_INVALID",
        "artifact.combo_report.type",
    );
}

#[tokio::test]
async fn each_catalog_numbers_by_itself() {
    let records = Records::new().await;
    let request = orrery_proto::records::v1::CreateMacrodataCatalogRequest {
        macrodata_catalog: Some(MacrodataCatalog { name: "Spring".to_owned(), ..MacrodataCatalog::default() }),
        ..Default::default()
    };
    let catalog = records.artifacts().create_macrodata_catalog(request).await.unwrap().into_inner();
    let within = || Artifact { catalog_uid: catalog.uid.clone(), ..template(&["IPH"]) };
    for number in ["001", "002"] {
        assert_eq!(records.created(template(&["IPH"])).await.identifier, format!("SP-IPH-1-WOMEN-{number}"));
        assert_eq!(records.created(within()).await.identifier, format!("SP-IPH-1-WOMEN-{number}"));
    }
    // So a move into a catalog may meet the same identifier.
    let moved = records.created(template(&["AIR"])).await;
    let into = Artifact { uid: moved.uid, catalog_uid: catalog.uid.clone(), ..Artifact::default() };
    records.update(into, &["catalog_uid"]).await.unwrap();
    let first = "select uid from records.macrodata_artifact where catalog_uid is null and identifier like '%-001'";
    let into = Artifact { uid: records.texts(first).await.remove(0), catalog_uid: catalog.uid, ..Artifact::default() };
    let taken = records.update(into, &["catalog_uid"]).await.unwrap_err();
    assert_eq!((taken.code(), refusal(&taken).fields), (Code::AlreadyExists, vec!["artifact.identifier".to_owned()]));
    // And out of it.
    let of_catalog =
        "select uid from records.macrodata_artifact where catalog_uid is not null and identifier like '%IPH%-001'";
    let out = Artifact { uid: records.texts(of_catalog).await.remove(0), ..Artifact::default() };
    let taken = records.update(out, &["catalog_uid"]).await.unwrap_err();
    assert_eq!((taken.code(), refusal(&taken).fields), (Code::AlreadyExists, vec!["artifact.identifier".to_owned()]));
}

#[tokio::test]
async fn identifiers_of_other_programs_are_passed_over() {
    let records = Records::new().await;
    records
        .execute(
            "insert into records.macrodata_artifact (uid, kind, identifier) \
             values ('a', 'combo_template', 'SP-IPH-1-WOMEN-001'), ('b', 'combo_template', 'SP-IPH-1-WOMEN-1200'), \
                    ('c', 'combo_template', 'SP-IPH-1-WOMEN-new'), ('d', 'combo_report', 'SP-IPH-1-WOMEN-5000'), \
                    ('e', null, 'SP-IPH-1-WOMEN-1201'), ('f', 'combo_template', 'SP-IPH-1-WOMEN-0999999')",
        )
        .await;
    assert_eq!(records.created(template(&["IPH"])).await.identifier, "SP-IPH-1-WOMEN-1201");
    records
        .execute(
            "insert into records.macrodata_artifact (uid, kind, identifier) \
             values ('g', 'combo_template', 'SP-IPH-1-WOMEN-1202')",
        )
        .await;
    let creates = (0..8).map(|_| records.created(template(&["IPH"])));
    let mut made: Vec<String> = join_all(creates).await.into_iter().map(|made| made.identifier).collect();
    made.sort_unstable();
    assert_eq!(made, (1203..1211).map(|number| format!("SP-IPH-1-WOMEN-{number}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn other_identifiers_are_any_texts_and_unique_in_their_kind() {
    let records = Records::new().await;
    let made = records.created(identified("One", super::document("a"))).await;
    records.created(identified("One", super::asset(1))).await;
    let taken = records.create(identified("One", super::document("b"))).await.unwrap_err();
    assert_eq!((taken.code(), refusal(&taken).fields), (Code::AlreadyExists, vec!["artifact.identifier".to_owned()]));
    // Unlike those of combos they may change.
    let renamed = records.update(identified("Two", named(&made.uid, Artifact::default())), &["identifier"]).await;
    assert_eq!(renamed.unwrap().identifier, "Two");
    records.created(identified("One", super::document("c"))).await;
    // Any number of artifacts have none.
    records.created(super::document("d")).await;
    records.created(super::document("e")).await;
    let index = "select indexdef from pg_indexes where indexname = 'macrodata_artifact_identifier_idx'";
    let mut operator = records.database.connect(Role::Operator).await;
    let definition: String = sqlx::query_scalar(index).fetch_one(&mut operator).await.unwrap();
    assert!(definition.contains("UNIQUE"), "{definition}");
}

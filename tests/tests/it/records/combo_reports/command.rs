//! `orrery import combo-reports` and `orrery export combo-reports`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use orrery_proto::records::v1::ExportComboReportsRequest;

use crate::harness::RecordsServer;
use crate::harness::operator::{ended, orrery, run};
use crate::records::Records;
use crate::records::artifacts::template;

fn at(records: &Records) -> String {
    format!("--records={}", records.server.address())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_goes_in_and_comes_out_and_refused_rows_are_told_by_line() {
    let records = Records::with_products(&[("prd_a", "Mug"), ("prd_b", "Box"), ("prd_c", "Box")]).await;
    let of = records.created(template(&["IPH"])).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reports.csv");
    let name = path.to_str().unwrap();
    let text = format!(
        "identifier,template,products,clicks\nSP-A-1-ALL-001,,mug,1\n,{},,2\nSP-A-1-ALL-003,,Box,x\nSP-A-1-ALL-004,,Box,3\n",
        of.identifier
    );
    std::fs::write(&path, &text).unwrap();
    let address = at(&records);
    let import = ["import", "combo-reports", name, &address, "--import-id=march"];
    let checked = run(&[&import[..], &["--validate-only"]].concat()).await;
    assert_eq!((checked.code, checked.counts()), (Some(3), [2, 0, 0, 2]), "{checked:?}");
    assert!(checked.stdout.ends_with("nothing was written\n"), "{checked:?}");
    assert_eq!(records.stored_artifacts().await.len(), 1);

    let first = run(&import).await;
    assert_eq!((first.code, first.counts()), (Some(3), [2, 0, 0, 2]), "{first:?}");
    let lines: Vec<&str> = first.stderr.lines().collect();
    assert!(lines[0].starts_with(&format!("{name}, line 4: clicks: must be")), "{first:?}");
    assert_eq!(
        lines[1],
        format!(
            "{name}, line 5: products: \"Box\" fits several products equally well: prd_b (\"Box\"), prd_c (\"Box\")"
        )
    );

    let output = folder.path().join("out.csv");
    let export = format!("--output={}", output.display());
    let exported = run(&["export", "combo-reports", &export, &address]).await;
    assert_eq!(exported.code, Some(0), "{exported:?}");
    assert!(exported.stderr.starts_with("2 combo reports exported"), "{exported:?}");
    let file = std::fs::read_to_string(&output).unwrap();
    assert_eq!(file, records.exported(ExportComboReportsRequest::default()).await);
    let stdout = run(&["export", "combo-reports", &address]).await;
    assert_eq!((stdout.code, &stdout.stdout), (Some(0), &file));

    // It comes back unchanged, compressed and from standard input.
    let mut compressed = GzEncoder::new(Vec::new(), Compression::fast());
    compressed.write_all(file.as_bytes()).unwrap();
    let mut child = orrery(&["import", "combo-reports", "-", &address]);
    let mut child = child.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    child = child.stderr(std::process::Stdio::piped());
    let mut child = child.spawn().unwrap();
    child.stdin.take().unwrap().write_all(&compressed.finish().unwrap()).unwrap();
    let back = ended(child).await;
    assert_eq!((back.code, back.counts(), &*back.stderr), (Some(0), [0, 0, 2, 0], ""), "{back:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_file_from_being_imported_is_one_line() {
    let records = Records::new().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reports.csv");
    let name = path.to_str().unwrap();
    let address = at(&records);
    let missing = run(&["import", "combo-reports", name, &address]).await;
    assert_eq!(missing.code, Some(1), "{missing:?}");
    std::fs::write(&path, "identifier,color\n").unwrap();
    let header = run(&["import", "combo-reports", name, &address]).await;
    assert_eq!((header.code, header.stderr.lines().count()), (Some(1), 1), "{header:?}");
    assert!(header.stderr.contains("unknown column \"color\""), "{header:?}");
    // A file that breaks off is not taken for one that ends.
    let mut half = GzEncoder::new(Vec::new(), Compression::fast());
    half.write_all(b"identifier,notes\nSP-A-1-ALL-001,x\n").unwrap();
    let half = half.finish().unwrap();
    std::fs::write(&path, &half[..half.len() - 6]).unwrap();
    let broken = run(&["import", "combo-reports", name, &address]).await;
    assert_eq!(broken.code, Some(1), "{broken:?}");
    assert_eq!(records.stored_artifacts().await.len(), 0);
    let nowhere = run(&["export", "combo-reports", "--records=127.0.0.1:1", "--patience=1"]).await;
    assert_eq!(nowhere.code, Some(1), "{nowhere:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_waits_for_a_service_that_comes_back() {
    let records = Records::with_products(&[("prd_a", "Mug")]).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reports.csv");
    let mut text = "identifier,products,notes\n".to_owned();
    for number in 1..=1_200 {
        let product = if number > 1_000 { "Mug" } else { "" };
        writeln!(text, "SP-A-1-ALL-{number:03},{product},{number}").unwrap();
    }
    std::fs::write(&path, &text).unwrap();
    // A service whose catalog is not there yet: nothing listens at that address.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let server = RecordsServer::start_with(&records.database, |config| {
        config.catalog.address = address.to_string().parse().unwrap();
    })
    .await;
    let flag = format!("--records={}", server.address());
    let mut child = orrery(&["import", "combo-reports", path.to_str().unwrap(), &flag]);
    child.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = child.spawn().unwrap();
    let count = "select count(*)::text from records.macrodata_artifact";
    while records.texts(count).await != ["1000"] {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let proxy = tokio::net::TcpListener::bind(address).await.unwrap();
    let catalog = records.catalog.address();
    tokio::spawn(async move {
        while let Ok((mut inbound, _)) = proxy.accept().await {
            tokio::spawn(async move {
                let mut outbound = tokio::net::TcpStream::connect(catalog).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut inbound, &mut outbound).await;
            });
        }
    });
    let ended = ended(child).await;
    assert_eq!((ended.code, ended.counts()), (Some(0), [200, 0, 1_000, 0]), "{ended:?}");
    assert!(ended.stderr.contains("trying again"), "{ended:?}");
}

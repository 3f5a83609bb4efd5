//! Combo reports as files: `ImportComboReports` and `ExportComboReports`.

mod arbitrary;
mod command;
mod exports;
mod faults;
mod files;
mod products;
mod rows;

use orrery_proto::records::v1::import_combo_reports_request::{Payload, Start};
use orrery_proto::records::v1::{
    ExportComboReportsRequest, ImportComboReportsRequest, ImportComboReportsResponse, ImportError,
};
use orrery_proto::r#type::v1::ErrorReason;
use tokio_stream::iter;
use tonic::Status;

use super::Records;

/// The most bytes of a message.
const MAX_DATA: usize = 256 << 10;

fn first(start: Start) -> ImportComboReportsRequest {
    ImportComboReportsRequest { payload: Some(Payload::Start(start)) }
}

fn data(bytes: &[u8]) -> ImportComboReportsRequest {
    ImportComboReportsRequest { payload: Some(Payload::Data(bytes.to_vec().into())) }
}

impl Records {
    /// The service, with products of these uids and names.
    async fn with_products(products: &[(&str, &str)]) -> Self {
        let records = Self::new().await;
        records.add_products(products).await;
        records
    }

    async fn add_products(&self, products: &[(&str, &str)]) {
        let (uids, names): (Vec<&str>, Vec<&str>) = products.iter().copied().unzip();
        sqlx::query("insert into catalog.product (uid, name) select * from unnest($1::text[], $2::text[])")
            .bind(uids)
            .bind(names)
            .execute(&self.pool)
            .await
            .unwrap();
    }

    /// Imports a file that arrives in these pieces.
    async fn import_pieces(&self, start: Start, pieces: &[&[u8]]) -> Result<ImportComboReportsResponse, Status> {
        let mut messages = vec![first(start)];
        messages.extend(pieces.iter().map(|piece| data(piece)));
        Ok(self.artifacts().import_combo_reports(iter(messages)).await?.into_inner())
    }

    /// Imports a file.
    async fn import(&self, start: Start, file: &str) -> Result<ImportComboReportsResponse, Status> {
        self.import_pieces(start, &file.as_bytes().chunks(MAX_DATA).collect::<Vec<_>>()).await
    }

    /// Imports a file, all rows of which must be written. Returns what was created, updated and unchanged.
    async fn imported(&self, start: Start, file: &str) -> [i64; 3] {
        let answer = self.import(start, file).await.unwrap();
        assert_eq!((&answer.errors[..], answer.rejected, answer.superseded), (&[][..], 0, 0));
        [answer.created, answer.updated, answer.unchanged]
    }

    /// The whole file of an export.
    async fn exported(&self, request: ExportComboReportsRequest) -> String {
        let mut stream = self.artifacts().export_combo_reports(request).await.unwrap().into_inner();
        let mut file = Vec::new();
        while let Some(message) = stream.message().await.unwrap() {
            file.extend_from_slice(&message.data);
        }
        String::from_utf8(file).unwrap()
    }

    /// Everything that is stored of artifacts, with their times.
    async fn stored_artifacts(&self) -> Vec<String> {
        self.texts("select t::text from records.macrodata_artifact t order by uid").await
    }
}

/// The line, column and reason of each error.
fn told(errors: &[ImportError]) -> Vec<(i64, &str, &str)> {
    let reason = |error: &ImportError| error.reason().as_str_name().trim_start_matches("ERROR_REASON_");
    assert!(errors.iter().all(|error| error.reason() != ErrorReason::Unspecified && error.code != 0), "{errors:?}");
    errors.iter().map(|error| (error.line, error.column.as_str(), reason(error))).collect()
}

//! Keeps writers of single rows. A writer depends only on the resource, the mode and the mask, which are the same in
//! most calls.

use std::fmt;
use std::sync::Arc;

use orrery_proto::r#type::v1::{ReferenceCheck, WriteMode};
use quick_cache::sync::Cache;

use super::statement::BatchWriter;
use crate::resource::Resource;
use crate::resource::batch::Origin;
use crate::resource::mask::UpdateMask;

/// Most writers that are kept. The number is limited because masks come from callers.
const MAX_WRITERS: usize = 256;

/// The properties that a writer depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct WriterKey {
    message: &'static str,
    mode: WriteMode,
    references: ReferenceCheck,
    mask: UpdateMask,
}

/// Writers of single rows. Cheap to clone; clones share them.
#[derive(Clone)]
pub(crate) struct Writers(Arc<Cache<WriterKey, Arc<BatchWriter>>>);

impl Default for Writers {
    fn default() -> Self {
        Self(Arc::new(Cache::new(MAX_WRITERS)))
    }
}

impl fmt::Debug for Writers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Writers").field(&self.0.len()).finish()
    }
}

impl Writers {
    /// A writer of single rows for a mode and a mask.
    pub(super) fn of(
        &self,
        resource: &'static Resource,
        mode: WriteMode,
        mask: UpdateMask,
        references: ReferenceCheck,
    ) -> Arc<BatchWriter> {
        let message = resource.description.message;
        let key = WriterKey { message, mode, references, mask: mask.clone() };
        if let Some(writer) = self.0.get(&key) {
            return writer;
        }
        let writer = Arc::new(BatchWriter::new(resource, Origin::Single, mode, mask, references));
        self.0.insert(key, Arc::clone(&writer));
        writer
    }
}

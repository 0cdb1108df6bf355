//! What a decorator wraps and what it makes: a store, and its uploads by id if it has them.

use std::sync::Arc;

use object_store::multipart::MultipartStore;
use object_store::{Error, ObjectStore, Result};

/// A store whose uploads can be driven by their ids, also by another process than the one that
/// began them. The cloud stores and the one in memory are such; local files are not.
pub trait UploadStore: ObjectStore + MultipartStore {}

impl<S: ObjectStore + MultipartStore> UploadStore for S {}

/// A store and, if it has them, its uploads by id. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    store: Arc<dyn ObjectStore>,
    uploads: Option<Arc<dyn UploadStore>>,
}

impl Layer {
    /// A store without uploads by id.
    pub fn plain(store: Arc<dyn ObjectStore>) -> Self {
        Layer { store, uploads: None }
    }

    /// A store with uploads by id.
    pub fn with_uploads(store: Arc<dyn UploadStore>) -> Self {
        Layer { store: Arc::clone(&store) as Arc<dyn ObjectStore>, uploads: Some(store) }
    }

    /// Puts a decorator around this; the result has uploads by id if this has them.
    pub fn wrap<D: UploadStore>(self, decorate: impl FnOnce(Layer) -> D) -> Self {
        let has_uploads = self.uploads.is_some();
        let decorated = Arc::new(decorate(self));
        if has_uploads { Layer::with_uploads(decorated) } else { Layer::plain(decorated) }
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Its uploads by id, if it has them.
    pub fn uploads(&self) -> Option<&Arc<dyn UploadStore>> {
        self.uploads.as_ref()
    }

    /// Its uploads by id.
    ///
    /// # Errors
    /// [`Error::NotSupported`] if it has none.
    pub fn try_uploads(&self) -> Result<&Arc<dyn UploadStore>> {
        self.uploads.as_ref().ok_or_else(|| Error::NotSupported {
            source: format!("{} has no uploads by id", self.store).into(),
        })
    }
}

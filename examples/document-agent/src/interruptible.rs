//! A folder for the index that can be told to take no more for the time being.
//!
//! The engine merges on threads of its own, and nothing asks them to stop. What they do is write,
//! though: when that fails, they give up, and leave the index as it was.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    AntiCallToken, Directory, DirectoryLock, FileHandle, Lock, MmapDirectory, TerminatingWrite,
    WatchCallback, WatchHandle, WritePtr,
};

/// Whether files may be written. Clones are one switch.
#[derive(Debug, Clone, Default)]
pub struct Switch(Arc<AtomicBool>);

impl Switch {
    /// From now on nothing more can be written.
    pub fn interrupt(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// From now on it can again.
    pub fn restore(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    fn check(&self) -> io::Result<()> {
        match self.0.load(Ordering::Relaxed) {
            true => Err(io::Error::other("interrupted: what was being written is not wanted any more")),
            false => Ok(()),
        }
    }
}

/// A folder whose [`Switch`] ends what is being written to it. What says which files make up the
/// index is written all the same.
#[derive(Debug, Clone)]
pub struct Interruptible {
    pub(crate) folder: MmapDirectory,
    pub(crate) switch: Switch,
}

impl Directory for Interruptible {
    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        let file = self.folder.open_write(path)?;
        Ok(WritePtr::new(Box::new(File { file, switch: self.switch.clone() })))
    }

    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        self.folder.get_file_handle(path)
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        self.folder.delete(path)
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        self.folder.exists(path)
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        self.folder.atomic_read(path)
    }

    fn atomic_write(&self, path: &Path, data: &[u8]) -> io::Result<()> {
        self.folder.atomic_write(path, data)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.folder.sync_directory()
    }

    fn acquire_lock(&self, lock: &Lock) -> Result<DirectoryLock, LockError> {
        self.folder.acquire_lock(lock)
    }

    fn watch(&self, callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        self.folder.watch(callback)
    }
}

struct File {
    file: WritePtr,
    switch: Switch,
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.switch.check()?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.switch.check()?;
        self.file.flush()
    }
}

impl TerminatingWrite for File {
    fn terminate_ref(&mut self, token: AntiCallToken) -> io::Result<()> {
        self.switch.check()?;
        self.file.terminate_ref(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tantivy::indexer::NoMergePolicy;
    use tantivy::schema::{Schema, TEXT};
    use tantivy::{Index, IndexWriter, doc};

    #[test]
    fn a_merge_that_is_interrupted_fails_and_leaves_the_index_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let switch = Switch::default();
        let directory =
            Interruptible { folder: MmapDirectory::open(folder.path()).unwrap(), switch: switch.clone() };
        let mut schema = Schema::builder();
        let body = schema.add_text_field("body", TEXT);
        let index = Index::open_or_create(directory, schema.build()).unwrap();
        let mut writer: IndexWriter = index.writer_with_num_threads(1, 15 << 20).unwrap();
        writer.set_merge_policy(Box::new(NoMergePolicy));
        for text in ["the albatross", "a cormorant"] {
            writer.add_document(doc!(body => text)).unwrap();
            writer.commit().unwrap();
        }
        let parts = index.searchable_segment_ids().unwrap();
        assert_eq!(parts.len(), 2);
        switch.interrupt();
        assert!(writer.merge(&parts).wait().is_err());
        assert_eq!(index.searchable_segment_ids().unwrap(), parts);
        switch.restore();
        assert!(writer.merge(&parts).wait().is_ok());
        assert_eq!(index.searchable_segment_ids().unwrap().len(), 1);
        assert_eq!(index.reader().unwrap().searcher().num_docs(), 2);
    }
}

//! The full-text index on disk, and what is known of it.
//!
//! One index holds one folder; indexing another one replaces it. What a commit covers is written
//! with it, in the same step, so that an agent that is started again knows what it has.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::thread::available_parallelism;

use serde::{Deserialize, Serialize};
use tantivy::directory::MmapDirectory;
use tantivy::directory::error::LockError;
use tantivy::indexer::IndexWriterOptions;
use tantivy::schema::{Field, STORED, Schema, TEXT};
use tantivy::tokenizer::TextAnalyzer;
use tantivy::{Index, IndexReader, IndexWriter, ReloadPolicy, Searcher, TantivyError};
use tempfile::TempDir;

use crate::interruptible::{Interruptible, Switch};
use crate::walk::Skipped;

/// What each thread that indexes may hold in memory before it writes to disk.
const BYTES_PER_THREAD: usize = 32 << 20;
/// More threads than this wait for the disk.
const MAX_THREADS: usize = 4;

/// Where the index lives.
#[derive(Debug)]
pub enum IndexFolder {
    /// Named by `AGENT_INDEX_DIR`: still there when the agent is started again.
    Kept(PathBuf),
    /// In the session's temporary folder, and gone with the agent.
    Temporary(TempDir),
}

impl IndexFolder {
    /// The folder that `AGENT_INDEX_DIR` names, or else a temporary one.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn from_environment() -> io::Result<Self> {
        match std::env::var_os("AGENT_INDEX_DIR").filter(|folder| !folder.is_empty()) {
            Some(folder) => Ok(Self::Kept(folder.into())),
            None => Ok(Self::Temporary(tempfile::Builder::new().prefix("document-agent-").tempdir()?)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }
}

/// What is wrong with the index.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// It cannot be opened.
    #[error(
        "cannot keep an index in {folder}: {source}; set AGENT_INDEX_DIR to a folder that is empty or holds an index of this agent"
    )]
    Open {
        /// Where.
        folder: String,
        /// Why.
        source: TantivyError,
    },
    /// Someone else writes to it.
    #[error(
        "another process writes to the index in {folder}: stop it, or set AGENT_INDEX_DIR to another folder"
    )]
    InUse {
        /// Where.
        folder: String,
    },
    /// It cannot be read or written.
    #[error("the index failed: {0}")]
    Index(#[from] TantivyError),
}

/// What the index holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// The folder whose files are in it.
    pub folder: PathBuf,
    /// Whether all of them are.
    pub complete: bool,
    /// How many files can be searched.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
    /// The files that are left out.
    pub skipped: Skipped,
}

/// The fields of a document.
#[derive(Debug, Clone, Copy)]
pub struct Fields {
    /// The file's path below the folder.
    pub path: Field,
    /// Its text: indexed, not stored, for it is in the file.
    pub body: Field,
}

/// The index at one point in time.
#[derive(Clone)]
pub struct Snapshot {
    /// Searches it.
    pub searcher: Searcher,
    /// What it holds; nothing at all before the first folder.
    pub contents: Option<Contents>,
}

/// The index, for one writer and many readers.
pub struct Library {
    folder: PathBuf,
    index: Index,
    writing: Switch,
    fields: Fields,
    reader: IndexReader,
    current: RwLock<Snapshot>,
}

impl Library {
    /// Opens the index in `folder`, or begins one.
    ///
    /// # Errors
    /// The folder cannot be used, or holds something else.
    pub fn open(folder: &Path) -> Result<Self, LibraryError> {
        Self::try_open(folder)
            .map_err(|source| LibraryError::Open { folder: folder.display().to_string(), source })
    }

    fn try_open(folder: &Path) -> tantivy::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let (schema, fields) = schema();
        let writing = Switch::default();
        let directory = Interruptible { folder: MmapDirectory::open(folder)?, switch: writing.clone() };
        let index = Index::open_or_create(directory, schema)?;
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        let contents = index.load_metas()?.payload.and_then(|payload| serde_json::from_str(&payload).ok());
        let current = RwLock::new(Snapshot { searcher: reader.searcher(), contents });
        Ok(Self { folder: folder.to_owned(), index, writing, fields, reader, current })
    }

    /// Where the index is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The fields of its documents.
    pub fn fields(&self) -> Fields {
        self.fields
    }

    /// What cuts texts into the words that are indexed.
    ///
    /// # Errors
    /// None in practice: the fields are our own.
    pub fn analyzer(&self) -> tantivy::Result<TextAnalyzer> {
        self.index.tokenizer_for_field(self.fields.body)
    }

    /// The index as of the last commit.
    pub fn snapshot(&self) -> Snapshot {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows what was committed to those who search from now on.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn publish(&self, contents: &Contents) -> tantivy::Result<()> {
        self.reader.reload()?;
        let snapshot = Snapshot { searcher: self.reader.searcher(), contents: Some(contents.clone()) };
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = snapshot;
        Ok(())
    }

    /// The one writer.
    ///
    /// # Errors
    /// There is one already, in this process or another.
    pub fn writer(&self) -> Result<IndexWriter, LibraryError> {
        let threads = available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let options = IndexWriterOptions::builder()
            .num_worker_threads(threads)
            .memory_budget_per_thread(BYTES_PER_THREAD)
            .num_merge_threads(1)
            .build();
        let writer = self.index.writer_with_options(options).map_err(|error| match error {
            TantivyError::LockFailure(LockError::LockBusy, _) => {
                LibraryError::InUse { folder: self.folder.display().to_string() }
            }
            error => LibraryError::from(error),
        })?;
        self.writing.restore();
        Ok(writer)
    }

    /// Has the writer's merges fail, until there is another writer.
    pub fn interrupt_writing(&self) {
        self.writing.interrupt();
    }
}

fn schema() -> (Schema, Fields) {
    let mut schema = Schema::builder();
    let path = schema.add_text_field("path", TEXT | STORED);
    let body = schema.add_text_field("body", TEXT);
    (schema.build(), Fields { path, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_index_holds_nothing_and_has_one_writer() {
        let folder = tempfile::tempdir().unwrap();
        let library = Library::open(&folder.path().join("made/on/demand")).unwrap();
        assert!(library.snapshot().contents.is_none());
        let writer = library.writer().unwrap();
        assert!(matches!(library.writer(), Err(LibraryError::InUse { .. })));
        drop(writer);
        assert!(library.writer().is_ok());
    }

    #[test]
    fn a_folder_with_something_else_in_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("meta.json"), "{}").unwrap();
        let error = Library::open(folder.path()).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("set AGENT_INDEX_DIR"), "{error}");
        let error = Library::open(&folder.path().join("meta.json")).map(|_| ()).unwrap_err();
        assert!(matches!(error, LibraryError::Open { .. }), "{error}");
    }
}

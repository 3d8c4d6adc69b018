//! How the index is built: file by file, with commits on the way, so that what is there can be
//! searched long before the end.

use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde::Serialize;
use tantivy::{IndexWriter, TantivyError, doc};
use tokio::time::Instant;

use crate::library::{Contents, Library, LibraryError};
use crate::walk::{self, Found, Skip, Skipped};

/// When to commit.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// After this time at the latest.
    pub time: Duration,
    /// After this much text at the latest. It bounds what waits in memory to be indexed, too.
    pub bytes: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { time: Duration::from_secs(2), bytes: 32 << 20 }
    }
}

/// What the builder is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Finding out how much there is to do.
    #[default]
    Counting,
    /// Reading files.
    Indexing,
    /// All files are in; the index is being tidied up.
    Merging,
}

/// How far the builder is.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// Files that are done with, indexed or skipped.
    pub files_done: u64,
    /// Files there are.
    pub files_total: u64,
    /// Their bytes that are done with.
    pub bytes_done: u64,
    /// Their bytes.
    pub bytes_total: u64,
    /// Files that are left out.
    pub skipped: Skipped,
    /// Files that can be searched already.
    pub searchable: u64,
    /// The file at hand, below the folder.
    pub current_file: String,
}

/// Told of every step; says whether to go on.
pub type Observer<'a> = &'a mut dyn FnMut(&Progress) -> ControlFlow<()>;

/// Why the walk over the files ended early.
enum Stop {
    Asked,
    Failed(TantivyError),
}

impl From<TantivyError> for Stop {
    fn from(error: TantivyError) -> Self {
        Self::Failed(error)
    }
}

/// An index that is being built.
pub struct Build {
    library: Arc<Library>,
    writer: IndexWriter,
    folder: PathBuf,
    pace: Pace,
    contents: Contents,
    progress: Progress,
    uncommitted_bytes: u64,
    last_commit: Instant,
}

impl Build {
    /// Empties the index, to fill it with what is in `folder`.
    ///
    /// # Errors
    /// The index is being written to, or cannot be.
    pub fn begin(library: Arc<Library>, folder: PathBuf, pace: Pace) -> Result<Self, LibraryError> {
        let writer = library.writer()?;
        writer.delete_all_documents()?;
        let skipped = Skipped::default();
        let contents = Contents { folder: folder.clone(), complete: false, files: 0, bytes: 0, skipped };
        let (progress, last_commit) = (Progress::default(), Instant::now());
        let mut build =
            Self { library, writer, folder, pace, contents, progress, uncommitted_bytes: 0, last_commit };
        build.commit()?;
        Ok(build)
    }

    /// Fills the index. Told by `observe` to stop, it keeps what it has.
    ///
    /// # Errors
    /// The index cannot be written. Files that cannot be read are no error: they are counted.
    pub fn run(mut self, observe: Observer<'_>) -> Result<Contents, LibraryError> {
        let walked = self.count(observe).and_then(|()| self.add_all(observe));
        self.contents.complete = match walked {
            Ok(()) => true,
            Err(Stop::Asked) => false,
            Err(Stop::Failed(error)) => return Err(error.into()),
        };
        self.commit()?;
        if !self.contents.complete {
            self.library.interrupt_writing();
            return Ok(self.contents);
        }
        Ok(self.tidy_up(observe)?)
    }

    /// A walk of its own rather than a list: folders may hold millions of files.
    fn count(&mut self, observe: Observer<'_>) -> Result<(), Stop> {
        for found in walk::files(&self.folder) {
            self.progress.files_total += 1;
            self.progress.bytes_total += found.map_or(0, |found| found.bytes);
            go_on(observe(&self.progress))?;
        }
        Ok(())
    }

    fn add_all(&mut self, observe: Observer<'_>) -> Result<(), Stop> {
        self.progress.phase = Phase::Indexing;
        for found in walk::files(&self.folder) {
            if let Ok(Found { path, .. }) = &found {
                self.progress.current_file = below(&self.folder, path).to_string_lossy().into_owned();
                go_on(observe(&self.progress))?;
            }
            let bytes = found.as_ref().map_or(0, |found| found.bytes);
            match found.and_then(|found| readable(&self.folder, &found)) {
                Ok((path, text)) => self.add(&path, text)?,
                Err(why) => self.progress.skipped.count(why),
            }
            self.progress.files_done += 1;
            self.progress.bytes_done += bytes;
        }
        Ok(())
    }

    fn add(&mut self, path: &str, text: String) -> tantivy::Result<()> {
        let bytes = text.len() as u64;
        let fields = self.library.fields();
        self.writer.add_document(doc!(fields.path => path, fields.body => text))?;
        self.contents.files += 1;
        self.contents.bytes += bytes;
        self.uncommitted_bytes += bytes;
        if self.uncommitted_bytes >= self.pace.bytes || self.last_commit.elapsed() >= self.pace.time {
            self.commit()?;
        }
        Ok(())
    }

    fn commit(&mut self) -> tantivy::Result<()> {
        self.contents.skipped = self.progress.skipped;
        let mut commit = self.writer.prepare_commit()?;
        commit.set_payload(&serde_json::to_string(&self.contents)?);
        commit.commit()?;
        self.library.publish(&self.contents)?;
        self.progress.searchable = self.contents.files;
        self.uncommitted_bytes = 0;
        self.last_commit = Instant::now();
        Ok(())
    }

    /// Waits until the small parts that commits left behind are merged into larger ones. Told to
    /// stop, it leaves them as they are: all files are in.
    fn tidy_up(mut self, observe: Observer<'_>) -> tantivy::Result<Contents> {
        self.progress.phase = Phase::Merging;
        self.progress.current_file.clear();
        let (writer, progress) = (self.writer, &self.progress);
        attend(|| writer.wait_merging_threads(), || observe(progress), || self.library.interrupt_writing())?;
        self.library.publish(&self.contents)?;
        Ok(self.contents)
    }
}

/// How often somebody is asked whether to go on with work that does not ask by itself.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Does `work` on a thread of its own and asks meanwhile whether to go on. If not, it is
/// interrupted, and its end waited for.
fn attend<T: Send>(
    work: impl FnOnce() -> T + Send,
    mut ask: impl FnMut() -> ControlFlow<()>,
    interrupt: impl FnOnce(),
) -> T {
    let asking = thread::current();
    thread::scope(|scope| {
        let working = scope.spawn(move || {
            let result = work();
            asking.unpark();
            result
        });
        while ask().is_continue() && !working.is_finished() {
            thread::park_timeout(ASK_EVERY);
        }
        if !working.is_finished() {
            interrupt();
        }
        working.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

fn go_on(decision: ControlFlow<()>) -> Result<(), Stop> {
    match decision {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Stop::Asked),
    }
}

fn below<'a>(folder: &Path, path: &'a Path) -> &'a Path {
    path.strip_prefix(folder).unwrap_or(path)
}

/// A file's path below the folder, and its text.
fn readable(folder: &Path, found: &Found) -> Result<(String, String), Skip> {
    if found.bytes > walk::MAX_FILE_BYTES {
        return Err(Skip::TooLarge);
    }
    // A path that is no text could not be found again by the one in the index.
    let path = below(folder, &found.path).to_str().ok_or(Skip::Unreadable)?;
    Ok((path.to_owned(), walk::read_text(&found.path)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::search;
    use std::fs;
    use tempfile::TempDir;

    const EVERY_FILE: Pace = Pace { time: Duration::ZERO, bytes: 0 };
    const ONCE: Pace = Pace { time: Duration::MAX, bytes: u64::MAX };

    fn documents() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        fs::write(folder.path().join("a.txt"), "the albatross\n").unwrap();
        fs::write(folder.path().join("b.bin"), b"\0albatross").unwrap();
        fs::write(folder.path().join("c.txt"), "a cormorant\n").unwrap();
        fs::write(folder.path().join("sub/d.txt"), "one more albatross\n").unwrap();
        fs::write(folder.path().join("sub/e.txt"), vec![b'x'; walk::MAX_FILE_BYTES as usize + 1]).unwrap();
        folder
    }

    fn library() -> (TempDir, Arc<Library>) {
        let folder = tempfile::tempdir().unwrap();
        let library = Arc::new(Library::open(folder.path()).unwrap());
        (folder, library)
    }

    fn hits(library: &Library, query: &str) -> usize {
        search(library, query, 10).unwrap().hits.len()
    }

    #[test]
    fn all_text_is_indexed_and_the_rest_counted() {
        let (documents, (_folder, library)) = (documents(), library());
        let build = Build::begin(Arc::clone(&library), documents.path().to_owned(), ONCE).unwrap();
        let mut seen = Vec::new();
        let contents = build
            .run(&mut |progress| {
                seen.push((progress.phase, progress.current_file.clone()));
                ControlFlow::Continue(())
            })
            .unwrap();
        assert!(contents.complete);
        assert_eq!((contents.files, contents.bytes), (3, 14 + 12 + 19));
        assert_eq!(contents.skipped, Skipped { binary: 1, too_large: 1, unreadable: 0 });
        assert_eq!(hits(&library, "albatross"), 2);
        let phases = |phase| seen.iter().filter(|(seen, _)| *seen == phase).count();
        assert_eq!((phases(Phase::Counting), phases(Phase::Indexing)), (5, 5));
        assert!(phases(Phase::Merging) > 0);
        assert_eq!(seen[8].1, "sub/d.txt");
    }

    #[test]
    fn what_is_committed_is_found_while_the_index_grows() {
        let (documents, (_folder, library)) = (documents(), library());
        let build = Build::begin(Arc::clone(&library), documents.path().to_owned(), EVERY_FILE).unwrap();
        let mut found = Vec::new();
        let observe = &mut |progress: &Progress| {
            if progress.phase == Phase::Indexing {
                let contents = library.snapshot().contents.unwrap();
                found.push((hits(&library, "albatross"), contents.complete, progress.searchable));
            }
            ControlFlow::Continue(())
        };
        build.run(observe).unwrap();
        assert_eq!(found, [(0, false, 0), (1, false, 1), (1, false, 1), (1, false, 2), (2, false, 3)]);
        assert!(library.snapshot().contents.unwrap().complete);
    }

    #[test]
    fn told_to_stop_it_keeps_what_it_has_and_says_that_it_is_not_all() {
        let (documents, (folder, library)) = (documents(), library());
        let build = Build::begin(Arc::clone(&library), documents.path().to_owned(), ONCE).unwrap();
        let contents = build
            .run(&mut |progress| match progress.files_done {
                3 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            })
            .unwrap();
        assert!(!contents.complete);
        assert_eq!(hits(&library, "albatross"), 1);
        drop(library);
        // Opened again, as by an agent that is started again.
        let library = Library::open(folder.path()).unwrap();
        assert_eq!(library.snapshot().contents, Some(contents));
        assert_eq!(hits(&library, "cormorant"), 1);
    }

    #[test]
    fn told_to_stop_while_it_merges_it_has_everything_and_makes_room_for_the_next() {
        let (documents, (_folder, library)) = (documents(), library());
        for n in 0..8 {
            fs::write(documents.path().join(format!("{n}.txt")), "an auk\n").unwrap();
        }
        let build = Build::begin(Arc::clone(&library), documents.path().to_owned(), EVERY_FILE).unwrap();
        let contents = build
            .run(&mut |progress| match progress.phase {
                Phase::Merging => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            })
            .unwrap();
        assert!(contents.complete);
        assert_eq!(library.snapshot().searcher.num_docs(), 11);
        let build = Build::begin(Arc::clone(&library), documents.path().to_owned(), ONCE).unwrap();
        assert!(build.run(&mut |_| ControlFlow::Continue(())).unwrap().complete);
        assert_eq!(library.snapshot().searcher.num_docs(), 11);
    }

    #[test]
    fn work_that_asks_nobody_is_interrupted_at_the_first_no() {
        let (interrupt, interrupted) = std::sync::mpsc::channel();
        let mut asked = 0;
        let ask = || {
            asked += 1;
            if asked < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let result = attend(move || interrupted.recv(), ask, || interrupt.send("stop").unwrap());
        assert_eq!((result, asked), (Ok("stop"), 3));
    }

    #[test]
    fn work_that_is_done_is_not_interrupted() {
        let result = attend(|| 7, || ControlFlow::Continue(()), || panic!("there is nothing to interrupt"));
        assert_eq!(result, 7);
    }

    #[test]
    fn another_folder_takes_the_place_of_the_first() {
        let (documents, (_folder, library)) = (documents(), library());
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("f.txt"), "a pelican").unwrap();
        for folder in [documents.path(), other.path()] {
            let build = Build::begin(Arc::clone(&library), folder.to_owned(), ONCE).unwrap();
            build.run(&mut |_| ControlFlow::Continue(())).unwrap();
        }
        assert_eq!((hits(&library, "albatross"), hits(&library, "pelican")), (0, 1));
        assert_eq!(library.snapshot().contents.unwrap().folder, other.path());
    }
}

//! What is too large for the database, or grows: the bodies of answers and of requests, each in a
//! file of its own.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agentcore_protocol::InvocationId;
use agentcore_sandbox::remove_file_if_there;
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

/// Name of the folder in the state folder.
const FOLDER: &str = "invocations";

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Request,
    Answer,
}

impl Part {
    const ALL: [Self; 2] = [Self::Request, Self::Answer];

    const fn extension(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Answer => "answer",
        }
    }
}

/// The folder of those files. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    folder: Arc<Path>,
}

impl Files {
    /// The files in the state folder `state`.
    pub(crate) fn open(state: &Path) -> io::Result<Self> {
        let folder = state.join(FOLDER);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        sync_folder(state)?;
        Ok(Self { folder: folder.into() })
    }

    fn path(&self, id: InvocationId, part: Part) -> PathBuf {
        self.folder.join(format!("{id}.{}", part.extension()))
    }

    /// A new file, which outlives a loss of power from now on. What was in it is gone.
    pub(crate) async fn create(&self, id: InvocationId, part: Part) -> io::Result<Arc<File>> {
        let (path, folder) = (self.path(id, part), self.folder.clone());
        blocking(move || create(&path, &folder)).await
    }

    /// A new file that is on disk from now on, too, and removed again unless somebody claims it.
    pub(crate) async fn create_unclaimed(
        &self,
        id: InvocationId,
        part: Part,
    ) -> io::Result<(Arc<File>, Unclaimed)> {
        let (path, folder) = (self.path(id, part), self.folder.clone());
        // Made with the file: whoever asked for it may be gone before either is there.
        blocking(move || create(&path, &folder).map(|file| (file, Unclaimed(Some(path))))).await
    }

    /// A file that is there, to be read, with its length.
    pub(crate) async fn read(&self, id: InvocationId, part: Part) -> io::Result<(Arc<File>, u64)> {
        let path = self.path(id, part);
        blocking(move || {
            let file = File::open(path)?;
            let length = file.metadata()?.len();
            Ok((Arc::new(file), length))
        })
        .await
    }

    /// How long the answer is that an earlier host left, all of which is on disk from now on.
    pub(crate) async fn settle(&self, id: InvocationId) -> io::Result<u64> {
        let (file, length) = match self.read(id, Part::Answer).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            found => found?,
        };
        sync(&file).await?;
        Ok(length)
    }

    /// Removes the files of an invocation, if there are any.
    pub(crate) async fn remove(&self, id: InvocationId, parts: &'static [Part]) {
        let files = self.clone();
        let removed = blocking(move || {
            for part in parts {
                remove_file_if_there(&files.path(id, *part))?;
            }
            Ok(())
        });
        if let Err(error) = removed.await {
            // The next start of a host finds it again.
            tracing::warn!(invocation.id = %id, error = %error, "cannot remove a file of an invocation");
        }
    }

    /// The invocations that have files, in portions.
    pub(crate) async fn owners(&self, most: usize) -> io::Result<Vec<Vec<InvocationId>>> {
        let folder = self.folder.clone();
        blocking(move || {
            let mut owners = Vec::new();
            for entry in fs::read_dir(folder)? {
                let name = entry?.file_name();
                let id = name.to_str().and_then(|name| name.split_once('.')).map(|(id, _)| id.parse());
                if let Some(Ok(id)) = id {
                    owners.push(id);
                }
            }
            Ok(owners.chunks(most).map(<[_]>::to_vec).collect())
        })
        .await
    }
}

/// A file that nobody answers for yet. It goes with this, however that goes.
#[must_use = "the file is removed with it"]
pub(crate) struct Unclaimed(Option<PathBuf>);

impl Unclaimed {
    /// Somebody answers for the file from now on.
    pub(crate) fn claim(mut self) {
        self.0 = None;
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        let Some(path) = self.0.take() else { return };
        let remove = move || {
            if let Err(error) = fs::remove_file(path) {
                // The next start of a host finds it again.
                tracing::warn!(error = %error, "cannot remove the payload of a request that was not accepted");
            }
        };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

/// Every part there is.
pub(crate) const EVERY_PART: &[Part] = &Part::ALL;
/// What is of no use once an agent has the request.
pub(crate) const REQUEST: &[Part] = &[Part::Request];

/// Writes at a position; it is on disk once [`sync`] has returned.
pub(crate) async fn write_at(file: &Arc<File>, at: u64, pieces: Vec<Bytes>) -> io::Result<()> {
    let file = file.clone();
    blocking(move || {
        let mut at = at;
        for piece in pieces {
            file.write_all_at(&piece, at)?;
            at += piece.len() as u64;
        }
        Ok(())
    })
    .await
}

/// Returns once what was written is on disk.
pub(crate) async fn sync(file: &Arc<File>) -> io::Result<()> {
    let file = file.clone();
    blocking(move || file.sync_data()).await
}

/// What is at a position, up to `most` bytes.
pub(crate) async fn read_at(file: &Arc<File>, at: u64, most: usize) -> io::Result<Bytes> {
    let file = file.clone();
    blocking(move || {
        let mut buffer = vec![0; most];
        let read = file.read_at(&mut buffer, at)?;
        if read == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer.truncate(read);
        Ok(buffer.into())
    })
    .await
}

fn create(path: &Path, folder: &Path) -> io::Result<Arc<File>> {
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(true).read(true).write(true).mode(0o600).open(path)?;
    sync_folder(folder)?;
    Ok(Arc::new(file))
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

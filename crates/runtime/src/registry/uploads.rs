//! Uploads that nobody needs any more.
//!
//! An upload is needed while a version of a runtime or a living session has its code in it. One that is
//! not goes after a while, which lets a client register what it has just uploaded. A host removes what
//! it unpacked itself, and no folder of another host on the same code root.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use agentcore_sandbox::{remove_file_if_there, remove_tree};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::upload::{FRESH, UPLOADS};
use super::{CodeRoot, Registry, Runtime};

/// How often uploads are looked at.
const INTERVAL: Duration = Duration::from_secs(60);
/// For how long those of a deleted agent stay: until a session that just begins is known to live.
const SOON: Duration = Duration::from_secs(30);
/// What a name ends in that says which host unpacked the upload beside it.
const MARK: &str = ".host";
/// What the name of an upload begins with that is being removed.
const DOOMED: &str = ".old-";

/// The uploads of a host.
pub(crate) struct Uploads {
    root: CodeRoot,
    /// What this host writes into its marks.
    host: String,
    /// How long an upload stays that nobody needs.
    age: Duration,
    /// When those go that nobody needed when they were looked at last.
    due: Mutex<HashMap<PathBuf, Instant>>,
}

impl Uploads {
    /// Those below `root`, of the host whose state is in `state`.
    pub(crate) fn new(root: CodeRoot, state: &Path, age: Duration) -> Self {
        Self { root, host: state.to_string_lossy().into_owned(), age, due: Mutex::default() }
    }

    pub(super) fn root(&self) -> &CodeRoot {
        &self.root
    }

    /// Says that this host has unpacked the upload at `prefix`. Blocks.
    pub(crate) fn mark(&self, prefix: &str) -> io::Result<()> {
        let Some(root) = self.root.folder() else { return Ok(()) };
        fs::write(root.join(format!("{prefix}{MARK}")), &self.host)
    }

    /// An upload is about to be used, by its prefix: its time begins anew.
    pub(crate) fn spare(&self, prefix: &str) {
        if let Some(root) = self.folder() {
            self.due().insert(root.join(prefix), Instant::now() + self.age);
        }
    }

    /// A runtime was deleted: what it alone needed goes soon.
    pub(super) fn release(&self, runtime: &Runtime) {
        let Some(root) = self.folder() else { return };
        let mut due = self.due();
        for version in runtime.versions.values() {
            if let Some(upload) = upload_of(&root, &version.definition.code) {
                due.insert(upload, Instant::now() + SOON);
            }
        }
    }

    /// Whether the time of an upload that nobody needs has come.
    fn is_due(&self, upload: &Path) -> bool {
        let now = Instant::now();
        *self.due().entry(upload.to_owned()).or_insert(now + self.age) <= now
    }

    fn due(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, Instant>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The code root as agents' definitions have it: without links.
    fn folder(&self) -> Option<PathBuf> {
        self.root.folder()?.canonicalize().ok()
    }

    /// The uploads of this host, and what was left half made or half removed. Blocks.
    fn own(&self) -> Vec<PathBuf> {
        let Some(root) = self.folder() else { return Vec::new() };
        let agents = entries(&root.join(UPLOADS));
        agents.iter().flat_map(|agent| entries(agent)).filter_map(|path| self.owned(&path)).collect()
    }

    fn owned(&self, path: &Path) -> Option<PathBuf> {
        let name = path.file_name()?.to_str()?;
        if name.starts_with(FRESH) || name.starts_with(DOOMED) {
            return Some(path.to_owned());
        }
        let upload = name.strip_suffix(MARK)?;
        (fs::read_to_string(path).ok()? == self.host).then(|| path.with_file_name(upload))
    }
}

impl Registry {
    /// Removes uploads that nobody needs any more, now and then, for ever.
    pub(crate) async fn keep_uploads_tidy(&self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            self.tidy_uploads().await;
        }
    }

    async fn tidy_uploads(&self) {
        let uploads = self.uploads.clone();
        let own = spawn_blocking(move || uploads.own()).await.unwrap_or_default();
        // Those that never came to be, too, have a time.
        self.uploads.due().retain(|upload, _| own.contains(upload));
        for upload in own {
            if self.needs(&upload) {
                self.uploads.due().remove(&upload);
            } else if self.uploads.is_due(&upload)
                && let Err(error) = self.remove_upload(&upload).await
            {
                tracing::warn!(folder = %upload.display(), error = %error, "cannot remove an upload");
            }
        }
    }

    async fn remove_upload(&self, upload: &Path) -> io::Result<()> {
        let doomed = {
            // Whoever registers something finds the upload there, or not at all.
            let _one_at_a_time = self.changing.lock().await;
            if self.needs(upload) || !self.uploads.is_due(upload) {
                return Ok(());
            }
            set_aside(upload)?
        };
        self.uploads.due().remove(upload);
        tracing::info!(folder = %upload.display(), "removing an upload that nobody needs");
        let removed = spawn_blocking(move || remove_tree(&doomed)).await;
        removed.unwrap_or_else(|error| Err(error.into()))
    }

    /// Whether a version or a living session has its code there. A session that an earlier host began may
    /// have it anywhere.
    fn needs(&self, upload: &Path) -> bool {
        let catalogue = self.catalogue();
        let mut versions = catalogue.runtimes().flat_map(|runtime| runtime.versions.values());
        versions.any(|version| version.definition.code.starts_with(upload))
            || self
                .manager
                .living()
                .iter()
                .any(|session| session.code.as_deref().is_none_or(|code| code.starts_with(upload)))
    }
}

/// Takes an upload out of sight at once, with its mark.
fn set_aside(upload: &Path) -> io::Result<PathBuf> {
    let name = upload.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let doomed = match name.starts_with(DOOMED) {
        true => upload.to_owned(),
        false => upload.with_file_name(format!("{DOOMED}{name}")),
    };
    match fs::rename(upload, &doomed) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    remove_file_if_there(&upload.with_file_name(format!("{name}{MARK}")))?;
    Ok(doomed)
}

/// The upload that a path is in.
fn upload_of(root: &Path, path: &Path) -> Option<PathBuf> {
    let uploads = root.join(UPLOADS);
    let mut inside = path.strip_prefix(&uploads).ok()?.components();
    Some(uploads.join(inside.next()?).join(inside.next()?))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(Result::ok).map(|entry| entry.path()).collect()
}

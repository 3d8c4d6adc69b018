//! What a stopped incarnation leaves behind in its folder, and what of it is kept.

use std::io;
use std::path::Path;

use agentcore_sandbox::remove_tree;
use tokio::task::spawn_blocking;

/// What goes with the incarnation. Its logs and its exit stay until the record goes.
const PERISHABLE: [&str; 3] = ["work", "home", "tmp"];
/// What goes as soon as all that it says is in the store.
const JOURNAL: &str = "journal";

/// Clears the folder of an incarnation that has stopped. Its end and its tasks `are_recorded`, or else
/// the next host reads the journal again.
pub(in crate::session) async fn clear(folder: &Path, are_recorded: bool) {
    let doomed = folder.to_owned();
    let cleared = spawn_blocking(move || clear_now(&doomed, are_recorded)).await;
    if let Ok(Err(error)) = cleared {
        tracing::warn!(folder = %folder.display(), error = %error, "cannot clean up");
    }
}

fn clear_now(folder: &Path, are_recorded: bool) -> io::Result<()> {
    let journal = are_recorded.then_some(JOURNAL);
    PERISHABLE.into_iter().chain(journal).try_for_each(|name| remove_tree(&folder.join(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn left_of_a_folder(are_recorded: bool) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for name in ["work", "home", "tmp", "journal", "log"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            std::fs::write(folder.path().join(name).join("file"), "x").unwrap();
        }
        clear(folder.path(), are_recorded).await;
        let left = std::fs::read_dir(folder.path()).unwrap();
        let mut left: Vec<_> =
            left.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        left.sort_unstable();
        left
    }

    #[tokio::test]
    async fn a_stopped_incarnation_keeps_its_logs() {
        assert_eq!(left_of_a_folder(true).await, ["log"]);
    }

    #[tokio::test]
    async fn a_journal_stays_until_what_it_says_is_on_record() {
        assert_eq!(left_of_a_folder(false).await, ["journal", "log"]);
    }
}

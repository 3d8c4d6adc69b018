//! The files of a folder, and the text in them.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;
use serde::{Deserialize, Serialize};

/// The largest file that is read. What is larger is data more often than text.
pub const MAX_FILE_BYTES: u64 = 1 << 20;

/// A file that may be worth reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where.
    pub path: PathBuf,
    /// How large.
    pub bytes: u64,
}

/// Why a file is not indexed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// It holds a zero byte, so it is no text.
    Binary,
    /// It is larger than [`MAX_FILE_BYTES`].
    TooLarge,
    /// It cannot be opened or read, or is gone.
    Unreadable,
}

/// How many files were not indexed, and why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// See [`Skip::Binary`].
    pub binary: u64,
    /// See [`Skip::TooLarge`].
    pub too_large: u64,
    /// See [`Skip::Unreadable`].
    pub unreadable: u64,
}

impl Skipped {
    /// Counts a file.
    pub fn count(&mut self, why: Skip) {
        match why {
            Skip::Binary => self.binary += 1,
            Skip::TooLarge => self.too_large += 1,
            Skip::Unreadable => self.unreadable += 1,
        }
    }
}

/// The files below `folder`, in the order of their names. Hidden ones are left out, and those that
/// a repository ignores; links are not followed, so the walk stays in the folder and has an end.
pub fn files(folder: &Path) -> impl Iterator<Item = Result<Found, Skip>> + use<> {
    let walk = WalkBuilder::new(folder)
        .parents(false) // what lies above the folder has no say about it
        .sort_by_file_name(Ord::cmp)
        .build();
    walk.filter_map(|entry| {
        let Ok(entry) = entry else { return Some(Err(Skip::Unreadable)) };
        // Pipes and devices are no files: reading one could take for ever.
        if !entry.file_type().is_some_and(|kind| kind.is_file()) {
            return None;
        }
        let found = |bytes| Found { path: entry.path().to_owned(), bytes };
        Some(entry.metadata().map(|metadata| found(metadata.len())).map_err(|_| Skip::Unreadable))
    })
}

/// The text of a file. What is no UTF-8 in it becomes U+FFFD.
///
/// # Errors
/// The file is not worth indexing, or cannot be read.
pub fn read_text(path: &Path) -> Result<String, Skip> {
    let file = File::open(path).map_err(|_| Skip::Unreadable)?;
    let mut bytes = Vec::new();
    // It may have grown since it was found.
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|_| Skip::Unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Skip::TooLarge);
    }
    if memchr::memchr(0, &bytes).is_some() {
        return Err(Skip::Binary);
    }
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_walk_stays_in_the_folder_and_leaves_hidden_files_out() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "x").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("b/.git")).unwrap();
        for name in ["a.txt", "b/c.rs", "b/.git/HEAD", ".hidden"] {
            fs::write(at(name), "text").unwrap();
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(outside.path(), at("link")).unwrap();
            std::os::unix::fs::symlink(folder.path(), at("b/loop")).unwrap();
            nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        }
        let paths: Vec<_> = files(folder.path()).map(|found| found.unwrap().path).collect();
        assert_eq!(paths, [at("a.txt"), at("b/c.rs")]);
    }

    #[test]
    fn only_text_of_a_bounded_size_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let read = |bytes: &[u8]| {
            let path = folder.path().join("file");
            fs::write(&path, bytes).unwrap();
            read_text(&path)
        };
        assert_eq!(read("naïve".as_bytes()), Ok("naïve".into()));
        assert_eq!(read(b"na\xefve"), Ok("na\u{fffd}ve".into()));
        assert_eq!(read(b"\x7fELF\0\0"), Err(Skip::Binary));
        assert_eq!(read(&vec![b'x'; MAX_FILE_BYTES as usize]).map(|text| text.len()), Ok(1 << 20));
        assert_eq!(read(&vec![b'x'; MAX_FILE_BYTES as usize + 1]), Err(Skip::TooLarge));
        assert_eq!(read_text(&folder.path().join("gone")), Err(Skip::Unreadable));
    }
}

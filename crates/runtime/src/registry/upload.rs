//! Code that somebody uploaded: an archive of theirs becomes a folder below the code root.
//!
//! Whoever made the archive is not trusted to have made it well. What it holds is written into a fresh
//! folder, file by file, and renamed into its place once all of it is there.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use flate2::read::GzDecoder;
use tar::{Archive, EntryType};

/// The folder below the code root that has all uploads.
pub(super) const UPLOADS: &str = "uploads";
/// What the name of a folder begins with that is not whole yet.
pub(super) const FRESH: &str = ".new-";
/// Most files and folders of an archive.
const MOST_ENTRIES: usize = 50_000;
/// Most bytes of its files.
const MOST_BYTES: u64 = 1 << 30;

/// Why an archive is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    #[error("the archive cannot be read as tar in gzip: {0}")]
    Unreadable(io::Error),
    #[error("{0:?} in the archive would be outside of its folder")]
    Outside(PathBuf),
    #[error("{0:?} in the archive is neither a file nor a folder: links and devices are not taken")]
    NoFile(PathBuf),
    #[error("{0:?} is in the archive twice, or once as a file and once as a folder")]
    Twice(PathBuf),
    #[error("the archive has more than {MOST_ENTRIES} files and folders")]
    TooMany,
    #[error("what is in the archive has more than {MOST_BYTES} bytes")]
    TooLarge,
    #[error("the code root cannot be written: {0}")]
    Root(#[source] io::Error),
}

/// The prefix under which an upload is found below the code root: one for each content.
pub(crate) fn prefix(agent: &str, sha256: &str) -> String {
    format!("{UPLOADS}/{agent}/{sha256}")
}

/// Unpacks an archive into `prefix` below `root`. Whether it was not there before. Blocks.
pub(crate) fn unpack(archive: impl Read, root: &Path, prefix: &str) -> Result<bool, UploadError> {
    let place = root.join(prefix);
    if place.is_dir() {
        return Ok(false);
    }
    let parent = place.parent().unwrap_or(root);
    fs::create_dir_all(parent).map_err(UploadError::Root)?;
    let fresh = tempfile::Builder::new().prefix(FRESH).tempdir_in(parent).map_err(UploadError::Root)?;
    let content = fresh.path().join("content");
    fs::create_dir(&content).map_err(UploadError::Root)?;
    unpack_into(archive, &content)?;
    match fs::rename(&content, &place) {
        Ok(()) => Ok(true),
        // Somebody else has uploaded the same meanwhile.
        Err(_) if place.is_dir() => Ok(false),
        Err(error) => Err(UploadError::Root(error)),
    }
}

fn unpack_into(archive: impl Read, folder: &Path) -> Result<(), UploadError> {
    // The end of what is decompressed, whatever the entries claim: headers are bytes too.
    let bounded = GzDecoder::new(archive).take(MOST_BYTES + MOST_ENTRIES as u64 * 2_048);
    let mut archive = Archive::new(bounded);
    let (mut entries, mut bytes) = (0, 0);
    for entry in archive.entries().map_err(UploadError::Unreadable)? {
        let mut entry = entry.map_err(UploadError::Unreadable)?;
        entries += 1;
        if entries > MOST_ENTRIES {
            return Err(UploadError::TooMany);
        }
        let named = entry.path().map_err(UploadError::Unreadable)?.into_owned();
        let path = folder.join(inside(&named)?);
        match entry.header().entry_type() {
            EntryType::Directory => make_folder(&path, &named)?,
            EntryType::Regular => {
                bytes += entry.size();
                if bytes > MOST_BYTES {
                    return Err(UploadError::TooLarge);
                }
                if let Some(parent) = path.parent() {
                    make_folder(parent, &named)?;
                }
                let is_program = entry.header().mode().unwrap_or(0) & 0o100 != 0;
                write(&mut entry, &path, is_program, named)?;
            }
            _ => return Err(UploadError::NoFile(named)),
        }
    }
    Ok(())
}

/// The path, if it goes nowhere but down.
fn inside(path: &Path) -> Result<PathBuf, UploadError> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            _ => return Err(UploadError::Outside(path.to_owned())),
        }
    }
    Ok(clean)
}

fn make_folder(path: &Path, named: &Path) -> Result<(), UploadError> {
    fs::create_dir_all(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => UploadError::Twice(named.to_owned()),
        _ => UploadError::Root(error),
    })
}

fn write(entry: &mut impl Read, path: &Path, is_program: bool, named: PathBuf) -> Result<(), UploadError> {
    let mode = if is_program { 0o755 } else { 0o644 };
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = file.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => UploadError::Twice(named),
        _ => UploadError::Root(error),
    })?;
    let mut piece = vec![0; 64 * 1024];
    loop {
        match entry.read(&mut piece).map_err(UploadError::Unreadable)? {
            0 => return Ok(()),
            count => file.write_all(&piece[..count]).map_err(UploadError::Root)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tar::{Builder, Header};

    use super::*;

    /// An archive with these entries, whose paths are written as they are.
    fn archive(entries: &[(&str, EntryType, u32, &[u8])]) -> Vec<u8> {
        let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (path, kind, mode, content) in entries {
            let mut header = Header::new_gnu();
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(*mode);
            header.set_size(content.len() as u64);
            if kind.is_symlink() {
                header.set_link_name("/etc").unwrap();
            }
            header.set_cksum();
            builder.append(&header, *content).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    const FILE: EntryType = EntryType::Regular;

    fn refusal(entries: &[(&str, EntryType, u32, &[u8])]) -> String {
        let root = tempfile::tempdir().unwrap();
        let refused = unpack(&archive(entries)[..], root.path(), "uploads/a/x").unwrap_err().to_string();
        let left = fs::read_dir(root.path().join("uploads/a")).unwrap().count();
        assert_eq!(left, 0, "something is left of {entries:?}");
        refused
    }

    #[test]
    fn files_and_programs_arrive_and_the_same_content_is_there_but_once() {
        let root = tempfile::tempdir().unwrap();
        let bytes = archive(&[
            ("./pkg/", EntryType::Directory, 0o777, b""),
            ("./pkg/a.py", FILE, 0o666, b"a = 1"),
            ("bin/run", FILE, 0o4755, b"#!"),
        ]);
        assert!(unpack(&bytes[..], root.path(), "uploads/a/x").unwrap());
        assert!(!unpack(&bytes[..], root.path(), "uploads/a/x").unwrap());
        let place = root.path().join("uploads/a/x");
        assert_eq!(fs::read_to_string(place.join("pkg/a.py")).unwrap(), "a = 1");
        let mode = fs::metadata(place.join("bin/run")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777 & !0o022, 0o755, "no set-user-id");
    }

    #[test]
    fn what_would_leave_its_folder_is_refused() {
        for path in ["../x", "/etc/x", "a/../../x"] {
            assert!(refusal(&[(path, FILE, 0o644, b"x")]).contains("outside"), "{path}");
        }
        for kind in [EntryType::Symlink, EntryType::Link, EntryType::Fifo, EntryType::Char] {
            assert!(refusal(&[("link", kind, 0o777, b"")]).contains("neither a file nor a folder"));
        }
        assert!(refusal(&[("a", FILE, 0o644, b"1"), ("a", FILE, 0o644, b"2")]).contains("twice"));
        assert!(refusal(&[("a", FILE, 0o644, b"1"), ("a/b", FILE, 0o644, b"2")]).contains("twice"));
    }

    #[test]
    fn what_is_no_archive_or_cut_short_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let bytes = archive(&[("a", FILE, 0o644, &[7; 100_000])]);
        for bad in [&b"nothing"[..], &bytes[..bytes.len() / 2]] {
            let refused = unpack(bad, root.path(), "uploads/a/x").unwrap_err();
            assert!(matches!(refused, UploadError::Unreadable(_)), "{refused}");
        }
    }

    #[test]
    fn a_bomb_is_refused_by_what_it_claims() {
        let mut header = Header::new_gnu();
        header.set_path("bomb").unwrap();
        header.set_size(MOST_BYTES + 1);
        header.set_entry_type(FILE);
        header.set_cksum();
        let mut zipped = GzEncoder::new(Vec::new(), Compression::fast());
        zipped.write_all(header.as_bytes()).unwrap();
        let root = tempfile::tempdir().unwrap();
        let refused = unpack(&zipped.finish().unwrap()[..], root.path(), "uploads/a/x").unwrap_err();
        assert!(matches!(refused, UploadError::TooLarge), "{refused}");
    }
}

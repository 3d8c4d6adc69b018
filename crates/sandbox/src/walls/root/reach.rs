//! Where a path leads.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// As many as the kernel follows.
const MOST_LINKS: usize = 40;

/// The end of a path, and the links that are followed to it.
pub(super) struct Reached {
    pub(super) end: PathBuf,
    /// Where each link is, and where it leads.
    pub(super) links: Vec<(PathBuf, PathBuf)>,
}

/// Follows an absolute path to what is there.
pub(super) fn reach(path: &Path) -> io::Result<Reached> {
    let mut ahead: VecDeque<OsString> = names(path).collect();
    let (mut end, mut links) = (PathBuf::from("/"), Vec::new());
    while let Some(name) = ahead.pop_front() {
        if name == ".." {
            end.pop();
            continue;
        }
        let next = end.join(&name);
        if !fs::symlink_metadata(&next)?.is_symlink() {
            end = next;
            continue;
        }
        if links.len() == MOST_LINKS {
            return Err(io::Error::from_raw_os_error(libc::ELOOP));
        }
        let to = fs::read_link(&next)?;
        if to.is_absolute() {
            end = PathBuf::from("/");
        }
        for name in names(&to).collect::<Vec<_>>().into_iter().rev() {
            ahead.push_front(name);
        }
        links.push((next, to));
    }
    Ok(Reached { end, links })
}

fn names(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    })
}

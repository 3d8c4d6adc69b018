//! What a host has asked the disk for, as `strace` saw it, and what of it is left when the power
//! fails.
//!
//! A write is safe once a sync of its file that began after it has returned; a name in a folder once
//! a sync of the folder has. Of anything else nothing need be left.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// The system calls that are needed to tell.
pub(super) const CALLS: &str = "trace=openat,lseek,write,pwrite64,writev,sendto,sendmsg,fsync,fdatasync,ftruncate,\
                                unlink,unlinkat,rename,renameat,close";

/// One thing that happened, in the order in which it ended.
#[derive(Debug)]
pub(super) enum Happened {
    /// A file was opened that was to be made if it was not there.
    Made {
        path: PathBuf,
        emptied: bool,
    },
    Wrote {
        path: PathBuf,
        at: usize,
        bytes: Vec<u8>,
    },
    Cut {
        path: PathBuf,
        length: usize,
    },
    Removed {
        path: PathBuf,
    },
    /// The sync covers what had ended when it began: so many of the things that happened.
    Synced {
        path: PathBuf,
        began: usize,
    },
    /// Something was said to a caller.
    Said {
        bytes: Vec<u8>,
    },
}

/// Reads what strace wrote, of the files below `folder` and of sockets.
pub(super) fn read(text: &str, folder: &Path) -> Vec<Happened> {
    let mut happened = Vec::new();
    let mut unfinished: HashMap<&str, (String, usize)> = HashMap::new();
    let mut positions = HashMap::new();
    for line in text.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        let (call, began) = if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
            unfinished.insert(thread, (begun.to_owned(), happened.len()));
            continue;
        } else if let Some(resumed) = rest.strip_prefix("<... ") {
            let Some((begun, began)) = unfinished.remove(thread) else { continue };
            let Some((_, end)) = resumed.split_once("resumed>") else { continue };
            (begun + end, began)
        } else {
            (rest.to_owned(), happened.len())
        };
        if let Some(one) = understand(&call, began, folder, &mut positions) {
            happened.push(one);
        }
    }
    happened
}

/// One call that has ended, if it succeeded and matters.
fn understand(
    call: &str,
    began: usize,
    folder: &Path,
    positions: &mut HashMap<String, usize>,
) -> Option<Happened> {
    let (name, rest) = call.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    // Results stand in a column of their own.
    let arguments = arguments.trim_end();
    let result = result.split(['<', ' ']).next()?.parse::<usize>().ok()?;
    let descriptor = arguments.split([',', ')']).next()?.trim();
    let path = opened(descriptor);
    let is_ours = |path: &Path| path.starts_with(folder);
    match name {
        "openat" => {
            let path = PathBuf::from(text(&strings(arguments).next()?));
            positions.insert(call.rsplit_once(" = ")?.1.to_owned(), 0);
            let flags = arguments.rsplit_once('"')?.1;
            let made = is_ours(&path) && flags.contains("O_CREAT");
            made.then(|| Happened::Made { path, emptied: flags.contains("O_TRUNC") })
        }
        "lseek" => {
            positions.insert(descriptor.to_owned(), result);
            None
        }
        "fsync" | "fdatasync" => {
            path.filter(|path| is_ours(path)).map(|path| Happened::Synced { path, began })
        }
        "ftruncate" => {
            let path = path.filter(|path| is_ours(path))?;
            let length = arguments.split(',').nth(1)?.trim().trim_end_matches(')').parse().ok()?;
            Some(Happened::Cut { path, length })
        }
        "unlink" | "unlinkat" => {
            let path = PathBuf::from(text(&strings(arguments).next()?));
            is_ours(&path).then_some(Happened::Removed { path })
        }
        "pwrite64" => {
            let path = path.filter(|path| is_ours(path))?;
            let at = arguments.trim_end_matches(')').rsplit(',').next()?.trim().parse().ok()?;
            let bytes = strings(arguments).next()?[..result].to_vec();
            Some(Happened::Wrote { path, at, bytes })
        }
        "write" | "writev" | "sendto" | "sendmsg" => {
            let bytes: Vec<u8> = strings(arguments).flatten().collect();
            match path.filter(|path| is_ours(path)) {
                Some(path) => {
                    let position = positions.entry(descriptor.to_owned()).or_default();
                    let at = *position;
                    *position += result;
                    Some(Happened::Wrote { path, at, bytes: bytes[..result].to_vec() })
                }
                None => is_said(&bytes).then_some(Happened::Said { bytes }),
            }
        }
        _ => None,
    }
}

/// Whether it is the beginning of an answer, or the number of an item.
fn is_said(bytes: &[u8]) -> bool {
    bytes.starts_with(b"HTTP/1.1") || bytes.windows(5).any(|window| window == b"\nid: ")
}

/// The path of a descriptor, which stands in angle brackets behind it.
fn opened(descriptor: &str) -> Option<PathBuf> {
    let path = descriptor.split_once('<')?.1.strip_suffix('>')?;
    Some(PathBuf::from(text(&unescaped(path))))
}

/// The strings among the arguments.
fn strings(arguments: &str) -> impl Iterator<Item = Vec<u8>> {
    arguments.split('"').skip(1).step_by(2).map(unescaped)
}

/// `\x61\x62`: every byte is written so.
fn unescaped(escaped: &str) -> Vec<u8> {
    let digits = escaped.split("\\x").skip(1);
    digits.filter_map(|digits| u8::from_str_radix(digits.get(..2)?, 16).ok()).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a disk holds of one file.
#[derive(Default, Clone)]
struct File {
    content: Vec<u8>,
    /// What is not synced: when it happened, and what.
    pending: Vec<(usize, Change)>,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Cut(usize),
}

/// What is left when the power fails after the first `count` things. Of what was not synced, each is
/// left where `survives` says so.
pub(super) fn left_after(
    happened: &[Happened],
    count: usize,
    mut survives: impl FnMut() -> bool,
) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files: BTreeMap<PathBuf, File> = BTreeMap::new();
    // Names that were made or removed, and are not synced.
    let mut names: Vec<(usize, PathBuf, bool)> = Vec::new();
    let mut named: BTreeMap<PathBuf, bool> = BTreeMap::new();
    for (index, one) in happened[..count].iter().enumerate() {
        match one {
            Happened::Made { path, emptied } => {
                let file = files.entry(path.clone()).or_insert_with(|| {
                    names.push((index, path.clone(), true));
                    File::default()
                });
                if *emptied {
                    file.pending.push((index, Change::Cut(0)));
                }
            }
            Happened::Wrote { path, at, bytes } => {
                let file = files.entry(path.clone()).or_default();
                file.pending.push((index, Change::Write(*at, bytes.clone())));
            }
            Happened::Cut { path, length } => {
                files.entry(path.clone()).or_default().pending.push((index, Change::Cut(*length)));
            }
            Happened::Removed { path } => names.push((index, path.clone(), false)),
            Happened::Synced { path, began } => {
                if let Some(file) = files.get_mut(path) {
                    file.settle(|at| at < *began);
                }
                names.retain(|(at, name, there)| {
                    let is_synced = name.parent() == Some(path) && at < began;
                    if is_synced {
                        named.insert(name.clone(), *there);
                    }
                    !is_synced
                });
            }
            Happened::Said { .. } => {}
        }
    }
    for (_, name, there) in names {
        if survives() {
            named.insert(name, there);
        }
    }
    let there = files.into_iter().filter(|(path, _)| named.get(path) == Some(&true));
    there
        .map(|(path, mut file)| {
            file.settle(|_| survives());
            (path, file.content)
        })
        .collect()
}

impl File {
    fn settle(&mut self, mut is_settled: impl FnMut(usize) -> bool) {
        let pending = std::mem::take(&mut self.pending);
        for (at, change) in pending {
            if is_settled(at) {
                self.apply(&change);
            } else {
                self.pending.push((at, change));
            }
        }
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Cut(length) => self.content.resize(*length, 0),
            Change::Write(at, bytes) => {
                let end = at + bytes.len();
                if self.content.len() < end {
                    self.content.resize(end, 0);
                }
                self.content[*at..end].copy_from_slice(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        text.bytes().map(|byte| format!("\\x{byte:02x}")).collect()
    }

    #[test]
    fn only_what_was_synced_in_time_is_left() {
        let (folder, file) = (escaped("/s"), escaped("/s/f"));
        let trace = format!(
            "1 openat(AT_FDCWD<{folder}>, \"{file}\", O_RDWR|O_CREAT, 0600) = 3<{file}>\n\
             1 fsync(4<{folder}>) = 0\n\
             1 pwrite64(3<{file}>, \"{}\", 3, 0) = 3\n\
             2 fdatasync(3<{file}> <unfinished ...>\n\
             1 pwrite64(3<{file}>, \"{}\", 1, 3) = 1\n\
             2 <... fdatasync resumed>) = 0\n\
             1 writev(9<socket:[1]>, [{{iov_base=\"{}\", iov_len=12}}], 1) = 12\n",
            escaped("abc"),
            escaped("d"),
            escaped("HTTP/1.1 202"),
        );
        let happened = read(&trace, Path::new("/s"));
        assert!(matches!(happened.last(), Some(Happened::Said { .. })), "{happened:?}");
        let left = |count, survives| {
            let left = left_after(&happened, count, || survives);
            left.get(Path::new("/s/f")).map(|content| text(content))
        };
        assert_eq!(left(1, false), None, "its name is not synced");
        assert_eq!(left(3, false).as_deref(), Some(""));
        assert_eq!(
            left(happened.len(), false).as_deref(),
            Some("abc"),
            "the last byte came after the sync began"
        );
        assert_eq!(left(happened.len(), true).as_deref(), Some("abcd"));
    }
}

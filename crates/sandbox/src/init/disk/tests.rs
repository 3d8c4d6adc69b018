use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use super::look::Look;
use super::*;

const MIB: u64 = 1 << 20;

/// A folder as init makes it.
struct Session(tempfile::TempDir);

impl Session {
    fn new() -> Self {
        let session = Self(tempfile::tempdir().unwrap());
        session.folder().own().iter().for_each(|own| fs::create_dir(own).unwrap());
        session
    }

    fn folder(&self) -> IncarnationFolder {
        IncarnationFolder::new(self.0.path())
    }

    fn work(&self) -> std::path::PathBuf {
        self.folder().work()
    }

    // Other tests of this program have children, too, with deleted files open: they are not this session's.
    fn look(&self, processes: Vec<i32>) -> Look {
        let mut look = Look::begin(&self.folder(), processes);
        while !look.go_on() {}
        look
    }

    fn held(&self) -> Amount {
        self.look(Vec::new()).held()
    }

    fn watch(&self, bytes: u64) -> DiskWatch {
        DiskWatch::new(&self.folder(), None, Some(bytes), Duration::ZERO)
    }
}

fn write(path: &Path, bytes: u64) -> File {
    let mut file = File::create(path).unwrap();
    file.write_all(&vec![1; bytes as usize]).unwrap();
    file.sync_all().unwrap();
    file
}

#[test]
fn what_files_take_counts_and_not_how_long_they_are() {
    let session = Session::new();
    let before = session.held();
    fs::create_dir_all(session.work().join("a/b")).unwrap();
    let file = write(&session.work().join("a/b/file"), 3 * MIB);
    File::create(session.folder().home().join("holes")).unwrap().set_len(1 << 40).unwrap();
    let after = session.held();
    assert_eq!(after.files - before.files, 4);
    let taken = file.metadata().unwrap().blocks() * 512;
    assert!((taken..taken + MIB).contains(&(after.bytes - before.bytes)), "{after:?}");
}

#[test]
fn a_file_with_two_names_counts_once_and_links_are_not_followed() {
    let (session, elsewhere) = (Session::new(), tempfile::tempdir().unwrap());
    write(&elsewhere.path().join("much"), 4 * MIB);
    let before = session.held();
    write(&session.work().join("one"), MIB);
    fs::hard_link(session.work().join("one"), session.folder().home().join("two")).unwrap();
    symlink(elsewhere.path(), session.work().join("folder")).unwrap();
    symlink(elsewhere.path().join("much"), session.work().join("file")).unwrap();
    let after = session.held();
    assert_eq!(after.files - before.files, 3);
    assert!((MIB..2 * MIB).contains(&(after.bytes - before.bytes)), "{after:?}");
}

#[test]
fn an_agents_folder_that_was_replaced_by_a_link_is_not_followed() {
    let (session, elsewhere) = (Session::new(), tempfile::tempdir().unwrap());
    write(&elsewhere.path().join("much"), 4 * MIB);
    fs::remove_dir(session.work()).unwrap();
    symlink(elsewhere.path(), session.work()).unwrap();
    assert!(session.held().bytes < MIB);
}

#[test]
fn a_deleted_file_counts_while_somebody_has_it_open() {
    let session = Session::new();
    let path = session.work().join("deleted");
    let file = write(&path, 5 * MIB);
    fs::remove_file(&path).unwrap();
    let before = session.held();
    let holds = |file: File| Command::new("sleep").arg("1000").stdin(Stdio::from(file)).spawn().unwrap();
    let mut children = [holds(file.try_clone().unwrap()), holds(file)];
    let processes: Vec<_> = children.iter().map(|child| child.id().cast_signed()).collect();
    let all_agents = agents_processes(None);
    let but_for_the_first = agents_processes(Some(processes[0]));
    let after = session.look(processes.clone()).held();
    for child in &mut children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(after.files - before.files, 1);
    assert!((5 * MIB..6 * MIB).contains(&(after.bytes - before.bytes)), "{before:?} {after:?}");
    assert!(processes.iter().all(|pid| all_agents.contains(pid)));
    assert!(!but_for_the_first.contains(&processes[0]) && but_for_the_first.contains(&processes[1]));
}

#[test]
fn a_deleted_file_counts_that_only_a_thread_has_open() {
    const SCRIPT: &str = "
import ctypes, sys, tempfile, threading, time
def hold():
    assert ctypes.CDLL(None).unshare(0x400) == 0
    file = tempfile.TemporaryFile(dir=sys.argv[1])
    file.write(bytes(5 << 20)), file.flush()
    print('held', flush=True)
    time.sleep(1000)
threading.Thread(target=hold).start()
";
    let session = Session::new();
    let before = session.held();
    let mut python = Command::new("/usr/bin/python3");
    let mut child = python.args(["-c", SCRIPT]).arg(session.work()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = [0; 4];
    child.stdout.take().unwrap().read_exact(&mut said).unwrap();
    let after = session.look(vec![child.id().cast_signed()]).held();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!((5 * MIB..6 * MIB).contains(&(after.bytes - before.bytes)), "{before:?} {after:?}");
}

#[test]
fn a_folder_that_its_owner_may_not_look_into_is_opened_up() {
    let session = Session::new();
    let locked = session.work().join("locked");
    fs::create_dir(&locked).unwrap();
    write(&locked.join("file"), MIB);
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o200)).unwrap();
    assert!(session.held().bytes >= MIB);
    assert_eq!(fs::metadata(&locked).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn no_folder_is_so_deep_that_it_is_overlooked() {
    let session = Session::new();
    let mut deep = session.work();
    for _ in 0..300 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    assert!(session.look(Vec::new()).is_too_deep());
    let mut watch = session.watch(u64::MAX);
    assert_eq!(watch.tick(|| Duration::MAX / 2), Found::TooMuch);
}

#[test]
fn a_look_is_taken_in_pieces_and_more_than_may_be_is_said_once() {
    let session = Session::new();
    for number in 0..FEWEST_FILES {
        File::create(session.work().join(number.to_string())).unwrap();
    }
    let mut watch = session.watch(MIB);
    assert_eq!(watch.tick(|| Duration::ZERO), Found::Fine);
    assert!(watch.look.is_none(), "it is not time yet");
    let mut pieces = 0;
    while watch.exceeded().is_none() {
        let due = watch.deadline().unwrap();
        watch.tick(|| due);
        pieces += 1;
    }
    assert!(pieces > 1);
    assert_eq!((watch.exceeded(), watch.deadline()), (Some(MIB), None));
    assert_eq!(watch.tick(|| Duration::MAX), Found::Fine);
}

#[test]
fn without_a_bound_nobody_looks() {
    let session = Session::new();
    let watch = DiskWatch::new(&session.folder(), None, None, Duration::ZERO);
    assert_eq!(watch.deadline(), None);
}

//! The escape suite: attacks from inside a session, on the machine and on another session.
//!
//! [`attacks.py`](attacks.py) and [`bombs.py`](bombs.py) are the attacks. [`scene`] puts up what is
//! attacked and runs them, in a process of its own: as root and as another user, on a machine with a
//! network of its own. [`table`] is what came of it, as docs/SECURITY.md shows it.
//!
//! A suite that finds nothing may be blind. So all attacks are made again with one wall taken out at
//! a time, and each wall has to have been missed.

mod docs;
mod later;
mod scene;
mod table;

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::bench::{INIT_VARIABLE, init};
use crate::lab::{Lab, skipped};

/// A user that nobody is.
const SOMEBODY: u32 = 4_242;

/// What came of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Outcome {
    attempt: String,
    /// The wall that is to stop it.
    wall: String,
    /// `stopped` or `escaped`.
    result: String,
    /// What stopped it, or what was got hold of.
    by: String,
    /// The wall that was taken out before.
    #[serde(default)]
    without: Option<String>,
}

impl Outcome {
    fn escaped(&self) -> bool {
        self.result != "stopped"
    }
}

#[test]
fn nobody_gets_out_as_root_or_as_a_user() {
    let Some(lab) = Lab::new() else { return };
    let root = attack(&lab, None);
    println!("{}", table::in_full("root", &root));
    nobody_gets_out("root", &root);
    if let Some(lack) = what_users_lack() {
        skipped::<()>(&format!("for the attacks as a user: {lack}"));
        return;
    }
    let user = attack(&lab, Some(SOMEBODY));
    println!("{}", table::in_full("a user", &user));
    nobody_gets_out("a user", &user);
    table::compare_with_docs(&root, &user);
}

fn nobody_gets_out(who: &str, outcomes: &[Outcome]) {
    let out: Vec<_> = outcomes.iter().filter(|it| it.without.is_none() && it.escaped()).collect();
    assert!(out.is_empty(), "as {who}, these got out: {out:#?}");
    every_wall_is_missed(who, outcomes);
}

// What a user needs for a network of its own, and does not have here.
fn what_users_lack() -> Option<&'static str> {
    let pasta =
        ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin"].map(|folder| Path::new(folder).join("pasta"));
    if !pasta.iter().any(|program| program.is_file()) {
        return Some("install pasta (package passt)");
    }
    let is_open = fs::metadata("/dev/net/tun").is_ok_and(|it| it.permissions().mode() & 0o6 == 0o6);
    (!is_open).then_some("let everybody write /dev/net/tun (chmod 666)")
}

// With a wall taken out, one of the attacks that it is to stop gets through.
fn every_wall_is_missed(who: &str, outcomes: &[Outcome]) {
    let without = |wall: &str| {
        let escaped = outcomes.iter().filter(|it| it.without.as_deref() == Some(wall) && it.escaped());
        escaped.map(|it| (it.wall.as_str(), it.attempt.as_str())).collect::<BTreeSet<_>>()
    };
    let taken_out: BTreeSet<&str> = outcomes.iter().filter_map(|it| it.without.as_deref()).collect();
    for wall in taken_out {
        let escaped = without(wall);
        let is_missed = match wall {
            // Taken out together with the root, which it stands behind.
            "landlock" => escaped.difference(&without("mount")).next().is_some(),
            // Without limits there are no control groups to be seen.
            "cgroup" if who != "root" => continue,
            // Each of these ways to fill a disk leads there if nobody looks.
            "limits" => {
                outcomes.iter().filter(|it| it.without.as_deref() == Some(wall)).all(|it| it.escaped())
            }
            // A user who is not root cannot become it anyway; but all namespaces go with this one.
            "user" => !escaped.is_empty(),
            wall => escaped.iter().any(|(of, _)| *of == wall),
        };
        assert!(is_missed, "as {who}, no attack is the worse for taking out {wall}: {escaped:?}");
    }
}

/// Makes all attempts as this user, root for `None`.
fn attack(lab: &Lab, user: Option<u32>) -> Vec<Outcome> {
    let place = tempfile::Builder::new().prefix("esc").tempdir_in("/tmp").unwrap();
    let output = suite(lab, user, place.path(), "escape::scene::every_attempt").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let outcomes: Vec<Outcome> = said.lines().filter_map(scene::heard).collect();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !outcomes.is_empty(), "the attacks were cut short:\n{said}\n{errors}");
    outcomes
}

/// A test of this suite on the machine, as this user, with what it is made of in `place`.
fn suite(lab: &Lab, user: Option<u32>, place: &Path, test: &str) -> Command {
    // What is built here may be out of others' sight.
    let (suite, init_copy, temporary) = (place.join("suite"), place.join("init"), place.join("t"));
    fs::copy(std::env::current_exe().unwrap(), &suite).unwrap();
    fs::copy(init(), &init_copy).unwrap();
    fs::create_dir(&temporary).unwrap();
    open_to_all(place);
    let mut command = lab.on_machine();
    if let Some(user) = user {
        chown(&temporary, Some(user), Some(user)).unwrap();
        let id = |kind: &str| format!("--{kind}={user}").into();
        command.extend(["/usr/bin/setpriv".into(), id("reuid"), id("regid"), "--clear-groups".into()]);
    }
    let mut program = Command::new(&command[0]);
    program
        .args(&command[1..])
        .arg(&suite)
        .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
        .current_dir("/")
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("TMPDIR", &temporary)
        .env(INIT_VARIABLE, &init_copy);
    program
}

fn open_to_all(folder: &Path) {
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
}

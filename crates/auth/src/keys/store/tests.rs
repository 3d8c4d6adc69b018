use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::principal::Action;

const NOW: Timestamp = Timestamp::from_unix_millis(1_000);

fn store(folder: &tempfile::TempDir) -> KeyStore {
    KeyStore::open(folder.path(), None).unwrap()
}

#[test]
fn a_key_is_found_until_it_is_revoked_also_by_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let (host, command) = (store(&folder), store(&folder));
    assert!(host.is_empty().unwrap());
    let made = command.create(Some("ci"), Rights::invoke(["writer"]), NOW).unwrap();
    let id = &made.record().id;
    let found = host.find(id).unwrap().unwrap();
    assert_eq!(found.record(), made.record());
    assert_eq!(found.secret().expose(), made.secret().expose());
    assert_eq!(&**found.principal().name(), "key:ci");
    assert!(found.principal().may(Action::Invoke, "writer") && !found.principal().is_operator());
    let other = command.create(None, Rights::operator(), NOW).unwrap();
    assert_eq!(other.record().owner, other.record().id);
    assert_eq!(host.list().unwrap(), [made.record().clone(), other.record().clone()]);
    command.revoke(id).unwrap();
    assert!(host.find(id).unwrap().is_none());
    assert!(matches!(command.revoke(id), Err(KeyError::Unknown(_))));
    assert!(host.find(&other.record().id).unwrap().is_some());
}

#[test]
fn secrets_are_neither_on_disk_nor_in_debug_output() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let key = store.create(None, Rights::operator(), NOW).unwrap();
    let secret = key.secret().expose();
    for file in fs::read_dir(folder.path()).unwrap() {
        let path = file.unwrap().path();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        assert!(!String::from_utf8_lossy(&fs::read(&path).unwrap()).contains(secret), "{}", path.display());
    }
    store.find(&key.record().id).unwrap();
    assert!(!format!("{key:?}{store:?}").contains(secret));
}

#[test]
fn nobody_gets_in_with_a_file_that_was_tampered_with() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let key = store.create(None, Rights::invoke(["writer"]), NOW).unwrap();
    let path = folder.path().join(KEYS_FILE);
    let text = fs::read_to_string(&path).unwrap();
    for (from, to) in
        [("\"operator\": false", "\"operator\": true"), ("\"writer\"", "\"*\""), ("\"AKAC", "\"AKAD")]
    {
        let changed = text.replace(from, to);
        assert_ne!(changed, text);
        file::write_private(&path, changed.as_bytes()).unwrap();
        assert!(matches!(store.find(&key.record().id), Err(KeyError::Sealed(_))), "{from}");
    }
    file::write_private(&path, b"{}").unwrap();
    assert!(matches!(store.find(&key.record().id), Err(KeyError::Unreadable { .. })));
    file::write_private(&path, text.as_bytes()).unwrap();
    assert!(store.find(&key.record().id).unwrap().is_some());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(store.find(&key.record().id), Err(KeyError::Exposed(_))));
}

#[test]
fn another_master_key_or_none_is_told_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    store(&folder).create(None, Rights::operator(), NOW).unwrap();
    let other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned();
    assert!(matches!(KeyStore::open(folder.path(), Some(other)), Err(KeyError::Sealed(_))));
    let open = store(&folder);
    fs::remove_file(folder.path().join(super::super::MASTER_KEY_FILE)).unwrap();
    assert!(matches!(KeyStore::open(folder.path(), None), Err(KeyError::NoMasterKey(_))));
    assert!(matches!(open.create(None, Rights::operator(), NOW), Err(KeyError::NoMasterKey(_))));
    let left = open.list().unwrap();
    assert_eq!(left.len(), 1);
    // Taking a key back is always possible.
    open.revoke(&left[0].id).unwrap();
    assert!(KeyStore::open(folder.path(), None).unwrap().is_empty().unwrap());
}

#[test]
fn a_key_needs_rights_and_a_plain_owner() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    assert!(matches!(store.create(None, Rights::default(), NOW), Err(KeyError::NoRights)));
    for bad in ["", "a b", "a\n", &"x".repeat(65)] {
        assert!(matches!(store.create(Some(bad), Rights::operator(), NOW), Err(KeyError::InvalidOwner(_))));
    }
}

#[test]
fn keys_made_at_once_are_all_kept() {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| store(&folder).create(None, Rights::operator(), NOW).unwrap());
        }
    });
    assert_eq!(store(&folder).list().unwrap().len(), 8);
}

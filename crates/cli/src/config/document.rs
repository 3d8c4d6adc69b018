//! A YAML file that is changed key by key: what this program does not know stays as it was, in
//! its order. (Comments do not survive a change; AWS's toolkit drops them too.)

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use yaml_serde::{Mapping, Value};

use super::lock;

/// A YAML file whose top is a mapping.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Document {
    path: PathBuf,
    root: Mapping,
}

/// Why a document cannot be read, written, or understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DocumentError {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
    #[error("{path} is not valid YAML: {source}")]
    Syntax { path: PathBuf, source: yaml_serde::Error },
    #[error(
        "{path} is left as it is, for it holds what cannot be written again, a mapping as a key: {source}"
    )]
    Unwritable { path: PathBuf, source: yaml_serde::Error },
    #[error("{path} holds no mapping at its top: it is no agent configuration")]
    NoMapping { path: PathBuf },
    #[error("{path}: {at} is {found}, where {wanted} is meant")]
    Unfit { path: PathBuf, at: String, found: &'static str, wanted: &'static str },
    #[error("{path}: {at}: {source}")]
    Shape { path: PathBuf, at: String, source: yaml_serde::Error },
    #[error("{path}: {at} is no mapping, so nothing can be set below it")]
    NotNested { path: PathBuf, at: String },
}

impl Document {
    /// An empty document that will be written to `path`.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, root: Mapping::new() }
    }

    /// Reads `path`; `None` when there is no such file.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, DocumentError> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(path, &text).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DocumentError::Read { path: path.to_owned(), source }),
        }
    }

    fn parse(path: &Path, text: &str) -> Result<Self, DocumentError> {
        let path = path.to_owned();
        match yaml_serde::from_str(text) {
            Ok(Value::Mapping(root)) => Ok(Self { path, root }),
            Ok(Value::Null) => Ok(Self::new(path)),
            Ok(_) => Err(DocumentError::NoMapping { path }),
            Err(source) => Err(DocumentError::Syntax { path, source }),
        }
    }

    /// Where the document lives.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the whole content.
    pub(crate) fn replace_root(&mut self, root: Mapping) {
        self.root = root;
    }

    /// The whole content.
    pub(crate) fn root(&self) -> &Mapping {
        &self.root
    }

    /// The value at a path of keys.
    pub(crate) fn value(&self, keys: &[&str]) -> Option<&Value> {
        let (first, rest) = keys.split_first()?;
        rest.iter().try_fold(self.root.get(*first)?, |value, key| value.get(*key))
    }

    /// The value at a path of keys as a `T`; `None` when it is missing or null.
    pub(crate) fn get<T: DeserializeOwned>(&self, keys: &[&str]) -> Result<Option<T>, DocumentError> {
        match self.value(keys) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => T::deserialize(value).map(Some).map_err(|source| DocumentError::Shape {
                path: self.path.clone(),
                at: keys.join("."),
                source,
            }),
        }
    }

    /// Refuses a value that does not pass, unless it is missing or null.
    pub(crate) fn expect(
        &self,
        keys: &[&str],
        wanted: &'static str,
        passes: impl FnOnce(&Value) -> bool,
    ) -> Result<(), DocumentError> {
        match self.value(keys) {
            None | Some(Value::Null) => Ok(()),
            Some(value) if passes(value) => Ok(()),
            Some(value) => {
                let (path, at) = (self.path.clone(), keys.join("."));
                Err(DocumentError::Unfit { path, at, found: what(value), wanted })
            }
        }
    }

    /// Sets the value at a path of keys; mappings on the way are made, a key that is there keeps
    /// its place. Says whether anything changed.
    pub(crate) fn set(&mut self, keys: &[&str], value: impl Into<Value>) -> Result<bool, DocumentError> {
        let value = value.into();
        if self.value(keys) == Some(&value) {
            return Ok(false);
        }
        let Some((last, parents)) = keys.split_last() else {
            return Ok(false);
        };
        let mut mapping = &mut self.root;
        for (depth, key) in parents.iter().enumerate() {
            let slot = mapping.entry((*key).into()).or_insert(Value::Null);
            if slot.is_null() {
                *slot = Value::Mapping(Mapping::new());
            }
            mapping = slot.as_mapping_mut().ok_or_else(|| DocumentError::NotNested {
                path: self.path.clone(),
                at: keys[..=depth].join("."),
            })?;
        }
        mapping.insert((*last).into(), value);
        Ok(true)
    }

    /// Takes out the key at the end of a path of keys. Says whether it was there.
    pub(crate) fn remove(&mut self, keys: &[&str]) -> bool {
        let Some((last, parents)) = keys.split_last() else {
            return false;
        };
        let mut mapping = &mut self.root;
        for key in parents {
            match mapping.get_mut(*key).and_then(Value::as_mapping_mut) {
                Some(inner) => mapping = inner,
                None => return false,
            }
        }
        // `remove` would put the last key in the gap; the order is the author's.
        mapping.shift_remove(*last).is_some()
    }

    /// Reads the file again and changes it, while no other command does: what others wrote since it
    /// was read stays. A document that is not changed is not written.
    pub(crate) fn update<T, E: From<DocumentError>>(
        &mut self,
        change: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let target = target_of(&self.path);
        let failed = |source| DocumentError::Write { path: self.path.clone(), source };
        let _alone = lock::alone_in(folder_of(&target)).map_err(failed)?;
        let read = Self::read(&self.path)?.unwrap_or_else(|| Self::new(self.path.clone()));
        let mut changed = read.clone();
        let outcome = change(&mut changed)?;
        if changed != read {
            changed.save()?;
        }
        *self = changed;
        Ok(outcome)
    }

    /// Writes the document, or removes the file of an empty one: readers see the old content or the new, never half of it.
    fn save(&self) -> Result<(), DocumentError> {
        let failed = |source| DocumentError::Write { path: self.path.clone(), source };
        if self.root.is_empty() {
            return fs::remove_file(&self.path).map_err(failed);
        }
        write_atomically(&self.path, self.text()?.as_bytes()).map_err(failed)
    }

    /// The document as YAML.
    fn text(&self) -> Result<String, DocumentError> {
        let unwritable = |source| DocumentError::Unwritable { path: self.path.clone(), source };
        yaml_serde::to_string(&self.root).map_err(unwritable)
    }
}

fn what(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Sequence(_) => "a list",
        Value::Mapping(_) => "a mapping",
        Value::Tagged(_) => "a value with a tag",
    }
}

/// What is read and replaced: a link to a file stays a link.
fn target_of(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn folder_of(target: &Path) -> &Path {
    target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    let target = target_of(path);
    let mut temporary = tempfile::Builder::new();
    let temporary = temporary.prefix(".bedrock_agentcore.").suffix(".tmp");
    let mut file = temporary.tempfile_in(folder_of(&target))?;
    file.write_all(content)?;
    if let Ok(metadata) = fs::metadata(&target) {
        file.as_file().set_permissions(metadata.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(&target).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Document {
        Document::parse(Path::new("x.yaml"), text).unwrap()
    }

    fn text_of(document: &Document) -> String {
        document.text().unwrap()
    }

    #[test]
    fn a_change_leaves_unknown_keys_and_their_order_alone() {
        let mut document = parse("z: 1\nagents:\n  b: {x: [1, 2], y: null}\n  a: {}\nlast: '012'\n");
        assert!(document.set(&["agents", "b", "y"], "new").unwrap());
        assert!(document.remove(&["agents", "a"]));
        assert_eq!(
            text_of(&document),
            "z: 1\nagents:\n  b:\n    x:\n    - 1\n    - 2\n    y: new\nlast: '012'\n"
        );
    }

    #[test]
    fn setting_what_is_there_is_no_change() {
        let mut document = parse("a: {b: 1}");
        assert!(!document.set(&["a", "b"], 1).unwrap());
        assert!(document.set(&["a", "b"], 2).unwrap());
    }

    #[test]
    fn what_is_no_mapping_says_where() {
        let error = parse("a: 1").set(&["a", "b"], 2).unwrap_err();
        assert_eq!(error.to_string(), "x.yaml: a is no mapping, so nothing can be set below it");
        let error = parse("a: {b: [1]}").get::<String>(&["a", "b"]).unwrap_err();
        assert!(error.to_string().starts_with("x.yaml: a.b: "), "{error}");
        assert!(Document::parse(Path::new("x.yaml"), "- 1").is_err());
        assert!(Document::parse(Path::new("x.yaml"), "a: [").is_err());
    }

    #[test]
    fn a_saved_file_keeps_its_permissions_and_a_link_stays_a_link() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.yaml"), folder.path().join("link.yaml"));
        fs::write(&real, "a: 1\n").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();

        let mut document = Document::read(&link).unwrap().unwrap();
        document.update(|document| document.set(&["a"], 2)).unwrap();

        assert_eq!(fs::read_to_string(&real).unwrap(), "a: 2\n");
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn no_change_is_lost_to_one_that_is_made_at_the_same_time() {
        const EACH: usize = 20;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.yaml");
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let mut document = Document::new(path.clone());
                scope.spawn(move || {
                    for change in 0..EACH {
                        let key = format!("{writer}-{change}");
                        document.update(|document| document.set(&[&key], change as u64)).unwrap();
                    }
                });
            }
        });
        let document = Document::read(&path).unwrap().unwrap();
        assert_eq!(document.root().len(), 8 * EACH, "{}", text_of(&document));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside the file");
    }

    #[test]
    fn a_change_that_is_refused_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.yaml");
        let mut document = Document::new(path.clone());
        let refused = document.update(|document| {
            document.set(&["a"], 1)?;
            document.set(&["a", "b"], 1)
        });
        assert!(refused.is_err() && document.root().is_empty() && !path.exists());
    }

    #[test]
    fn a_file_that_cannot_be_written_again_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.yaml");
        let text = "agents:\n  ? {odd: key}\n  : 1\n";
        fs::write(&path, text).unwrap();
        let mut document = Document::read(&path).unwrap().unwrap();
        let error = document.update(|document| document.set(&["a"], 1)).unwrap_err().to_string();
        assert!(error.contains("x.yaml is left as it is") && error.contains("a mapping as a key"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }

    /// Any value that JSON knows too, down to a few levels.
    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[-0-9_.:xoeynYN]{1,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..6).prop_map(|pairs| Value::Mapping(
                    pairs.into_iter().map(|(k, v)| (k.into(), v)).collect()
                )),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(pairs in prop::collection::vec((any::<String>(), values()), 0..6)) {
            let mut document = Document::new("x.yaml".into());
            document.replace_root(pairs.into_iter().map(|(k, v)| (k.into(), v)).collect());
            let again = parse(&text_of(&document));
            prop_assert_eq!(&again, &document);
            prop_assert_eq!(
                again.root().keys().collect::<Vec<_>>(),
                document.root().keys().collect::<Vec<_>>()
            );
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>()) {
            let _ = Document::parse(Path::new("x.yaml"), &text);
        }
    }

    /// Everything of a file but what was set.
    fn others(mapping: &Mapping, set: &[&str]) -> Vec<(Value, Value)> {
        let (first, rest) = set.split_first().unwrap();
        let mut left = Vec::new();
        for (key, value) in mapping {
            match value.as_mapping() {
                _ if key.as_str() != Some(first) => left.push((key.clone(), value.clone())),
                Some(inner) if !rest.is_empty() => left.extend(others(inner, rest)),
                _ => {}
            }
        }
        left
    }

    /// Whatever is in a file, a change leaves all the rest as it was, in its order, and the file is
    /// read again as it was written.
    #[test]
    fn fuzz_yaml() {
        const KEYS: [&str; 4] = ["agents", "writer", "bedrock_agentcore", "agent_session_id"];
        bolero::check!(name = "yaml").with_iterations(300).for_each(|input: &[u8]| {
            let Ok(text) = std::str::from_utf8(input) else { return };
            let Ok(mut document) = Document::parse(Path::new("x.yaml"), text) else { return };
            let before = others(document.root(), &KEYS);
            if document.set(&KEYS, "session").is_err() {
                return;
            }
            assert_eq!(document.get::<String>(&KEYS).unwrap().as_deref(), Some("session"));
            assert!(!document.set(&KEYS, "session").unwrap());
            assert_eq!(others(document.root(), &KEYS), before);
            let Ok(written) = document.text() else { return };
            let again = Document::parse(Path::new("x.yaml"), &written).expect("what is written is read");
            assert_eq!(again, document, "{written}");
            assert!(again.root().keys().eq(document.root().keys()), "{written}");
            assert_eq!(text_of(&again), written);
            assert!(document.remove(&KEYS));
            assert_eq!(others(document.root(), &KEYS), before);
        });
    }
}

//! Searching what is indexed so far.

use std::path::Path;

use serde::Serialize;
use tantivy::collector::{Count, TopDocs};
use tantivy::schema::Value;
use tantivy::tokenizer::TextAnalyzer;
use tantivy::{Searcher, TantivyDocument, TantivyError, Term};

use crate::library::{Contents, Fields, Library};
use crate::lines::{Line, Wanted};
use crate::query::{QueryError, Search};
use crate::walk;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// No folder was ever indexed.
    #[error("nothing is indexed yet: send {{\"action\": \"index\", \"path\": ...}} first")]
    NothingIndexed,
    /// There is nothing to search for.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The index cannot be read.
    #[error("the index cannot be searched: {0}")]
    Index(#[from] TantivyError),
}

/// A file that was found.
#[derive(Debug, Serialize)]
pub struct Hit {
    /// Where it is.
    pub path: String,
    /// The line that has the most of the query. None when the file is gone, or no longer text.
    pub line: Option<usize>,
    /// How well it matches (BM25): of use to compare hits of one search.
    pub score: f32,
    /// That line.
    pub snippet: Option<String>,
}

/// The answer to a search.
#[derive(Debug, Serialize)]
pub struct Found {
    /// The best files, best first.
    pub hits: Vec<Hit>,
    /// How many files match.
    pub matches: usize,
    /// What was searched, and whether that is the whole folder.
    pub index: Contents,
}

/// Searches for the words of `text`: see [`Search::parse`].
///
/// # Errors
/// There is no index, or nothing to search for.
pub fn search(library: &Library, text: &str, limit: usize) -> Result<Found, SearchError> {
    let snapshot = library.snapshot();
    let contents = snapshot.contents.ok_or(SearchError::NothingIndexed)?;
    let (searcher, fields) = (&snapshot.searcher, library.fields());
    let mut analyzer = library.analyzer()?;
    let search = Search::parse(text, &mut analyzer)?;
    let best = TopDocs::with_limit(limit).order_by_score();
    let (best, matches) = searcher.search(&search.to_query(fields), &(best, Count))?;

    let wanted = wanted(&search, searcher, fields)?;
    let hits = best.into_iter().map(|(score, address)| {
        let document: TantivyDocument = searcher.doc(address)?;
        let path = document.get_first(fields.path).and_then(|value| value.as_str()).unwrap_or_default();
        Ok(hit(&contents.folder.join(path), score, &wanted, &mut analyzer))
    });
    Ok(Found { hits: hits.collect::<tantivy::Result<_>>()?, matches, index: contents })
}

fn wanted(search: &Search, searcher: &Searcher, fields: Fields) -> tantivy::Result<Wanted> {
    let mut wanted = Wanted::default();
    let documents = searcher.num_docs() as f32;
    for words in search.wanted() {
        let mut rarity = Vec::with_capacity(words.len());
        for word in words {
            let files = searcher.doc_freq(&Term::from_field_text(fields.body, word))? as f32;
            rarity.push((word, (1.0 + documents / (1.0 + files)).ln()));
        }
        let weight =
            |word: &str| rarity.iter().find(|(known, _)| *known == word).map_or(0.0, |(_, weight)| *weight);
        wanted.add(words, weight);
    }
    Ok(wanted)
}

fn hit(path: &Path, score: f32, wanted: &Wanted, analyzer: &mut TextAnalyzer) -> Hit {
    let text = walk::read_text(path).ok();
    let line = text.and_then(|text| wanted.best_line(&text, analyzer));
    let (line, snippet) = line.map(|Line { number, text }| (number, text)).unzip();
    Hit { path: path.to_string_lossy().into_owned(), line, score, snippet }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{Build, Pace};
    use std::fs;
    use std::ops::ControlFlow;
    use std::sync::Arc;
    use tempfile::TempDir;

    /// An index of files with these names and texts.
    fn indexed(files: &[(&str, &str)]) -> (TempDir, TempDir, Arc<Library>) {
        let (documents, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (name, text) in files {
            fs::write(documents.path().join(name), text).unwrap();
        }
        let library = Arc::new(Library::open(folder.path()).unwrap());
        let root = documents.path().to_owned();
        let build = Build::begin(Arc::clone(&library), root, Pace::default()).unwrap();
        build.run(&mut |_| ControlFlow::Continue(())).unwrap();
        (documents, folder, library)
    }

    fn names(found: &Found) -> Vec<&str> {
        found.hits.iter().map(|hit| hit.path.rsplit('/').next().unwrap()).collect()
    }

    #[test]
    fn a_hit_has_its_file_line_and_snippet() {
        let (documents, _folder, library) = indexed(&[
            ("a.rs", "fn main() {\n    tokio::task::spawn_blocking(work);\n}\n"),
            ("b.rs", "fn other() {}"),
        ]);
        let found = search(&library, "spawn_blocking", 5).unwrap();
        assert_eq!((found.hits.len(), found.matches), (1, 1));
        let hit = &found.hits[0];
        assert_eq!(hit.path, documents.path().join("a.rs").to_str().unwrap());
        assert_eq!((hit.line, hit.snippet.as_deref()), (Some(2), Some("tokio::task::spawn_blocking(work);")));
        assert!(hit.score > 0.0 && found.index.complete);
    }

    #[test]
    fn more_words_are_better_phrases_required_and_exclusions_left_out() {
        let (_documents, _folder, library) =
            indexed(&[("a", "red fish blue fish"), ("b", "blue bird"), ("c", "red bird, blue sky")]);
        assert_eq!(names(&search(&library, "red sky", 5).unwrap()), ["c", "a"]);
        assert_eq!(names(&search(&library, "\"blue fish\" bird", 5).unwrap()), ["a"]);
        assert_eq!(names(&search(&library, "blue -fish -sky", 5).unwrap()), ["b"]);
        let found = search(&library, "blue", 1).unwrap();
        assert_eq!((found.hits.len(), found.matches), (1, 3));
    }

    #[test]
    fn a_file_is_found_by_its_name_too() {
        let (_documents, _folder, library) =
            indexed(&[("mutex.rs", "pub struct Lock;"), ("b.rs", "fn f() {}")]);
        let found = search(&library, "mutex", 5).unwrap();
        assert_eq!(found.hits[0].snippet.as_deref(), Some("pub struct Lock;"));
    }

    #[test]
    fn a_file_that_is_gone_is_a_hit_without_a_snippet() {
        let (documents, _folder, library) = indexed(&[("a", "an albatross")]);
        fs::remove_file(documents.path().join("a")).unwrap();
        let found = search(&library, "albatross", 5).unwrap();
        assert_eq!((found.hits[0].line, found.hits[0].snippet.as_deref()), (None, None));
    }

    #[test]
    fn without_an_index_or_a_word_the_answer_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let library = Library::open(folder.path()).unwrap();
        let error = search(&library, "x", 5).unwrap_err().to_string();
        assert_eq!(error, r#"nothing is indexed yet: send {"action": "index", "path": ...} first"#);
        let (_documents, _folder, library) = indexed(&[]);
        assert!(matches!(search(&library, "?", 5), Err(SearchError::Query(QueryError::Empty))));
        assert!(search(&library, "x", 5).unwrap().hits.is_empty());
    }
}

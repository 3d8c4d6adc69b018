//! From what someone typed to a query.
//!
//! Not the engine's own query language: that parser recurses as deep as its input nests, and a few
//! hundred brackets from a stranger end the process. Words, phrases and exclusions are enough here.

use tantivy::query::{BooleanQuery, BoostQuery, DisjunctionMaxQuery, Occur, PhraseQuery, Query, TermQuery};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::tokenizer::TextAnalyzer;
use tantivy::{Score, Term};

use crate::library::Fields;

/// Most words in one query: each of them costs time.
pub const MAX_WORDS: usize = 32;
/// A word in a file's path says more of what the file is about than one in its text.
const PATH_BOOST: Score = 1.5;

/// Why there is nothing to search for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// No letter and no digit, or exclusions alone.
    #[error("there is nothing to search for: write at least one word, of letters or digits")]
    Empty,
    /// More than [`MAX_WORDS`].
    #[error("the query has {0} words: write at most {MAX_WORDS}")]
    TooLong(usize),
}

/// What someone searches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    clauses: Vec<Clause>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Clause {
    occur: Occur,
    /// The words as they are indexed. Several must follow one another.
    words: Vec<String>,
}

impl Search {
    /// Understands `text`: words, of which the more the better; `"phrases"`, all required;
    /// `-exclusions`. A word with punctuation in it, as `spawn_blocking`, is a phrase.
    ///
    /// # Errors
    /// There is nothing to search for, or too much.
    pub fn parse(text: &str, analyzer: &mut TextAnalyzer) -> Result<Self, QueryError> {
        let clauses: Vec<_> = pieces(text)
            .map(|(occur, piece)| Clause { occur, words: words(piece, analyzer) })
            .filter(|clause| !clause.words.is_empty())
            .collect();
        let count = clauses.iter().map(|clause| clause.words.len()).sum();
        if count > MAX_WORDS {
            return Err(QueryError::TooLong(count));
        }
        if clauses.iter().all(|clause| clause.occur == Occur::MustNot) {
            return Err(QueryError::Empty);
        }
        Ok(Self { clauses })
    }

    /// The same for the engine.
    pub fn to_query(&self, fields: Fields) -> BooleanQuery {
        let clauses = self.clauses.iter().map(|clause| {
            let path = BoostQuery::new(clause.to_query(fields.path), PATH_BOOST);
            let either = DisjunctionMaxQuery::new(vec![clause.to_query(fields.body), Box::new(path)]);
            (clause.occur, Box::new(either) as Box<dyn Query>)
        });
        BooleanQuery::new(clauses.collect())
    }

    /// The words and phrases to be found.
    pub fn wanted(&self) -> impl Iterator<Item = &[String]> {
        self.clauses.iter().filter(|clause| clause.occur != Occur::MustNot).map(|clause| &*clause.words)
    }
}

impl Clause {
    fn to_query(&self, field: Field) -> Box<dyn Query> {
        let mut terms: Vec<_> = self.words.iter().map(|word| Term::from_field_text(field, word)).collect();
        match terms.len() {
            1 => Box::new(TermQuery::new(terms.remove(0), IndexRecordOption::WithFreqs)),
            _ => Box::new(PhraseQuery::new(terms)),
        }
    }
}

/// Cuts at blanks, but not within quotation marks; a missing last one is no matter.
fn pieces(text: &str) -> impl Iterator<Item = (Occur, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let (excluded, start) = match rest.strip_prefix('-') {
            Some(start) => (true, start),
            None if rest.is_empty() => return None,
            None => (false, rest),
        };
        let (piece, quoted) = match start.strip_prefix('"') {
            Some(start) => (start.split('"').next().unwrap_or(start), true),
            None => (start.split(|c: char| c.is_whitespace() || c == '"').next().unwrap_or(start), false),
        };
        let after = &start[usize::from(quoted) + piece.len()..];
        rest = if quoted { after.strip_prefix('"').unwrap_or(after) } else { after };
        let occur = match (excluded, quoted) {
            (true, _) => Occur::MustNot,
            (false, true) => Occur::Must,
            (false, false) => Occur::Should,
        };
        Some((occur, piece))
    })
}

fn words(text: &str, analyzer: &mut TextAnalyzer) -> Vec<String> {
    let mut words = Vec::new();
    analyzer.token_stream(text).process(&mut |token| words.push(token.text.clone()));
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use tantivy::tokenizer::TokenizerManager;

    fn parse(text: &str) -> Result<Vec<(Occur, String)>, QueryError> {
        let mut analyzer = TokenizerManager::default().get("default").unwrap();
        let search = Search::parse(text, &mut analyzer)?;
        Ok(search.clauses.into_iter().map(|clause| (clause.occur, clause.words.join(" "))).collect())
    }

    #[test]
    fn words_phrases_and_exclusions_are_told_apart() {
        use Occur::{Must, MustNot, Should};
        let parsed = parse(r#"Waker spawn_blocking "run to  completion" -wasm -"no std" end"#).unwrap();
        let expected = [
            (Should, "waker"),
            (Should, "spawn blocking"),
            (Must, "run to completion"),
            (MustNot, "wasm"),
            (MustNot, "no std"),
            (Should, "end"),
        ];
        assert_eq!(parsed, expected.map(|(occur, words)| (occur, words.to_owned())));
    }

    #[test]
    fn every_kind_of_bad_punctuation_is_harmless() {
        assert_eq!(parse("Vec<T>"), Ok(vec![(Occur::Should, "vec t".into())]));
        assert_eq!(
            parse("foo:bar\"open"),
            Ok(vec![(Occur::Should, "foo bar".into()), (Occur::Must, "open".into())])
        );
        for nothing in ["", "  ", "???", "\"\"", "-", "-\"", "--", "\u{2028}", "-wasm"] {
            assert_eq!(parse(nothing), Err(QueryError::Empty), "{nothing:?}");
        }
        assert_eq!(parse(&"(".repeat(100_000)), Err(QueryError::Empty));
        assert_eq!(parse(&"a ".repeat(40)), Err(QueryError::TooLong(40)));
    }
}

//! Lists in pieces.

use axum::http::Uri;
use serde_json::{Value, json};

use super::super::error::AwsError;
use super::request::query;

const MOST: usize = 100;

/// Which piece of a list is asked for.
pub(super) struct Page {
    most: usize,
    after: Option<String>,
}

impl Page {
    pub(super) fn of(uri: &Uri) -> Result<Self, AwsError> {
        let most = match query(uri, "maxResults").pop() {
            None => MOST,
            Some(text) => match text.parse() {
                Ok(most) if (1..=MOST).contains(&most) => most,
                _ => return Err(AwsError::invalid("maxResults", format!("maxResults is from 1 to {MOST}"))),
            },
        };
        // A token is the key of the last entry that was listed, so it holds whatever changes meanwhile.
        Ok(Self { most, after: query(uri, "nextToken").pop() })
    }

    /// The piece as an answer with the member `name`. The entries come with their keys, in order.
    pub(super) fn cut<'a>(&self, name: &str, entries: impl Iterator<Item = (String, Value)> + 'a) -> Value {
        let after = self.after.as_deref();
        let mut rest = entries.skip_while(|(key, _)| after.is_some_and(|after| key.as_str() <= after));
        let piece: Vec<_> = rest.by_ref().take(self.most).collect();
        let mut answer = json!({});
        if rest.next().is_some()
            && let Some((last, _)) = piece.last()
        {
            answer["nextToken"] = json!(last);
        }
        answer[name] = piece.into_iter().map(|(_, entry)| entry).collect();
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(query: &str) -> Value {
        let page = Page::of(&format!("/?{query}").parse().unwrap()).unwrap();
        page.cut("items", ["a", "b", "c", "d", "e"].into_iter().map(|key| (key.to_owned(), json!(key))))
    }

    #[test]
    fn every_entry_comes_once_and_the_last_page_says_so() {
        assert_eq!(listed("maxResults=2"), json!({"items": ["a", "b"], "nextToken": "b"}));
        assert_eq!(listed("maxResults=2&nextToken=b"), json!({"items": ["c", "d"], "nextToken": "d"}));
        assert_eq!(listed("maxResults=2&nextToken=d"), json!({"items": ["e"]}));
        assert_eq!(listed("maxResults=5"), json!({"items": ["a", "b", "c", "d", "e"]}));
        assert_eq!(listed("nextToken=bb")["items"], json!(["c", "d", "e"]), "b was deleted meanwhile");
    }

    #[test]
    fn a_page_has_1_to_100_entries() {
        for bad in ["maxResults=0", "maxResults=101", "maxResults=x"] {
            assert!(Page::of(&format!("/?{bad}").parse().unwrap()).is_err(), "{bad}");
        }
    }
}

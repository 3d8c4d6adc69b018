//! Which line of a file to show for a hit.

use std::collections::HashMap;

use tantivy::tokenizer::TextAnalyzer;

/// Most characters of a line that are shown.
const WIDTH: usize = 200;
/// How many characters are shown before the first word that was found in a long line.
const BEFORE: usize = 40;

/// What is looked for in a file, and how much each word is worth.
#[derive(Debug, Default)]
pub struct Wanted {
    phrases: Vec<Vec<String>>,
    weights: HashMap<String, f32>,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number; the first is 1.
    pub number: usize,
    /// Its text, or, if it is long, the part around what was found.
    pub text: String,
}

impl Wanted {
    /// Adds words that should follow one another, or a single word. `weight` says how much a word
    /// is worth: a rare one more than one that is everywhere.
    pub fn add(&mut self, words: &[String], weight: impl Fn(&str) -> f32) {
        for word in words {
            self.weights.entry(word.clone()).or_insert_with_key(|word| weight(word));
        }
        if words.len() > 1 {
            self.phrases.push(words.to_vec());
        }
    }

    /// The line of `text` that has the most of it, the first of several. Where none has anything,
    /// as when the hit is the file's name, the first line that is not blank.
    pub fn best_line(&self, text: &str, analyzer: &mut TextAnalyzer) -> Option<Line> {
        let mut best: Option<(f32, Line)> = None;
        for (line, number) in text.lines().zip(1..) {
            let Some((worth, offset)) = self.worth(line, analyzer) else { continue };
            if best.as_ref().is_none_or(|(most, _)| worth > *most) {
                best = Some((worth, Line { number, text: excerpt(line, offset) }));
            }
        }
        best.map(|(_, line)| line).or_else(|| {
            let (line, number) = text.lines().zip(1..).find(|(line, _)| !line.trim().is_empty())?;
            Some(Line { number, text: excerpt(line, 0) })
        })
    }

    /// How much of what is wanted is in the line, and where it begins.
    fn worth(&self, line: &str, analyzer: &mut TextAnalyzer) -> Option<(f32, usize)> {
        let mut words = Vec::new();
        let mut first = None;
        analyzer.token_stream(line).process(&mut |token| {
            if first.is_none() && self.weights.contains_key(&token.text) {
                first = Some(token.offset_from);
            }
            words.push(token.text.clone());
        });
        let first = first?;
        let weight = |word: &String| self.weights.get(word).copied().unwrap_or_default();
        let single = self.weights.keys().filter(|word| words.contains(word)).map(weight).sum::<f32>();
        let found =
            self.phrases.iter().filter(|phrase| words.windows(phrase.len()).any(|next| next == *phrase));
        let together = found.flatten().map(weight).sum::<f32>();
        Some((single + together, first))
    }
}

/// The line without its indentation, cut to [`WIDTH`] characters around `offset`.
fn excerpt(line: &str, offset: usize) -> String {
    let before = line[..offset].chars().count();
    let trimmed = line.trim();
    if trimmed.chars().count() <= WIDTH {
        return trimmed.to_owned();
    }
    let skip = before.saturating_sub(BEFORE);
    let shown: String = line.chars().skip(skip).take(WIDTH).collect();
    let more = line.chars().nth(skip + WIDTH).is_some();
    format!("{}{}{}", if skip > 0 { "…" } else { "" }, shown.trim(), if more { "…" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tantivy::tokenizer::TokenizerManager;

    fn best(wanted: &[(&[&str], f32)], text: &str) -> Option<(usize, String)> {
        let mut analyzer = TokenizerManager::default().get("default").unwrap();
        let mut all = Wanted::default();
        for (words, weight) in wanted {
            let words: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
            all.add(&words, |_| *weight);
        }
        all.best_line(text, &mut analyzer).map(|line| (line.number, line.text))
    }

    #[test]
    fn the_line_with_the_most_wins_and_the_first_of_equals() {
        let text = "\n  one Fox\n  the fox, the hound\n  the fox and a hound\n";
        let both: &[(&[&str], f32)] = &[(&["fox"], 1.0), (&["hound"], 1.0)];
        assert_eq!(best(both, text), Some((3, "the fox, the hound".into())));
    }

    #[test]
    fn a_rare_word_outweighs_several_common_ones() {
        let text = "what is a thing\nthe waker\n";
        let wanted: &[(&[&str], f32)] = &[(&["what"], 0.1), (&["is"], 0.1), (&["waker"], 3.0)];
        assert_eq!(best(wanted, text), Some((2, "the waker".into())));
    }

    #[test]
    fn words_together_outweigh_words_apart() {
        let text = "spawn it, for it is blocking\ntask::spawn_blocking(f)\n";
        assert_eq!(best(&[(&["spawn", "blocking"], 1.0)], text), Some((2, "task::spawn_blocking(f)".into())));
    }

    #[test]
    fn without_any_the_first_line_that_is_not_blank_is_shown() {
        assert_eq!(best(&[(&["fox"], 1.0)], "\n \n hound\n"), Some((3, "hound".into())));
        assert_eq!(best(&[(&["fox"], 1.0)], "\n\n"), None);
    }

    #[test]
    fn a_long_line_is_cut_around_what_was_found() {
        let text = format!("{}fox{}", "ü ".repeat(500), " é".repeat(500));
        let (_, shown) = best(&[(&["fox"], 1.0)], &text).unwrap();
        assert!(shown.contains("fox") && shown.starts_with('…') && shown.ends_with('…'), "{shown}");
        assert!(shown.chars().count() <= WIDTH + 2);
    }
}

//! What several rounds of one measurement come to.

use std::fmt;

/// The median of some rounds, and the span that they cover.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Summary {
    /// `None` without a round.
    pub(crate) fn of(rounds: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = rounds.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            0 => (sorted[middle - 1] + sorted[middle]) / 2.0,
            _ => sorted[middle],
        };
        Some(Self { median, min, max })
    }

    /// The ratio of two medians. Its span is that of the ratios within each round, since the two
    /// were measured side by side and share the machine's mood.
    pub(crate) fn ratio(ours: &[f64], theirs: &[f64]) -> Option<Self> {
        let per_round = Self::of(ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs))?;
        let median = Self::of(ours.iter().copied())?.median / Self::of(theirs.iter().copied())?.median;
        Some(Self { median, ..per_round })
    }

    /// As text, each figure written by `write`.
    pub(crate) fn text(self, write: impl Fn(f64) -> String) -> String {
        format!("{} ({}..{})", write(self.median), write(self.min), write(self.max))
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(significant))
    }
}

/// Three significant digits, which is more than these figures deserve.
pub(crate) fn significant(figure: f64) -> String {
    match figure.abs() {
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

/// A whole number with its thousands set apart.
pub(crate) fn thousands(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_or_between_the_two_in_the_middle() {
        assert_eq!(Summary::of([3.0, 1.0, 2.0]), Some(Summary { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Summary::of([4.0, 1.0]), Some(Summary { median: 2.5, min: 1.0, max: 4.0 }));
        assert_eq!(Summary::of([]), None);
    }

    #[test]
    fn a_ratio_is_that_of_the_medians_and_spans_the_ratios_of_the_rounds() {
        let ratio = Summary::ratio(&[10.0, 20.0, 30.0], &[10.0, 10.0, 20.0]);
        assert_eq!(ratio, Some(Summary { median: 2.0, min: 1.0, max: 2.0 }));
    }

    #[test]
    fn figures_are_written_for_reading() {
        assert_eq!([1234.5, 12.34, 0.876].map(significant), ["1234", "12.3", "0.88"]);
        assert_eq!([7.0, 1234.0, 1_234_567.0].map(thousands), ["7", "1,234", "1,234,567"]);
    }
}

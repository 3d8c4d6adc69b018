//! Amounts of memory and disk, for people.

/// So many bytes, as people say it.
pub(crate) fn amount(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value < 10.0 { format!("{value:.1} {}", UNITS[unit]) } else { format!("{value:.0} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_rounded() {
        for (bytes, text) in
            [(0, "0.0 KiB"), (12 << 10, "12 KiB"), (3 << 19, "1.5 MiB"), (5 << 40, "5.0 TiB")]
        {
            assert_eq!(amount(bytes), text);
        }
    }
}

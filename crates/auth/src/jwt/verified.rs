//! Which tokens have been found rightly signed. A client sends the same token many times, and for
//! some algorithms (ES384) checking it takes most of a millisecond.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

use sha2::{Digest, Sha256};

/// How many tokens of one issuer are remembered at least; at most twice as many.
const REMEMBERED: usize = 4096;

/// The SHA-256 of tokens whose signature is right for one set of keys.
///
/// Only that is remembered: what a token claims, and whether it is still in time, is judged each
/// time. Whoever has no good token can neither find one here nor push one out.
#[derive(Debug, Default)]
pub(super) struct Verified {
    generations: RwLock<Generations>,
}

/// When the young ones are many, they become the old ones, and those are forgotten.
#[derive(Debug, Default)]
struct Generations {
    young: HashSet<[u8; 32]>,
    old: HashSet<[u8; 32]>,
}

impl Verified {
    /// Whether `token` is rightly signed: from memory, or as `check` finds.
    pub(super) fn or_check(&self, token: &str, check: impl FnOnce() -> bool) -> bool {
        let hash = Sha256::digest(token).into();
        if self.knows(&hash) {
            return true;
        }
        let right = check();
        if right {
            self.remember(hash);
        }
        right
    }

    fn knows(&self, hash: &[u8; 32]) -> bool {
        let generations = self.generations.read().unwrap_or_else(PoisonError::into_inner);
        generations.young.contains(hash) || generations.old.contains(hash)
    }

    fn remember(&self, hash: [u8; 32]) {
        let mut generations = self.generations.write().unwrap_or_else(PoisonError::into_inner);
        if generations.young.len() >= REMEMBERED {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_token_is_checked_once_and_a_wrong_one_each_time() {
        let verified = Verified::default();
        let mut checks = 0;
        for _ in 0..3 {
            assert!(verified.or_check("right", || {
                checks += 1;
                true
            }));
        }
        assert_eq!(checks, 1);
        for _ in 0..3 {
            assert!(!verified.or_check("wrong", || false));
        }
        assert!(!verified.or_check("right ", || false));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let verified = Verified::default();
        for number in 0..3 * REMEMBERED {
            verified.or_check(&number.to_string(), || true);
        }
        let generations = verified.generations.read().unwrap();
        assert!(generations.young.len() + generations.old.len() <= 2 * REMEMBERED);
        drop(generations);
        assert!(verified.or_check(&(3 * REMEMBERED - 1).to_string(), || false), "the latest is known");
        assert!(!verified.or_check("0", || false), "the first is forgotten");
    }
}

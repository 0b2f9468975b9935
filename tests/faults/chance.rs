//! Random numbers that can be had again: the seed is printed.

use std::time::Duration;

/// A linear congruential generator (Knuth, MMIX); its upper bits are good enough
/// to choose moments and victims with.
pub struct Chance(u64);

impl Chance {
    /// From `TAWNY_SEED` if set; prints the seed.
    pub fn new() -> Chance {
        let given = std::env::var("TAWNY_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| u64::from(getrandom::u32().unwrap()));
        println!("TAWNY_SEED={seed}");
        Chance(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// From `from` to `to` milliseconds.
    pub fn ms(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from + 1))
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }
}

//! How much memory opening a source takes. libav bounds each of its allocations
//! alone: thirty tables of an MP4 are thirty times as much, and a file of a few
//! kilobytes may announce them; a packet of units of two bytes takes a thousand
//! times its length. So what the process has grown by is looked at before each
//! small piece of the source is read, and units are counted.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::room;

/// What the process may grow by while a source is opened, pictures apart. The index
/// of 30 hours takes 140 MB.
const MOST_GROWTH: usize = 160 << 20;
/// NAL units that may be read until a source is open: some hundred pictures of
/// a hundred slices. Each takes libav four kilobytes.
pub(super) const MOST_UNITS: usize = 16_384;
/// Why it is given up then.
pub(super) const UNITS_WITHOUT_END: &str =
    "it holds thousands of NAL units before it can be told what its pictures are";
/// A source is read in pieces of so many bytes until it is open: no two tables of
/// which each is large come in one.
pub(super) const PIECE: usize = 512;

/// Of one source, shared by those that read it.
#[derive(Debug, Clone)]
pub(super) struct Appetite(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Memory of the process when opening began, without pictures.
    before: usize,
    units: AtomicUsize,
    /// The source is open: nothing is looked at any more.
    is_over: AtomicBool,
    why: OnceLock<String>,
}

impl Appetite {
    /// Opening begins.
    pub fn new() -> Appetite {
        Appetite(Arc::new(Shared {
            before: memory(),
            units: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
            why: OnceLock::new(),
        }))
    }

    /// The source is open.
    pub fn over(&self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }

    /// Whether the source is open or given up.
    pub fn is_over(&self) -> bool {
        self.0.is_over.load(Ordering::Relaxed)
    }

    /// So many more units were read.
    pub fn units(&self, more: usize) {
        if self.0.units.fetch_add(more, Ordering::Relaxed).saturating_add(more) > MOST_UNITS && !self.is_over() {
            self.0.why.get_or_init(|| UNITS_WITHOUT_END.to_owned());
        }
    }

    /// Whether it is to be given up; to be asked before each piece is read.
    pub fn is_too_large(&self) -> bool {
        if self.is_over() {
            return false;
        }
        if memory().saturating_sub(self.0.before) > MOST_GROWTH {
            let why = format!(
                "opening it takes more than {} MB of memory: its index or its description announces more than a recording \
                 needs",
                MOST_GROWTH >> 20
            );
            self.0.why.get_or_init(|| why);
        }
        self.0.why.get().is_some()
    }

    /// Why it is given up, if it is.
    pub fn why(&self) -> Option<String> {
        self.0.why.get().cloned()
    }
}

/// The process's own memory, in bytes, without pictures.
fn memory() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    own_pages(&statm).saturating_mul(rustix::param::page_size()).saturating_sub(room::of_all_pictures())
}

/// Resident pages that are no file's.
fn own_pages(statm: &str) -> usize {
    let mut numbers = statm.split_ascii_whitespace().skip(1).map_while(|number| number.parse::<usize>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(resident), Some(shared)) => resident.saturating_sub(shared),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn memory_is_what_is_resident_and_no_files() {
        assert_eq!(own_pages("900 500 120 7 0 300 0\n"), 380);
        assert_eq!(own_pages(""), 0);
        assert!(memory() > 0);
    }

    #[test]
    fn what_grows_or_sends_too_much_is_given_up_until_it_is_open() {
        let modest = Appetite::new();
        modest.units(MOST_UNITS);
        assert!(!modest.is_too_large() && modest.why().is_none());
        modest.units(1);
        assert!(modest.is_too_large() && modest.why().unwrap().contains("NAL units"));
        let open = Appetite::new();
        open.over();
        open.units(MOST_UNITS + 1);
        assert!(!open.is_too_large() && open.why().is_none());
    }
}

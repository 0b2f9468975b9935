//! The table that `tawny check` prints.

use std::fmt;

/// How an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Works.
    Ok,
    /// Works, but should be known.
    Warning,
    /// Does not work.
    Failed,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Failed => "failed",
        }
    }
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    name: String,
    state: State,
    /// May have several lines.
    detail: String,
    /// What to do about it.
    advice: Option<String>,
}

impl Item {
    /// It works.
    pub(super) fn ok(name: impl Into<String>, detail: impl Into<String>) -> Item {
        Item { name: name.into(), state: State::Ok, detail: detail.into(), advice: None }
    }

    /// It works, but …
    pub(super) fn warning(name: impl Into<String>, detail: impl Into<String>, advice: &str) -> Item {
        Item { state: State::Warning, advice: Some(advice.to_owned()), ..Item::ok(name, detail) }
    }

    /// It does not.
    pub(super) fn failed(name: impl Into<String>, detail: impl Into<String>, advice: &str) -> Item {
        let advice = (!advice.is_empty()).then(|| advice.to_owned());
        Item { state: State::Failed, advice, ..Item::ok(name, detail) }
    }
}

/// All items, in the order in which they are printed.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<Item>);

impl Table {
    /// Adds one.
    pub(super) fn push(&mut self, item: Item) {
        self.0.push(item);
    }

    /// The names of the items in this state.
    pub(super) fn names(&self, state: State) -> Vec<&str> {
        self.0.iter().filter(|item| item.state == state).map(|item| item.name.as_str()).collect()
    }
}

/// Three columns: item, state, detail. Advice and further lines stand below
/// the detail.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|item| item.name.chars().count()).max().unwrap_or(0);
        for item in &self.0 {
            let (name, state) = (&item.name, item.state.as_str());
            let mut lines = item.detail.lines();
            writeln!(f, "{name:width$}  {state:7}  {}", lines.next().unwrap_or_default())?;
            for line in lines {
                writeln!(f, "{:width$}           {line}", "")?;
            }
            if let Some(advice) = &item.advice {
                writeln!(f, "{:width$}           -> {advice}", "")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_and_advice_below_its_item() {
        let mut table = Table::default();
        table.push(Item::ok("model", "nanodet"));
        table.push(Item::failed("camera gate", "no data\nfor 10 s", "look at the cable"));
        assert_eq!(
            table.to_string(),
            "model        ok       nanodet\n\
             camera gate  failed   no data\n                      for 10 s\n                      -> look at the cable\n"
        );
        assert_eq!(table.names(State::Failed), ["camera gate"]);
    }
}

//! A program that brings the network up or down, with its arguments, which may hold
//! a PIN: only the program's name is ever shown.

use std::fmt;
use std::ops::Deref;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::secrets::shown_command;

/// A program and its arguments.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct LinkCommand(Vec<String>);

impl From<Vec<String>> for LinkCommand {
    fn from(command: Vec<String>) -> LinkCommand {
        LinkCommand(command)
    }
}

impl<const N: usize> From<[String; N]> for LinkCommand {
    fn from(command: [String; N]) -> LinkCommand {
        LinkCommand(command.into())
    }
}

impl Deref for LinkCommand {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Debug for LinkCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shown_command(&self.0).fmt(f)
    }
}

impl Serialize for LinkCommand {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        shown_command(&self.0).serialize(serializer)
    }
}

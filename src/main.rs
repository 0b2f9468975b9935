//! The `tawny` program.

fn main() {}

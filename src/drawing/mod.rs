//! Pictures for people to look at: what a camera's configuration means and what was
//! found, drawn onto what it sees. For `tawny aim`, `tawny detect`, and the pictures
//! that operators ask for.

mod canvas;
mod overlay;

pub use canvas::{Canvas, group_colour};
pub use overlay::{Sight, draw};

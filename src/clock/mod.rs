//! What time it is, and how sure the unit is of it.

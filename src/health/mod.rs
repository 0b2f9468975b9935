//! The unit's own condition.

//! The journal: every event, committed to SQLite before anything else.

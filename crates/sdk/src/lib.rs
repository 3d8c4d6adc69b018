//! Write agents that answer at once and keep working.

//! Loads the configuration again when its file changes.

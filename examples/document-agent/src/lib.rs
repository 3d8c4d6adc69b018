//! An agent over real documents: it indexes a folder of text and source files in the background,
//! answers at once, and searches what is indexed so far.
//!
//! - [`agent`]: the entrypoint, from a payload to an answer;
//! - [`request`]: what can be asked for; [`error`]: what can go wrong, and its HTTP status;
//! - [`folder`]: which folder to index; [`walk`]: its files, and their text;
//! - [`library`]: the full-text index on disk; [`index`]: how it is built; [`interruptible`]: how that ends early;
//! - [`query`] and [`search`]: from words to hits; [`lines`]: the line of a file to show for one;
//! - [`hints`]: what to try, printed when the agent starts.

pub mod agent;
pub mod error;
pub mod folder;
pub mod hints;
pub mod index;
pub mod interruptible;
pub mod library;
pub mod lines;
pub mod query;
pub mod request;
pub mod search;
pub mod walk;

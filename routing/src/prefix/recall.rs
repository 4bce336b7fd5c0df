//! What was believed of a prompt on one endpoint just before it was sent there.

use super::Held;

/// What the index said about one prompt and one endpoint before the prompt was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recall {
    /// What the endpoint was believed to hold of it.
    pub held: Held,
}

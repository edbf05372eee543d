//! What a request consumed.

/// Token counts as the upstream reports them. Cached tokens are part of the input tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TokenUsage {
    /// Prompt tokens, cached ones included.
    pub input: u32,
    /// Those of them read from the provider's cache.
    pub cached_input: u32,
    /// Generated tokens.
    pub output: u32,
}

impl TokenUsage {
    /// Input and output together, which is what a token limit counts.
    pub fn total(self) -> u64 {
        u64::from(self.input) + u64::from(self.output)
    }
}

//! What a tokenizer or a template may ask for.

/// Largest vocabulary, in ids. The largest in use have about 260,000; a file that names a
/// larger id is broken or hostile, and tables are as long as the largest id.
pub const VOCABULARY_MAX: usize = 4 << 20;

/// Largest tokenizer description in bytes (those in use stay below 40 MB).
pub const TOKENIZER_JSON_BYTES_MAX: usize = 256 << 20;

/// Longest text of one token in bytes.
pub const TOKEN_BYTES_MAX: usize = 64 << 10;

/// Longest source of a chat template in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 1 << 20;

/// Work that one rendering of a chat template may take: one unit for an instruction, and one
/// for each 64 bytes of text made. A thousand messages take about a hundred thousand.
pub const TEMPLATE_FUEL: u64 = 5_000_000;

/// Longest prompt that a chat template may write, in bytes: far beyond 128K tokens.
pub const PROMPT_BYTES_MAX: usize = 64 << 20;

/// Most added tokens; the families in use have at most some thousands.
pub const ADDED_TOKENS_MAX: usize = 1 << 16;

/// Longest text of all added tokens together, in bytes; their search automaton is some
/// dozen times as large.
pub const ADDED_BYTES_MAX: usize = 2 << 20;

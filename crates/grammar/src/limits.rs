//! What a constraint may ask for, and what it may cost. Each holds for one constraint.

/// Longest JSON Schema in bytes, written without white space.
pub const SCHEMA_BYTES_MAX: usize = 256 << 10;

/// Deepest nesting of a JSON Schema: schemas within schemas, and values within constants.
pub const SCHEMA_DEPTH_MAX: usize = 64;

/// Schemas within a JSON Schema, those that references lead to counted once.
pub const SUBSCHEMAS_MAX: usize = 10_000;

/// Longest `pattern` of a JSON Schema in bytes.
pub const PATTERN_BYTES_MAX: usize = 4 << 10;

/// Longest string, in characters, and longest array, in items, that a schema can demand. A larger
/// upper bound is lowered to it, a larger lower bound is refused.
pub const LENGTH_MAX: u64 = 100_000;

/// The least common multiple of all `multipleOf` of a schema, in units of the last decimal place
/// that one of them has: each is a state of the automaton that divides.
pub const MULTIPLES_MAX: u64 = 65_535;

/// Longest regular expression in bytes.
pub const REGEX_BYTES_MAX: usize = 16 << 10;

/// Longest Lark grammar in bytes.
pub const LARK_BYTES_MAX: usize = 64 << 10;

/// Most alternatives of a choice.
pub const CHOICES_MAX: usize = 1_000;

/// Bytes of all alternatives of a choice together.
pub const CHOICES_BYTES_MAX: usize = 64 << 10;

/// Most tools that a grammar of calls is made for.
pub const TOOLS_MAX: usize = 128;

/// Longest name of a tool in bytes.
pub const TOOL_NAME_BYTES_MAX: usize = 256;

/// Most calls in one answer: one that never ends its list of calls is of no use to anybody.
pub const PARALLEL_CALLS_MAX: usize = 32;

/// Stack of the thread that compiles, in bytes: compilation recurses as deep as references lead.
/// Only what is used is ever backed by memory.
pub(crate) const COMPILE_STACK_BYTES: usize = 64 << 20;

/// Symbols of a compiled grammar.
pub(crate) const GRAMMAR_SYMBOLS_MAX: usize = 200_000;

/// Work for making the automaton of a grammar, in nodes of regular expressions: 20 ms or so.
pub(crate) const COMPILE_FUEL: u64 = 1_000_000;

/// Work of the automaton for one mask: 15 ms or so.
pub(crate) const MASK_FUEL: u64 = 200_000;

/// States of the parser made for one mask.
pub(crate) const MASK_ITEMS_MAX: usize = 50_000;

/// States of the parser at one byte; the branching of an unambiguous grammar.
pub(crate) const ROW_ITEMS_MAX: usize = 2_000;

/// States of the automaton of one text: one or two kilobytes each.
pub(crate) const AUTOMATON_STATES_MAX: usize = 50_000;

/// Longest token that a constrained text is made of, in bytes. Longer ones are never allowed: their
/// text is written with shorter ones.
pub(crate) const TOKEN_BYTES_MAX: usize = 512;

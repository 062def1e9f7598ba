//! How much one request may ask for.

use std::time::Duration;

/// Bounds of a request, checked before the engine sees it. The engine has bounds of its own
/// ([`phial_engine::Limits`]): how many requests run and wait, and how long a sequence gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a body. A body is held in memory while it is read, once per request.
    pub body_bytes_max: usize,
    /// Time in which a body must have arrived, so that a stalled client holds nothing for ever.
    pub body_time_max: Duration,
    /// Time from the arrival of a request to the end of its answer; `None`: as long as it takes.
    pub request_time_max: Option<Duration>,
    /// Time that a request may wait for its turn in the engine; `None`: as long as it takes.
    pub queue_time_max: Option<Duration>,
    /// Messages of a chat: each costs some bookkeeping beyond its text.
    pub messages_max: usize,
    /// Choices (`n`) of a request: each is a sequence of its own in the engine.
    pub choices_max: usize,
    /// Bytes of a stop string: as much text as this may be held back while streaming.
    pub stop_string_bytes_max: usize,
    /// How often the model is asked again with the results of external tools, within one request.
    pub external_rounds_max: usize,
    /// Time in which an external tool must have answered.
    pub external_call_time_max: Duration,
    /// Bytes of the result of an external tool: it becomes part of the prompt.
    pub external_result_bytes_max: usize,
    /// Responses that are stored, in memory; beyond that the oldest go.
    pub responses_max: usize,
    /// Bytes of JSON of the responses that are stored, their inputs included.
    pub responses_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1 << 20;
        Self {
            body_bytes_max: 16 * MIB,
            body_time_max: Duration::from_secs(60),
            request_time_max: None,
            queue_time_max: None,
            messages_max: 4096,
            choices_max: 8,
            stop_string_bytes_max: 256,
            external_rounds_max: 8,
            external_call_time_max: Duration::from_secs(60),
            external_result_bytes_max: MIB / 4,
            responses_max: 1024,
            responses_bytes_max: 64 * MIB,
        }
    }
}

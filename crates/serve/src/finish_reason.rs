//! Why an answer ends, in the words of the API.

/// The engine's reason.
pub(crate) fn finish_reason(reason: &phial_engine::FinishReason) -> phial_openai::FinishReason {
    match reason {
        phial_engine::FinishReason::StopToken | phial_engine::FinishReason::StopString(_) => {
            phial_openai::FinishReason::Stop
        }
        phial_engine::FinishReason::Length => phial_openai::FinishReason::Length,
    }
}

//! From the wire to an ask.

use phial_openai::{ChatRequest, InvalidRequest, StreamOptions};
use phial_text::{Message, ToolCall};

use crate::answer::{Ask, Input, Tool, ToolChoice, Tools, Wanted};
use crate::api_error::ApiError;
use crate::sampling::sampling_options;
use crate::server::Server;

/// A chat that was read.
pub(super) struct Chat {
    pub ask: Ask,
    /// Servers whose tools are to be offered too.
    pub wanted: Vec<Wanted>,
    pub logprobs: bool,
    pub tools: bool,
    pub stream: Option<StreamOptions>,
}

/// Reads and checks a body. Takes time in proportion to its length.
pub(super) fn read(server: &Server, body: &[u8]) -> Result<Chat, ApiError> {
    let chat = ChatRequest::from_json(body)?;
    server.check_model(&chat.model)?;
    let messages_max = server.options().limits.messages_max;
    if chat.messages.len() > messages_max {
        return Err(InvalidRequest::value(
            "messages",
            format_args!(
                "array too long. Expected an array with maximum length {messages_max}, but got an \
                 array with length {} instead.",
                chat.messages.len()
            ),
        )
        .into());
    }
    let logprobs = chat.logprobs.is_some();
    let stream = chat.stream;
    let tools = !chat.tools.list.is_empty() || !chat.tools.servers.is_empty();
    let wanted = chat.tools.servers.iter().map(wanted).collect();
    Ok(Chat { ask: ask(chat), wanted, logprobs, tools, stream })
}

/// What a chat asks for.
pub(crate) fn ask(chat: ChatRequest) -> Ask {
    let sampling = sampling_options(&chat.sampling);
    let messages = chat.messages.into_iter().map(message).collect();
    Ask {
        input: Input::Chat { messages, tools: tools(chat.tools) },
        input_field: "messages",
        tokens_max: chat.tokens_max,
        sampling,
        choices: chat.choices,
        stop: chat.sampling.stop,
        logprobs: chat.logprobs,
        format: chat.format,
        ignore_eos: chat.sampling.ignore_eos,
        prediction: chat.prediction,
    }
}

/// A turn of a conversation.
pub(crate) fn message(message: phial_openai::Message) -> Message {
    let calls = message.tool_calls.into_iter().map(|call| ToolCall {
        name: call.function.name,
        arguments: call.function.arguments.into(),
        id: Some(call.id),
    });
    Message {
        tool_calls: calls.collect(),
        tool_call_id: message.tool_call_id,
        ..Message::new(message.role.name(), message.content)
    }
}

/// A server of tools that a request asks for.
pub(crate) fn wanted(server: &phial_openai::McpServer) -> Wanted {
    Wanted { server: server.label.clone(), allowed: server.allowed.clone() }
}

/// What a request offers.
pub(crate) fn tools(tools: phial_openai::Tools) -> Tools {
    let list = tools.list.into_iter().map(|tool| Tool {
        name: tool.name,
        description: tool.description,
        parameters: tool.parameters,
        strict: tool.strict,
    });
    Tools {
        list: list.collect(),
        choice: match tools.choice {
            phial_openai::ToolChoice::None => ToolChoice::None,
            phial_openai::ToolChoice::Auto => ToolChoice::Auto,
            phial_openai::ToolChoice::Required => ToolChoice::Required,
            phial_openai::ToolChoice::Function(name) => ToolChoice::Named(name),
        },
        allowed: tools.allowed,
        parallel: tools.parallel,
    }
}

// What the playground holds, and the request it makes of it.

/** Tools to begin with. */
export const EXAMPLE_TOOLS = [
  {
    type: "function",
    function: {
      name: "get_weather",
      description: "The weather of a city, now",
      parameters: {
        type: "object",
        properties: { city: { type: "string" }, unit: { type: "string", enum: ["celsius", "fahrenheit"] } },
        required: ["city"],
      },
    },
  },
];

/** A schema to begin with. */
export const EXAMPLE_SCHEMA = {
  type: "object",
  properties: { name: { type: "string" }, age: { type: "integer" } },
  required: ["name", "age"],
  additionalProperties: false,
};

/**
 * One conversation, kept while the page lives. A turn is `{role, text}` of the user with
 * `attachments`, `{role: "assistant", text, calls, …}`, or `{role: "tool", callId, name, text}`.
 */
export const playground = {
  model: null,
  system: "",
  turns: [],
  parameters: { temperature: null, top_p: null, max_tokens: 512, seed: null, stop: "" },
  hasTools: false,
  tools: JSON.stringify(EXAMPLE_TOOLS, null, 2),
  toolChoice: "auto",
  format: "text",
  schema: JSON.stringify(EXAMPLE_SCHEMA, null, 2),
};

/** What is wrong with the settings' JSON: `{tools, schema}`, each `null` or a message. */
export function problems(state) {
  return {
    tools: state.hasTools ? jsonProblem(state.tools, Array.isArray) : null,
    schema: state.format === "json_schema" ? jsonProblem(state.schema, (value) => value !== null && typeof value === "object" && !Array.isArray(value)) : null,
  };
}

function jsonProblem(text, isRight) {
  try {
    return isRight(JSON.parse(text)) ? null : "shape";
  } catch (error) {
    return error.message;
  }
}

/** The body of the request for the next answer. Settings that are not set are left out. */
export function requestBody(state, isStream = true) {
  const { temperature, top_p: topP, max_tokens: maxTokens, seed, stop } = state.parameters;
  const body = { model: state.model, messages: messages(state) };
  if (temperature !== null) body.temperature = temperature;
  if (topP !== null) body.top_p = topP;
  if (maxTokens !== null) body.max_tokens = maxTokens;
  if (seed !== null) body.seed = seed;
  const stops = stop.split("\n").filter((line) => line !== "");
  if (stops.length > 0) body.stop = stops;
  if (state.hasTools) {
    body.tools = JSON.parse(state.tools);
    if (state.toolChoice !== "auto") body.tool_choice = state.toolChoice;
  }
  const format = responseFormat(state);
  if (format !== null) body.response_format = format;
  if (isStream) Object.assign(body, { stream: true, stream_options: { include_usage: true } });
  return body;
}

function responseFormat({ format, schema }) {
  if (format === "text") return null;
  if (format === "json_object") return { type: "json_object" };
  return { type: "json_schema", json_schema: { name: "answer", strict: true, schema: JSON.parse(schema) } };
}

function messages({ system, turns }) {
  const begin = system.trim() === "" ? [] : [{ role: "system", content: system }];
  return [...begin, ...turns.filter((turn) => !turn.isPending && !turn.error).map(message)];
}

function message(turn) {
  if (turn.role === "user") return { role: "user", content: userContent(turn) };
  if (turn.role === "tool") return { role: "tool", tool_call_id: turn.callId, content: turn.text };
  const content = turn.text === "" && turn.calls.length > 0 ? null : turn.text;
  return turn.calls.length === 0 ? { role: "assistant", content } : { role: "assistant", content, tool_calls: turn.calls };
}

function userContent({ text, attachments = [] }) {
  if (attachments.length === 0) return text;
  const parts = attachments.map(({ kind, address, format, data }) => (kind === "image" ? { type: "image_url", image_url: { url: address } } : { type: "input_audio", input_audio: { data, format } }));
  return text === "" ? parts : [...parts, { type: "text", text }];
}

/** Whether calls of the last answer wait for their results. */
export function openCalls({ turns }) {
  const answered = new Set(turns.filter(({ role }) => role === "tool").map(({ callId }) => callId));
  const last = turns.findLast(({ role }) => role === "assistant");
  return (last?.calls ?? []).filter(({ id }) => !answered.has(id));
}

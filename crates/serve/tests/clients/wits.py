"""Gives a scripted model its wits: before a request is sent, the last question in it becomes the
answer that a clever model would give, which the example `scripted` of phial-serve then writes.

All else of the request, and all of the answer, is the client's and the server's.
"""

import json

import openai


def instance(schema, root=None, depth=0):
    """A value that is valid for a schema as clients send them."""
    root = root or schema
    if "$ref" in schema:
        target = root
        for key in schema["$ref"].removeprefix("#/").split("/"):
            target = target[key]
        return instance(target, root, depth + 1)
    for keyword in ("allOf", "anyOf", "oneOf"):
        if keyword in schema:
            return instance(schema[keyword][0], root, depth)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if "default" in schema and schema["default"] is not None:
        return schema["default"]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        fields = schema.get("properties", {})
        required = schema.get("required", fields)
        return {k: instance(v, root, depth + 1) for k, v in fields.items() if k in required}
    if kind == "array":
        count = max(schema.get("minItems", 1), 1) if depth < 6 else schema.get("minItems", 0)
        return [instance(schema.get("items", {}), root, depth + 1) for _ in range(count)]
    low = schema.get("minimum", schema.get("exclusiveMinimum", 6) + 1)
    scalars = {"string": "text", "integer": int(low), "number": low + 0.5, "boolean": True}
    return scalars.get(kind)


def call(*calls):
    """Calls as the Phi-4-mini family writes them."""
    listed = [{"name": name, "arguments": arguments} for name, arguments in calls]
    return f"<|tool_call|>{json.dumps(listed, ensure_ascii=False)}<|/tool_call|>"


def answer(body):
    """What a clever model would write to a request that says what form it wants."""
    tools = {tool["function"]["name"]: tool["function"] for tool in body.get("tools") or []}
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        name = choice["function"]["name"]
        return call((name, instance(tools[name]["parameters"])))
    if choice == "required":
        name = next(iter(tools))
        return call((name, instance(tools[name]["parameters"])))
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        return json.dumps(instance(form["json_schema"]["schema"]))
    return None


def script(body, written):
    """The conversation with the last question replaced."""
    messages = [dict(message) for message in body["messages"]]
    asked = [message for message in messages if message["role"] == "user"]
    if not asked:
        return body
    asked[-1]["content"] = written
    return {**body, "messages": messages}


def rewrite(request, think):
    """Puts what `think` says to the body of a chat into the request."""
    if not request.url.path.endswith("/chat/completions"):
        return
    body = json.loads(request.content)
    written = think(body)
    if written is None:
        return
    content = json.dumps(script(body, written)).encode()
    request._content = content
    request.stream = type(request.stream)(content)
    request.headers["content-length"] = str(len(content))


def client(think):
    """An HTTP client whose server's model is clever."""
    hooks = {"request": [lambda request: rewrite(request, think)]}
    return openai.DefaultHttpxClient(event_hooks=hooks, timeout=120)


def async_client(think):
    async def hook(request):
        rewrite(request, think)

    return openai.DefaultAsyncHttpxClient(event_hooks={"request": [hook]}, timeout=120)

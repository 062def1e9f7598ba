"""Checks the dialect of `/v1/messages` of a running server with the official `anthropic` package.

    python anthropic_client.py http://127.0.0.1:8000/v1 MODEL

Works against any model: it checks forms and promises, not what the model says. Prints one line
per check and a summary; exits with 1 if any check failed.
"""

from typing import Literal

import anthropic
from anthropic.types import Message, MessageTokensCount
from pydantic import BaseModel

from harness import Skipped, check, main

TOOL = {
    "name": "get_weather",
    "description": "Weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


def client(setup):
    base_url = setup.base_url.removesuffix("/v1")
    return anthropic.Anthropic(base_url=base_url, api_key="none", max_retries=0, timeout=300)


def ask(setup, content="Say hello.", **more):
    more.setdefault("max_tokens", 16)
    # The newest versions of the package leave out what the newest models do not offer.
    body = {name: more.pop(name) for name in ("temperature", "top_k", "top_p") if name in more}
    if body:
        more["extra_body"] = {**body, **more.get("extra_body", {})}
    more.setdefault("messages", [{"role": "user", "content": content}])
    return client(setup).messages.create(model=setup.model, **more)


def strict(model_type, value):
    again = model_type.model_validate(value.model_dump(mode="json", exclude_unset=True))
    assert not again.model_extra, f"unknown fields {again.model_extra}"


class Light(BaseModel):
    """Everything in it has an end, whatever the model would like to say."""

    on: bool
    colour: Literal["red", "white"]


@check
def parsed(setup):
    asked = dict(
        model=setup.model,
        messages=[{"role": "user", "content": "Say hello."}],
        max_tokens=100,
        output_format=Light,
    )
    assert isinstance(client(setup).messages.parse(**asked).parsed_output, Light)
    with client(setup).messages.stream(**asked) as stream:
        for _ in stream:
            pass
        assert isinstance(stream.get_final_message().parsed_output, Light)
    bad = {"type": "json_schema", "schema": {"type": "object", "properties": {"a": {"not": {}}}}}
    try:
        ask(setup, output_config={"format": bad})
        raise AssertionError("a schema that is not enforced was taken")
    except anthropic.BadRequestError as error:
        assert "'not' at '#/properties/a/not'" in str(error)


@check
def message(setup):
    answer = ask(setup)
    strict(Message, answer)
    assert answer.id.startswith("msg_") and answer.role == "assistant"
    assert answer.stop_reason in ("end_turn", "max_tokens")
    assert answer.usage.input_tokens > 0 and 0 < answer.usage.output_tokens <= 16
    assert answer._request_id


@check
def like_claude_code(setup):
    """Systems in blocks with hints for the cache, tools with hints, labels, an older turn."""
    hint = {"type": "ephemeral"}
    answer = ask(
        setup,
        system=[
            {"type": "text", "text": "You are a coding assistant."},
            {"type": "text", "text": "Be brief.", "cache_control": hint},
        ],
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "Hello."}]},
            {
                "role": "user",
                "content": [{"type": "text", "text": "Go on.", "cache_control": hint}],
            },
        ],
        tools=[{**TOOL, "cache_control": hint}],
        metadata={"user_id": "someone"},
        temperature=1.0,
        thinking={"type": "disabled"},
        extra_headers={"anthropic-beta": "some-beta-2025-01-01"},
    )
    strict(Message, answer)


@check
def streaming(setup):
    options = dict(temperature=0.0, top_k=1, max_tokens=24)
    whole = ask(setup, "Tell me a story.", **options)
    events = list(ask(setup, "Tell me a story.", stream=True, **options))
    kinds = [event.type for event in events if event.type != "ping"]
    assert kinds[:2] == ["message_start", "content_block_start"], kinds
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"], kinds
    assert set(kinds[2:-3]) <= {"content_block_delta"}, kinds
    text = "".join(event.delta.text for event in events if event.type == "content_block_delta")
    assert text == whole.content[0].text
    assert events[-2].delta.stop_reason == whole.stop_reason
    assert events[-2].usage.output_tokens == whole.usage.output_tokens


@check
def streaming_helper(setup):
    with client(setup).messages.stream(
        model=setup.model,
        max_tokens=16,
        messages=[{"role": "user", "content": "Say hello."}],
    ) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert "".join(block.text for block in final.content if block.type == "text") == text
    assert final.stop_reason in ("end_turn", "max_tokens")


@check
def stop_sequences(setup):
    options = dict(temperature=0.0, top_k=1, max_tokens=24)
    text = ask(setup, "Tell me a story.", **options).content[0].text
    if len(text) < 4:
        raise Skipped("the model has too little to say")
    needle = text[2:4]
    cut = ask(setup, "Tell me a story.", stop_sequences=["no such thing", needle], **options)
    assert cut.content[0].text == text[: text.index(needle)]
    assert (cut.stop_reason, cut.stop_sequence) == ("stop_sequence", needle)


@check
def results_of_tools(setup):
    call = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Oslo"}}
    result = {
        "type": "tool_result",
        "tool_use_id": "toolu_1",
        "content": [{"type": "text", "text": "3 degrees"}],
    }
    answer = ask(
        setup,
        tools=[TOOL],
        messages=[
            {"role": "user", "content": "How warm is it in Oslo?"},
            {"role": "assistant", "content": [{"type": "text", "text": "Let me see."}, call]},
            {"role": "user", "content": [result, {"type": "text", "text": "Well?"}]},
        ],
    )
    strict(Message, answer)


@check
def counting(setup):
    options = dict(
        system="Be brief.", messages=[{"role": "user", "content": "Hi"}], tools=[TOOL]
    )
    count = client(setup).messages.count_tokens(model=setup.model, **options)
    strict(MessageTokensCount, count)
    usage = ask(setup, **options).usage
    assert count.input_tokens == usage.input_tokens + usage.cache_read_input_tokens


@check
def errors(setup):
    def fails(kind, family, **more):
        try:
            ask(setup, **more)
        except kind as error:
            assert error.body["type"] == "error", error.body
            assert error.body["error"]["type"] == family, error.body
            assert error.request_id
            return error
        raise AssertionError(f"{more} was accepted")

    bad = anthropic.BadRequestError
    fails(bad, "invalid_request_error", temperature=2.0)
    fails(bad, "invalid_request_error", max_tokens=0)
    fails(bad, "invalid_request_error", thinking={"type": "enabled", "budget_tokens": 1024})
    fails(bad, "invalid_request_error", extra_body={"magic": 1})
    image = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"},
    }
    fails(bad, "invalid_request_error", content=[image])
    long = fails(bad, "invalid_request_error", content="many words " * 200_000)
    assert "maximum context length" in str(long)
    try:
        client(setup).messages.create(
            model="no-such-model", max_tokens=1, messages=[{"role": "user", "content": "Hi"}]
        )
        raise AssertionError("a model that is not there")
    except anthropic.NotFoundError as error:
        assert error.body["error"]["type"] == "not_found_error"


if __name__ == "__main__":
    main(__doc__)

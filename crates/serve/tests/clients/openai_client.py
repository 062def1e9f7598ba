"""Checks a running server with the official `openai` package.

    python openai_client.py http://127.0.0.1:8000/v1 MODEL [--schema openapi.json]

Works against any model: it checks forms and promises, not what the model says. With a
copy of the official OpenAPI document, raw answers are also validated against it.
Prints one line per check and a summary; exits with 1 if any check failed.
"""

import argparse
import json
import sys
import time
import traceback
import urllib.request

from typing import List, Literal, Optional

import openai
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from pydantic import BaseModel, Field

CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


class Skipped(Exception):
    pass


class Setup:
    def __init__(self, base_url, model, schema):
        self.base_url = base_url.rstrip("/")
        self.model = model
        self.schema = schema
        self.client = openai.OpenAI(
            base_url=self.base_url, api_key="none", max_retries=0, timeout=300
        )

    def chat(self, content="Say hello.", **more):
        more.setdefault("max_tokens", 16)
        return self.client.chat.completions.create(
            model=self.model, messages=[{"role": "user", "content": content}], **more
        )

    def raw(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.base_url + path, data=data, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=300) as response:
            return response.headers, response.read().decode()


def complete(model_type, value):
    """Validates strictly: right types, and no field that the package does not know."""
    dumped = value.model_dump(mode="json", exclude_unset=True)
    again = model_type.model_validate(dumped, strict=False)
    assert not again.model_extra, f"unknown fields {again.model_extra}"
    for choice in again.choices:
        assert not choice.model_extra, f"unknown fields {choice.model_extra}"
    return again


def check_logprobs(tokens, text):
    joined = b"".join(bytes(token.bytes) for token in tokens)
    assert joined.decode("utf-8", "replace") == text, (joined, text)
    for token in tokens:
        assert token.logprob <= 0.0
        assert isinstance(token.top_logprobs, list)


@check
def plain(setup):
    answer = setup.chat()
    complete(ChatCompletion, answer)
    assert answer.id.startswith("chatcmpl-")
    assert answer.object == "chat.completion"
    assert abs(answer.created - time.time()) < 600
    assert len(answer.choices) == 1
    choice = answer.choices[0]
    assert choice.message.role == "assistant"
    assert isinstance(choice.message.content, str)
    assert choice.finish_reason in ("stop", "length")
    usage = answer.usage
    assert usage.prompt_tokens > 0 and 0 < usage.completion_tokens <= 16
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


@check
def request_id(setup):
    first, second = setup.chat(max_tokens=1), setup.chat(max_tokens=1)
    assert first._request_id and first._request_id != second._request_id
    assert first.id != second.id


@check
def length(setup):
    for name in ("max_tokens", "max_completion_tokens"):
        answer = setup.client.chat.completions.create(
            model=setup.model,
            messages=[{"role": "user", "content": "Count to one hundred."}],
            **{name: 2},
        )
        assert answer.usage.completion_tokens <= 2
        if answer.usage.completion_tokens == 2 and answer.choices[0].finish_reason != "stop":
            assert answer.choices[0].finish_reason == "length"


@check
def messages(setup):
    answer = setup.client.chat.completions.create(
        model=setup.model,
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
            {"role": "assistant", "content": None},
            {"role": "user", "content": "And now?", "name": "someone"},
        ],
        max_tokens=4,
        user="someone",
        metadata={"run": "1"},
    )
    complete(ChatCompletion, answer)


@check
def streaming(setup):
    chunks = list(setup.chat("Write one sentence.", stream=True))
    for chunk in chunks:
        complete(ChatCompletionChunk, chunk)
        assert chunk.object == "chat.completion.chunk"
        assert chunk.usage is None
        assert (chunk.id, chunk.created, chunk.model, chunk.system_fingerprint) == (
            chunks[0].id,
            chunks[0].created,
            chunks[0].model,
            chunks[0].system_fingerprint,
        )
        assert len(chunk.choices) == 1
    roles = [chunk.choices[0].delta.role for chunk in chunks]
    assert roles[0] == "assistant" and set(roles[1:]) <= {None}, roles
    reasons = [chunk.choices[0].finish_reason for chunk in chunks]
    assert reasons[-1] in ("stop", "length") and set(reasons[:-1]) <= {None}, reasons
    assert chunks[-1].choices[0].delta.content is None


@check
def streaming_usage(setup):
    chunks = list(setup.chat(stream=True, stream_options={"include_usage": True}))
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert chunks[-1].choices == []
    usage = chunks[-1].usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens > 0


@check
def streaming_matches_plain(setup):
    options = dict(seed=7, temperature=0, max_tokens=24)
    whole = setup.chat("Tell me a story.", **options).choices[0].message.content
    stream = setup.chat("Tell me a story.", stream=True, **options)
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
    assert "".join(pieces) == whole


@check
def streaming_helper(setup):
    with setup.client.chat.completions.stream(
        # The helper raises where an answer is cut, so this one must end by itself.
        model=setup.model,
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        temperature=0,
        max_tokens=256,
    ) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    assert final.choices[0].message.role == "assistant"
    assert final.choices[0].finish_reason == "stop"


@check
def logprobs(setup):
    answer = setup.chat(logprobs=True, top_logprobs=3)
    complete(ChatCompletion, answer)
    choice = answer.choices[0]
    check_logprobs(choice.logprobs.content, choice.message.content)
    for token in choice.logprobs.content:
        assert len(token.top_logprobs) == 3
        values = [top.logprob for top in token.top_logprobs]
        assert values == sorted(values, reverse=True)
    assert setup.chat().choices[0].logprobs is None


@check
def streaming_logprobs(setup):
    # A token whose bytes end within a character comes with the text in which it begins, so only
    # the whole answer has the bytes of its tokens.
    tokens, text = [], ""
    for chunk in setup.chat(stream=True, logprobs=True):
        choice = chunk.choices[0]
        if choice.delta.content:
            text += choice.delta.content
            tokens += choice.logprobs.content
        else:
            assert choice.logprobs is None or not choice.logprobs.content
    check_logprobs(tokens, text)


@check
def seed(setup):
    options = dict(seed=42, temperature=1.5, max_tokens=16)
    texts = {setup.chat("Once", **options).choices[0].message.content for _ in range(3)}
    assert len(texts) == 1, texts


@check
def several_choices(setup):
    answer = setup.chat(n=2, seed=1, max_tokens=8)
    assert [choice.index for choice in answer.choices] == [0, 1]
    ends = {}
    for chunk in setup.chat(n=2, seed=1, max_tokens=8, stream=True):
        for choice in chunk.choices:
            if choice.finish_reason:
                assert choice.index not in ends
                ends[choice.index] = choice.finish_reason
    assert set(ends) == {0, 1}


@check
def stop(setup):
    options = dict(temperature=0, max_tokens=24)
    text = setup.chat("Tell me a story.", **options).choices[0].message.content
    if len(text) < 4:
        raise Skipped("the model has too little to say")
    needle = text[2:4]
    cut = setup.chat("Tell me a story.", stop=[needle], **options).choices[0]
    assert cut.message.content == text[: text.index(needle)]
    assert cut.finish_reason == "stop"


class Part(BaseModel):
    name: str = Field(max_length=6)
    kind: Literal["wheel", "door"]


class Car(BaseModel):
    """Everything in it has an end, whatever the model would like to say."""

    colour: Literal["red", "blue"]
    doors: int = Field(ge=0, le=9)
    electric: bool
    parts: List[Part] = Field(max_length=2)
    note: Optional[str] = Field(max_length=8)


CAR = {"role": "user", "content": "Describe a car."}


@check
def parsed(setup):
    answer = setup.client.chat.completions.parse(
        model=setup.model, messages=[CAR], response_format=Car, temperature=1.2, seed=3, max_tokens=400
    )
    message = answer.choices[0].message
    assert isinstance(message.parsed, Car) and message.refusal is None
    assert Car.model_validate_json(message.content) == message.parsed
    # What was parsed can be sent back as it is.
    again = setup.client.chat.completions.parse(
        model=setup.model, messages=[CAR, message, CAR], response_format=Car, max_tokens=400
    )
    assert isinstance(again.choices[0].message.parsed, Car)


@check
def parsed_stream(setup):
    with setup.client.chat.completions.stream(
        model=setup.model, messages=[CAR], response_format=Car, max_tokens=400
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds, kinds
    assert isinstance(final.choices[0].message.parsed, Car)


@check
def parsed_tools(setup):
    tool = openai.pydantic_function_tool(Car)
    for choice in ("required", {"type": "function", "function": {"name": "Car"}}):
        answer = setup.client.chat.completions.parse(
            model=setup.model,
            messages=[CAR],
            tools=[tool],
            tool_choice=choice,
            parallel_tool_calls=False,
            max_tokens=400,
        )
        (call,) = answer.choices[0].message.tool_calls
        assert isinstance(call.function.parsed_arguments, Car)


@check
def parsed_response(setup):
    asked = dict(model=setup.model, input="Describe a car.", text_format=Car, max_output_tokens=400)
    answer = setup.client.responses.parse(**asked)
    assert isinstance(answer.output_parsed, Car)
    assert answer.text.format.type == "json_schema" and answer.text.format.name == "Car"
    with setup.client.responses.stream(**asked) as stream:
        for _ in stream:
            pass
        assert isinstance(stream.get_final_response().output_parsed, Car)


@check
def cut_before_it_is_valid(setup):
    try:
        setup.client.chat.completions.parse(
            model=setup.model, messages=[CAR], response_format=Car, max_tokens=4
        )
        raise AssertionError("a cut answer was parsed")
    except openai.LengthFinishReasonError as error:
        assert error.completion.choices[0].finish_reason == "length"


@check
def forms_of_other_servers(setup):
    def ask(**body):
        return setup.chat("Yes or no?", max_tokens=60, extra_body=body).choices[0].message.content

    assert ask(structured_outputs={"choice": ["yes", "no"]}) in ("yes", "no")
    assert ask(guided_regex="[0-9]{3}").isdigit()
    assert isinstance(json.loads(ask(guided_json={"type": "boolean"})), bool)
    assert ask(guided_grammar='start: "a" "b"') == "ab"
    text = setup.client.completions.create(
        model=setup.model, prompt="Once", max_tokens=20, extra_body={"guided_choice": ["upon"]}
    )
    assert text.choices[0].text == "upon"


@check
def forms_that_cannot_be(setup):
    schema = {"type": "object", "properties": {"a": {"not": {"type": "string"}}}}
    form = {"type": "json_schema", "json_schema": {"name": "thing", "schema": schema}}
    try:
        setup.chat(response_format=form)
        raise AssertionError("a schema that is not enforced was taken")
    except openai.BadRequestError as error:
        assert (error.code, error.param) == ("invalid_json_schema", "response_format")
        assert "Invalid schema for response_format 'thing': 'not' at '#/properties/a/not'" in str(error)


@check
def errors(setup):
    def fails(kind, code, param, **more):
        try:
            setup.chat(**more)
        except kind as error:
            assert (error.code, error.param) == (code, param), error.body
            assert error.request_id
            return error
        raise AssertionError(f"{more} was accepted")

    bad = openai.BadRequestError
    fails(bad, "invalid_value", "temperature", temperature=3)
    fails(bad, "invalid_type", "max_tokens", max_tokens="many")
    fails(bad, "invalid_value", "top_logprobs", logprobs=True, top_logprobs=21)
    fails(bad, "invalid_value", "prediction.type", prediction={"type": "words", "content": ""})
    body = {"messages": []}
    fails(bad, "invalid_value", "messages", extra_body=body)
    long = fails(bad, "context_length_exceeded", "messages", content="many words " * 200_000)
    assert "maximum context length" in str(long)
    try:
        setup.client.chat.completions.create(model="no-such-model", messages=[])
    except bad as error:
        assert error.param == "messages"
    try:
        setup.client.chat.completions.create(
            model="no-such-model", messages=[{"role": "user", "content": "Hi"}]
        )
        raise AssertionError("a model that is not there")
    except openai.NotFoundError as error:
        assert (error.code, error.param) == ("model_not_found", "model")
    try:
        setup.client.post("/no/such/address", body={}, cast_to=object)
        raise AssertionError("an address that is not there")
    except openai.NotFoundError as error:
        assert error.code == "unknown_url"
    try:
        setup.client.get("/chat/completions", cast_to=object)
        raise AssertionError("a method that is not there")
    except openai.APIStatusError as error:
        assert error.status_code == 405 and error.code == "method_not_supported"


@check
def body_too_large(setup):
    try:
        setup.chat("x" * (40 << 20))
        raise AssertionError("a body of 40 MiB was accepted")
    except openai.APIStatusError as error:
        assert error.status_code == 413, error
        assert error.code == "payload_too_large"


@check
def models(setup):
    listed = list(setup.client.models.list())
    assert setup.model in [model.id for model in listed]
    model = setup.client.models.retrieve(setup.model)
    assert (model.id, model.object) == (setup.model, "model")
    assert isinstance(model.created, int) and model.owned_by
    try:
        setup.client.models.retrieve("no/such/model")
        raise AssertionError("a model that is not there")
    except openai.NotFoundError as error:
        assert error.code == "model_not_found"


@check
def cancellation(setup):
    """A server that goes on with answers nobody reads would soon be full."""
    for _ in range(40):
        stream = setup.chat("Write a very long story.", stream=True, max_tokens=400)
        next(iter(stream))
        stream.close()
    started = time.monotonic()
    setup.chat(max_tokens=1)
    assert time.monotonic() - started < 60


@check
def schema(setup):
    if setup.schema is None:
        raise Skipped("no --schema given")
    try:
        import jsonschema
    except ImportError:
        raise Skipped("no jsonschema package")
    with open(setup.schema, encoding="utf-8") as file:
        document = json.load(file)

    def nullable(node):
        """`nullable` of OpenAPI 3.0 in the words of JSON Schema."""
        if isinstance(node, list):
            return [nullable(item) for item in node]
        if not isinstance(node, dict):
            return node
        node = {key: nullable(value) for key, value in node.items()}
        if node.pop("nullable", False) is True:
            return {"anyOf": [node, {"type": "null"}]}
        return node

    document = nullable(document)

    def validate(name, value):
        root = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema.Draft202012Validator(root).validate(value)

    body = {"model": setup.model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8}
    for more in ({}, {"logprobs": True, "top_logprobs": 2}, {"n": 2}):
        _, text = setup.raw("/chat/completions", {**body, **more})
        validate("CreateChatCompletionResponse", json.loads(text))
        streamed = {**body, **more, "stream": True, "stream_options": {"include_usage": True}}
        headers, text = setup.raw("/chat/completions", streamed)
        assert headers["content-type"].startswith("text/event-stream")
        assert text.endswith("data: [DONE]\n\n")
        for line in text.split("\n\n")[:-2]:
            if not line.startswith(":"):
                assert line.startswith("data: "), line
                validate("CreateChatCompletionStreamResponse", json.loads(line[6:]))
    _, text = setup.raw("/models")
    validate("ListModelsResponse", json.loads(text))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base_url")
    parser.add_argument("model")
    parser.add_argument("--schema", help="the official OpenAPI document as JSON")
    arguments = parser.parse_args()
    setup = Setup(arguments.base_url, arguments.model, arguments.schema)
    passed = failed = skipped = 0
    for function in CHECKS:
        name = function.__name__
        try:
            function(setup)
        except Skipped as reason:
            skipped += 1
            print(f"skip {name}: {reason}")
        except Exception:
            failed += 1
            print(f"FAIL {name}")
            traceback.print_exc(file=sys.stdout)
        else:
            passed += 1
            print(f"ok   {name}")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

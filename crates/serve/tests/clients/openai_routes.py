"""Checks what a running server has beside chat with the official `openai` package.

    python openai_routes.py http://127.0.0.1:8000/v1 MODEL [--schema openapi.json]

Works against any model. Completions, embeddings, responses, files and batches: answers are
validated strictly against the types of the package and, with a copy of the official OpenAPI
document, against its schemas. Prints one line per check and a summary; exits with 1 if any
check failed.
"""

import base64
import json
import math
import struct
import time

import openai
from openai.types import (
    Batch,
    Completion,
    CreateEmbeddingResponse,
    FileObject,
)
from openai.types.responses import Response

from harness import Skipped, check, main


def strict(model_type, value):
    """Right types, and no field that the package does not know."""
    dumped = value.model_dump(mode="json", exclude_unset=True)
    again = model_type.model_validate(dumped, strict=False)
    assert not again.model_extra, f"unknown fields {again.model_extra}"
    return again


def complete(setup, prompt="Once upon a time", **more):
    more.setdefault("max_tokens", 8)
    answer = setup.client.completions.create(model=setup.model, prompt=prompt, **more)
    return answer


@check
def completion(setup):
    answer = complete(setup)
    strict(Completion, answer)
    assert answer.id.startswith("cmpl-") and answer.object == "text_completion"
    assert len(answer.choices) == 1 and answer.choices[0].logprobs is None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    setup.validate("CreateCompletionResponse", answer)


@check
def completion_of_many_prompts(setup):
    answer = complete(setup, ["Once", "Twice"], n=2, seed=1)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    ids = setup.tokenize("Once")
    texts = {
        complete(setup, prompt, temperature=0).choices[0].text for prompt in ("Once", ids, [ids])
    }
    assert len(texts) == 1, texts


@check
def completion_streamed(setup):
    options = dict(temperature=0, max_tokens=12)
    whole = complete(setup, **options).choices[0].text
    pieces = list(complete(setup, stream=True, stream_options={"include_usage": True}, **options))
    for piece in pieces:
        # The package's type has no `null`, which all pieces of a choice but its last have here.
        for choice in piece.choices:
            choice.finish_reason = choice.finish_reason or "stop"
        strict(Completion, piece)
    assert pieces[-1].choices == [] and pieces[-1].usage.completion_tokens > 0
    assert "".join(piece.choices[0].text for piece in pieces[:-1]) == whole


@check
def likelihood_of_a_prompt(setup):
    """As lm-eval asks: the prompt as tokens, echoed with log-probabilities."""
    ids = setup.tokenize("Paris is the capital of France, and Rome of Italy.")
    answers = [
        complete(setup, prompt, echo=True, logprobs=1, max_tokens=count, temperature=0)
        for prompt, count in ((ids, 0), (ids, 1))
    ]
    for answer in answers:
        logprobs = answer.choices[0].logprobs
        assert logprobs.token_logprobs[0] is None and logprobs.top_logprobs[0] is None
        for value, top in list(zip(logprobs.token_logprobs, logprobs.top_logprobs))[1 : len(ids)]:
            assert value <= 0.0 and 1 <= len(top) <= 2
            assert max(top.values()) >= value
        lengths = {
            len(entries)
            for entries in (
                logprobs.tokens,
                logprobs.token_logprobs,
                logprobs.top_logprobs,
                logprobs.text_offset,
            )
        }
        assert len(lengths) == 1
    scored, continued = (answer.choices[0].logprobs.token_logprobs for answer in answers)
    assert len(scored) == len(ids)
    # One by one as generated tokens, the same numbers come out.
    for one, two in zip(scored[1:], continued[1:]):
        assert abs(one - two) < 1e-4
    text = answers[0].choices[0].text
    assert text == setup.detokenize(ids)


@check
def refused_completions(setup):
    for more, code, param in (
        ({"suffix": "end"}, "unsupported_parameter", "suffix"),
        ({"best_of": 3}, "unsupported_parameter", "best_of"),
        ({"extra_body": {"magic": 1}}, "unknown_parameter", "magic"),
    ):
        try:
            complete(setup, **more)
        except openai.BadRequestError as error:
            assert (error.code, error.param) == (code, param), error.body
        else:
            raise AssertionError(f"{more} was accepted")


@check
def embeddings(setup):
    texts = ["A cat sat on the mat.", "A cat sat on a mat.", "Compilers translate programs."]
    # The package asks for Base64 unless told otherwise, and decodes it.
    answer = setup.client.embeddings.create(model=setup.model, input=texts)
    strict(CreateEmbeddingResponse, answer)
    vectors = [entry.embedding for entry in answer.data]
    for vector in vectors:
        assert abs(math.sqrt(sum(value * value for value in vector)) - 1) < 1e-3
    floats = setup.client.embeddings.create(
        model=setup.model, input=texts, encoding_format="float"
    )
    setup.validate("CreateEmbeddingResponse", floats)
    for one, two in zip(vectors, (entry.embedding for entry in floats.data)):
        assert max(abs(a - b) for a, b in zip(one, two)) < 1e-6
    _, raw = setup.raw(
        "/embeddings", {"model": setup.model, "input": texts[0], "encoding_format": "base64"}
    )
    data = base64.b64decode(json.loads(raw)["data"][0]["embedding"])
    assert len(struct.unpack(f"<{len(data) // 4}f", data)) == len(vectors[0])
    try:
        setup.client.embeddings.create(model=setup.model, input="a", dimensions=8)
        raise AssertionError("dimensions were accepted")
    except openai.BadRequestError as error:
        assert error.code == "unsupported_parameter"


def respond(setup, **more):
    more.setdefault("max_output_tokens", 16)
    more.setdefault("input", "Say hello.")
    return setup.client.responses.create(model=setup.model, **more)


@check
def response(setup):
    answer = respond(setup, instructions="Be brief.", metadata={"run": "1"}, temperature=0)
    strict(Response, answer)
    setup.validate("Response", answer)
    assert answer.id.startswith("resp_") and answer.status in ("completed", "incomplete")
    assert answer.output[0].type == "message" and isinstance(answer.output_text, str)
    assert answer.metadata == {"run": "1"} and answer.instructions == "Be brief."
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    assert setup.client.responses.retrieve(answer.id) == answer
    items = list(setup.client.responses.input_items.list(answer.id))
    assert [item.type for item in items] == ["message"]
    setup.client.responses.delete(answer.id)
    try:
        setup.client.responses.retrieve(answer.id)
        raise AssertionError("a response that was deleted")
    except openai.NotFoundError:
        pass


@check
def response_goes_on(setup):
    first = respond(setup)
    second = respond(setup, input="And again.", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    assert second.usage.input_tokens > first.usage.input_tokens
    items = list(setup.client.responses.input_items.list(second.id, order="asc"))
    assert [getattr(item, "role", None) for item in items] == ["user", "assistant", "user"]
    stateless = respond(
        setup,
        input=[
            {"role": "user", "content": "Say hello."},
            *[item.model_dump(exclude_unset=True) for item in first.output],
            {"role": "user", "content": [{"type": "input_text", "text": "And again."}]},
        ],
        store=False,
        include=["reasoning.encrypted_content"],
    )
    assert stateless.usage.input_tokens == second.usage.input_tokens
    try:
        setup.client.responses.retrieve(stateless.id)
        raise AssertionError("a response that was not to be stored")
    except openai.NotFoundError:
        pass


@check
def response_streamed(setup):
    events = list(respond(setup, stream=True, temperature=0))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    for event in events:
        strict(type(event), event)
        setup.validate("ResponseStreamEvent", event)
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:-1] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
    ]
    assert kinds[-1] in ("response.completed", "response.incomplete")
    assert set(kinds[4:-4]) <= {"response.output_text.delta"}
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == events[-1].response.output_text
    assert text == respond(setup, temperature=0).output_text


@check
def response_helper(setup):
    with setup.client.responses.stream(
        model=setup.model, input="Say hello.", max_output_tokens=12
    ) as stream:
        for _ in stream:
            pass
    final = stream.get_final_response()
    assert final.status in ("completed", "incomplete")


@check
def files(setup):
    setup.needs_files()
    content = b'{"a": 1}\n'
    stored = setup.client.files.create(file=("some.jsonl", content), purpose="batch")
    strict(FileObject, stored)
    setup.validate("OpenAIFile", stored)
    assert (stored.bytes, stored.filename) == (len(content), "some.jsonl")
    assert setup.client.files.retrieve(stored.id) == stored
    assert setup.client.files.content(stored.id).read() == content
    assert stored.id in [file.id for file in setup.client.files.list(purpose="batch")]
    assert setup.client.files.delete(stored.id).deleted
    try:
        setup.client.files.retrieve(stored.id)
        raise AssertionError("a file that was deleted")
    except openai.NotFoundError:
        pass


@check
def batches(setup):
    setup.needs_files()
    body = {
        "model": setup.model,
        "max_tokens": 4,
        "messages": [{"role": "user", "content": "Hi"}],
    }
    lines = [
        {"custom_id": f"r{index}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        for index in range(3)
    ]
    lines.append({**lines[0], "custom_id": "wrong", "body": {"model": setup.model}})
    content = "\n".join(json.dumps(line) for line in lines).encode()
    stored = setup.client.files.create(file=("in.jsonl", content), purpose="batch")
    batch = setup.client.batches.create(
        input_file_id=stored.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    deadline = time.monotonic() + 120
    while batch.status != "completed":
        assert batch.status in ("validating", "in_progress", "finalizing"), batch
        assert time.monotonic() < deadline, batch
        time.sleep(0.1)
        batch = setup.client.batches.retrieve(batch.id)
        strict(Batch, batch)
        setup.validate("Batch", batch)
    assert (batch.request_counts.completed, batch.request_counts.failed) == (3, 1)
    output = setup.client.files.content(batch.output_file_id).text.splitlines()
    answers = {line["custom_id"]: line for line in map(json.loads, output)}
    assert set(answers) == {"r0", "r1", "r2"}
    for line in answers.values():
        assert line["response"]["status_code"] == 200 and line["error"] is None
        assert line["response"]["body"]["object"] == "chat.completion"
    errors = setup.client.files.content(batch.error_file_id).text.splitlines()
    assert [json.loads(line)["custom_id"] for line in errors] == ["wrong"]
    assert batch.id in [listed.id for listed in setup.client.batches.list(limit=5)]


@check
def metrics(setup):
    try:
        from prometheus_client.openmetrics import parser
    except ImportError:
        raise Skipped("no prometheus_client package")
    _, text = setup.raw("/../metrics")
    families = {family.name: family for family in parser.text_string_to_metric_families(text)}
    for name in (
        "phial_requests_running",
        "vllm:num_requests_waiting",
        "vllm:kv_cache_usage_perc",
        "vllm:prompt_tokens",
        "vllm:time_to_first_token_seconds",
        "vllm:e2e_request_latency_seconds",
    ):
        assert name in families, name
    for family in families.values():
        for sample in family.samples:
            assert sample.labels["model_name"] == setup.model, sample


if __name__ == "__main__":
    main(__doc__)

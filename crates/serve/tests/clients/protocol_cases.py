"""Checks what clients of llama.cpp's server rely on, as far as it applies here.

    python protocol_cases.py http://127.0.0.1:8000/v1 MODEL

Works against any model. The list of cases, and which of them apply, is in
`docs/llama-cpp-server-cases.md`; checks are named after them. Prints one line per check and a
summary; exits with 1 if any check failed.
"""

import concurrent.futures
import json
import math
import urllib.error
import urllib.request

from harness import check, main

BOOK = [
    {"role": "system", "content": "You know books."},
    {"role": "user", "content": "Which book is the best?"},
]


def send(setup, path, body=None, method=None, headers=()):
    """Status, headers and JSON of an answer, or its text."""
    url = setup.base_url.removesuffix("/v1") + path
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method)
    request.add_header("Content-Type", "application/json")
    for name, value in headers:
        request.add_header(name, value)
    try:
        answer = urllib.request.urlopen(request, timeout=300)
    except urllib.error.HTTPError as error:
        answer = error
    text = answer.read().decode()
    try:
        return answer.status, answer.headers, json.loads(text)
    except ValueError:
        return answer.status, answer.headers, text


def ok(setup, path, body):
    status, _, answer = send(setup, path, body)
    assert status == 200, (status, answer)
    return answer


def refused(setup, path, body, code=None):
    status, _, answer = send(setup, path, body)
    assert status == 400, (status, answer)
    error = answer["error"]
    assert isinstance(error["message"], str) and error["message"]
    assert code is None or error["code"] == code, error
    return error


def chat(setup, messages=BOOK, **more):
    body = {"model": setup.model, "messages": messages, "max_tokens": 8, "temperature": 0}
    return ok(setup, "/v1/chat/completions", {**body, **more})


def complete(setup, prompt="Once upon a time", **more):
    body = {"model": setup.model, "prompt": prompt, "max_tokens": 8, "temperature": 0}
    return ok(setup, "/v1/completions", {**body, **more})


def events(setup, path, body):
    """The JSON of all events of a stream, which must end as it should."""
    status, headers, text = send(setup, path, {"model": setup.model, "stream": True, **body})
    assert status == 200, (status, text)
    assert headers["content-type"].startswith("text/event-stream")
    blocks = [block for block in text.split("\n\n") if block and not block.startswith(":")]
    assert blocks.pop() == "data: [DONE]"
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


# test_basic.py


@check
def server_start_simple(setup):
    status, _, answer = send(setup, "/health")
    assert status == 200 and "error" not in answer


@check
def server_models(setup):
    status, _, answer = send(setup, "/v1/models")
    assert status == 200 and answer["object"] == "list"
    assert setup.model in [model["id"] for model in answer["data"]]


# test_chat_completion.py


@check
def chat_completion(setup):
    answer = chat(setup)
    assert answer["id"].startswith("chatcmpl-") and answer["system_fingerprint"]
    usage, choice = answer["usage"], answer["choices"][0]
    assert 0 < usage["completion_tokens"] <= 8
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert choice["message"]["role"] == "assistant"
    assert choice["finish_reason"] in ("stop", "length")


@check
def chat_completion_of_parts(setup):
    parts = [{"type": "text", "text": "Which is"}, {"type": "text", "text": " best?"}]
    assert chat(setup, [{"role": "user", "content": parts}])["choices"]


@check
def chat_completion_cached_tokens(setup):
    words = "one two three four five six seven eight nine ten " * 4
    question = [{"role": "user", "content": words + "eleven"}]
    first, again = chat(setup, question), chat(setup, question)
    other = chat(setup, [{"role": "user", "content": words + "twelve"}])
    cached = [
        answer["usage"]["prompt_tokens_details"]["cached_tokens"] for answer in (first, again, other)
    ]
    # A prompt is never cached whole: its last token has to be read for the first of the answer.
    assert 0 < cached[2] <= cached[1] < again["usage"]["prompt_tokens"], cached
    assert [a["choices"][0]["message"]["content"] for a in (first, again)] == [
        first["choices"][0]["message"]["content"]
    ] * 2


@check
def chat_completion_stream(setup):
    body = {"messages": BOOK, "max_tokens": 8, "temperature": 0}
    body["stream_options"] = {"include_usage": True}
    chunks = events(setup, "/v1/chat/completions", body)
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert all(chunk["model"] == setup.model for chunk in chunks)
    *pieces, usage = chunks
    assert usage["choices"] == [] and usage["usage"]["completion_tokens"] > 0
    deltas = [piece["choices"][0]["delta"] for piece in pieces]
    assert deltas[0]["role"] == "assistant"
    assert all("role" not in delta for delta in deltas[1:])
    assert all(piece["choices"][0]["finish_reason"] is None for piece in pieces[:-1])
    assert pieces[-1]["choices"][0]["finish_reason"] in ("stop", "length")
    assert not pieces[-1]["choices"][0]["delta"].get("content")
    text = "".join(delta.get("content") or "" for delta in deltas)
    assert text == chat(setup)["choices"][0]["message"]["content"]


@check
def apply_chat_template(setup):
    answer = ok(setup, "/apply-template", {"model": setup.model, "messages": BOOK})
    assert BOOK[0]["content"] in answer["prompt"] and BOOK[1]["content"] in answer["prompt"]


@check
def invalid_chat_completion_req(setup):
    system = {"role": "system", "content": "test"}
    for messages in (
        None,
        "string",
        [123],
        [{}],
        [{"role": 123}],
        [{"role": "system", "content": 123}],
        [system, {}],
    ):
        body = {"model": setup.model, "messages": messages}
        refused(setup, "/v1/chat/completions", body)


@check
def logprobs(setup):
    options = dict(max_tokens=5, logprobs=True, top_logprobs=10)
    choice = chat(setup, **options)["choices"][0]
    entries = choice["logprobs"]["content"]
    assert "".join(entry["token"] for entry in entries) == choice["message"]["content"]
    for entry in entries:
        assert entry["logprob"] <= 0 and isinstance(entry["bytes"], list)
        assert len(entry["top_logprobs"]) == 10
    body = {"messages": BOOK, "temperature": 0, **options}
    streamed = events(setup, "/v1/chat/completions", body)
    pieces = [chunk["choices"][0] for chunk in streamed if chunk["choices"]]
    said = [piece["logprobs"]["content"] for piece in pieces if piece.get("logprobs")]
    assert [entry["token"] for content in said for entry in content or []] == [
        entry["token"] for entry in entries
    ]


@check
def logit_bias(setup):
    token = setup.tokenize(" the")[0]
    word = setup.detokenize([token])
    text = chat(setup, logit_bias={str(token): 100}, max_tokens=6)["choices"][0]["message"]
    assert text["content"] == word * 6, text
    before = complete(setup, max_tokens=1)["choices"][0]["text"]
    banned = setup.tokenize(before)
    if len(banned) == 1:
        after = complete(setup, max_tokens=1, logit_bias={str(banned[0]): -100})
        assert after["choices"][0]["text"] != before


@check
def context_size_exceeded(setup):
    context = ok(setup, "/tokenize", {"model": setup.model, "prompt": "x"})["max_model_len"]
    messages = [{"role": "user", "content": "a b c d " * context}]
    for stream in (False, True):
        body = {"model": setup.model, "messages": messages, "stream": stream}
        # Before any stream begins.
        error = refused(setup, "/v1/chat/completions", body, "context_length_exceeded")
        assert str(context) in error["message"], error


@check
def chat_completions_multiple_choices(setup):
    for _ in range(2):
        answer = chat(setup, n=2)
        assert [choice["index"] for choice in answer["choices"]] == [0, 1]
        texts = {choice["message"]["content"] for choice in answer["choices"]}
        assert len(texts) == 1, "the likeliest text is one"


@check
def unknown_words_of_llama_cpp_are_refused(setup):
    """What is not done is said, where llama.cpp's own routes would do it."""
    for path, body in (
        ("/v1/completions", {"prompt": "a", "n_predict": 8}),
        ("/v1/completions", {"prompt": "a", "n_probs": 3}),
        ("/v1/completions", {"prompt": "a", "id_slot": 0}),
        ("/v1/responses", {"input": "a", "timings_per_token": True}),
    ):
        refused(setup, path, {"model": setup.model, **body})


# test_completion.py


@check
def completion(setup):
    answer = complete(setup)
    choice = answer["choices"][0]
    assert answer["object"] == "text_completion" and isinstance(choice["text"], str)
    assert answer["usage"]["completion_tokens"] <= 8


@check
def completion_stream_vs_non_stream(setup):
    body = {"prompt": "Once upon a time", "max_tokens": 8, "temperature": 0}
    pieces = events(setup, "/v1/completions", body)
    text = "".join(piece["choices"][0]["text"] for piece in pieces)
    assert text == complete(setup)["choices"][0]["text"]


@check
def completion_stream_stops(setup):
    whole = complete(setup, max_tokens=16)["choices"][0]["text"]
    stop = whole[len(whole) // 2 :][:2]
    if not stop:
        return
    body = {"prompt": "Once upon a time", "max_tokens": 16, "temperature": 0, "stop": [stop]}
    pieces = events(setup, "/v1/completions", body)
    text = "".join(piece["choices"][0]["text"] for piece in pieces)
    assert text == whole[: whole.index(stop)], (text, whole, stop)
    assert pieces[-1]["choices"][0]["finish_reason"] == "stop"


@check
def consistent_result_same_seed(setup):
    texts = {
        json.dumps(chat(setup, seed=42, temperature=1.0)["choices"][0]["message"]["content"])
        for _ in range(4)
    }
    assert len(texts) == 1, texts


@check
def different_result_different_seed(setup):
    question = [{"role": "user", "content": "random"}]
    texts = {
        chat(setup, question, seed=seed, temperature=1.5, max_tokens=12)["choices"][0]["message"][
            "content"
        ]
        for seed in range(6)
    }
    assert len(texts) > 1, texts


@check
def same_text_in_any_company(setup):
    """As the cases of batch sizes, slots and a cache that must not change a text; beside them a
    prompt of 5,000 tokens, or as many as half of the context."""
    context = ok(setup, "/tokenize", {"model": setup.model, "prompt": "x"})["max_model_len"]
    words = " the" * min(5000, context // 2)
    while len(setup.tokenize(words)) > context // 2:
        words = words[: len(words) // 2]
    questions = [[{"role": "user", "content": f"Tell me about number {n}."}] for n in range(6)]

    def ask(question):
        return chat(setup, question, seed=7, temperature=1.0)["choices"][0]["message"]["content"]

    alone = [ask(question) for question in questions]
    with concurrent.futures.ThreadPoolExecutor(len(questions) + 1) as pool:
        neighbour = pool.submit(chat, setup, [{"role": "user", "content": words}])
        together = list(pool.map(ask, questions))
    assert together == alone
    assert neighbour.result()["usage"]["prompt_tokens"] > min(5000, context // 2) // 3


@check
def completion_with_tokens_input(setup):
    text = "I believe that the meaning of life is"
    ids = setup.tokenize(text)
    single = complete(setup, ids)["choices"][0]["text"]
    for prompt in (text, [ids, ids], [text, text]):
        answer = complete(setup, prompt)
        assert all(choice["text"] == single for choice in answer["choices"])
    body = {"model": setup.model, "prompt": {"prompt_string": text}}
    refused(setup, "/v1/completions", body)


@check
def completion_probabilities(setup):
    entries = complete(setup, max_tokens=5, logprobs=5)["choices"][0]["logprobs"]
    assert len(entries["tokens"]) == len(entries["token_logprobs"]) <= 5
    for token, logprob, top in zip(*(entries[n] for n in ("tokens", "token_logprobs", "top_logprobs"))):
        assert isinstance(token, str) and logprob <= 0
        assert math.isclose(max(top.values()), logprob, abs_tol=1e-6)


@check
def cancel_request(setup):
    """A client that leaves frees its place: the next is answered."""
    body = {"model": setup.model, "messages": BOOK, "max_tokens": 200, "stream": True}
    for _ in range(40):
        url = setup.base_url + "/chat/completions"
        request = urllib.request.Request(url, json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        urllib.request.urlopen(request, timeout=300).close()
    assert chat(setup)["choices"]


# test_compat_anthropic.py, beyond what the official client checks


@check
def anthropic_missing_and_empty_messages(setup):
    body = {"model": setup.model, "max_tokens": 5}
    for messages in ({}, {"messages": []}):
        status, _, answer = send(setup, "/v1/messages", {**body, **messages})
        assert status == 400 and answer["type"] == "error", answer
        assert answer["error"]["type"] == "invalid_request_error"


@check
def anthropic_result_of_a_tool_with_an_image(setup):
    image = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": image}]}
    messages = [
        {"role": "user", "content": "What is in it?"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "read", "input": {}}]},
        {"role": "user", "content": [result]},
    ]
    body = {"model": setup.model, "max_tokens": 5, "messages": messages}
    status, _, answer = send(setup, "/v1/messages", body)
    # Said, not dropped.
    assert status == 400 and "image" in answer["error"]["message"], answer


@check
def anthropic_and_openai_differ(setup):
    question = [{"role": "user", "content": "Hello"}]
    message = ok(
        setup, "/v1/messages", {"model": setup.model, "max_tokens": 5, "messages": question}
    )
    completion = chat(setup, question)
    assert "choices" not in message and "content" in message and "stop_reason" in message
    assert "choices" in completion and "content" not in completion
    assert "timings" not in message


# test_embedding.py


@check
def embedding(setup):
    one = ok(setup, "/v1/embeddings", {"model": setup.model, "input": "hello hello"})
    many = ["hello hello", "Write a joke about a very long prompt", "hello hello"]
    several = ok(setup, "/v1/embeddings", {"model": setup.model, "input": many})
    vectors = [entry["embedding"] for entry in several["data"]]
    assert [entry["index"] for entry in several["data"]] == [0, 1, 2]
    for vector in vectors:
        assert abs(sum(value * value for value in vector) - 1) < 1e-3
    assert vectors[0] == vectors[2] == one["data"][0]["embedding"]
    assert several["usage"]["prompt_tokens"] > one["usage"]["prompt_tokens"]
    assert several["usage"]["total_tokens"] == several["usage"]["prompt_tokens"]


@check
def embedding_invalid_input(setup):
    for value in ([], "", {"content": "string"}, {"prompt_string": "string"}, [[1, "a"]]):
        refused(setup, "/v1/embeddings", {"model": setup.model, "input": value})


@check
def embedding_error_prompt_too_long(setup):
    context = ok(setup, "/tokenize", {"model": setup.model, "prompt": "x"})["max_model_len"]
    body = {"model": setup.model, "input": "a b c d " * context}
    refused(setup, "/v1/embeddings", body, "context_length_exceeded")


# test_tokenize.py


@check
def tokenize_detokenize(setup):
    text = "What is the capital of France ? 媽 🤗"
    for name in ("content", "prompt"):
        tokens = ok(setup, "/tokenize", {name: text, "add_special": False})["tokens"]
        assert len(tokens) > 5
        answer = ok(setup, "/detokenize", {"tokens": tokens})
        assert answer["prompt"] == text
    refused(setup, "/tokenize", {"content": text, "with_pieces": True})


# test_metrics.py


@check
def metrics_count_tokens(setup):
    def generated():
        _, _, text = send(setup, "/metrics")
        lines = [line for line in text.splitlines() if "generation_tokens_total{" in line]
        return {line.split("{")[0]: float(line.rsplit(" ", 1)[1]) for line in lines}

    before = generated()
    count = sum(
        complete(setup, max_tokens=tokens)["usage"]["completion_tokens"] for tokens in (1, 4, 16)
    )
    after = generated()
    assert set(after) == {"phial_generation_tokens_total", "vllm:generation_tokens_total"}
    assert all(after[name] - before[name] == count for name in after), (before, after, count)


# test_security.py


@check
def keys_of_any_kind_are_taken_where_none_is_asked_for(setup):
    for header in (("Authorization", "Bearer anything"), ("X-Api-Key", "anything")):
        status, _, _ = send(setup, "/v1/models", headers=[header])
        assert status == 200


@check
def other_origins_are_told_nothing(setup):
    headers = [("Origin", "http://evil.example"), ("Access-Control-Request-Method", "POST")]
    _, answer, _ = send(setup, "/v1/chat/completions", method="OPTIONS", headers=headers)
    assert "access-control-allow-origin" not in answer


# test_ctx_shift.py


@check
def nothing_is_shifted_out(setup):
    """An answer ends where the context does, and says so."""
    answer = ok(
        setup,
        "/v1/completions",
        {"model": setup.model, "prompt": "Once", "max_tokens": 12, "ignore_eos": True},
    )
    assert answer["usage"]["completion_tokens"] == 12
    assert answer["choices"][0]["finish_reason"] == "length"


if __name__ == "__main__":
    main(__doc__)

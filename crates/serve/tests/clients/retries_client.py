"""Checks that the official clients' own retries behave when a server has no time.

    python retries_client.py http://127.0.0.1:8000/v1 fake/echo

Needs the example `fake` of phial-serve, `hurried`: it works on one request at a time, none longer
than 1.5 s, none waiting longer than 0.3 s. Prints one line per check and a summary; exits with 1
if any check failed.
"""

import threading
import time

import anthropic
import openai

from harness import check, main


def openai_client(setup):
    return openai.OpenAI(base_url=setup.base_url, api_key="none", max_retries=3, timeout=60)


def anthropic_client(setup):
    base_url = setup.base_url.removesuffix("/v1")
    return anthropic.Anthropic(base_url=base_url, api_key="none", max_retries=3, timeout=60)


def answers(setup, route, status):
    """How many answers of a route had a status."""
    _, text = setup.raw("/../metrics")
    for line in text.splitlines():
        if line.startswith("phial_http_answers_total{") and f'route="{route}"' in line:
            if f'status="{status}"' in line:
                return int(float(line.rsplit(" ", 1)[1]))
    return 0


def say(words):
    return [{"role": "user", "content": words}]


def occupy(setup):
    """Keeps the server busy until its time for a request is over."""

    def ask():
        try:
            client = openai_client(setup).with_options(max_retries=0)
            client.chat.completions.create(model=setup.model, messages=say("forever"))
        except openai.APIStatusError as error:
            assert error.status_code == 408, error

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.2)
    return thread


@check
def what_would_take_as_long_again_is_not_asked_again(setup):
    for route, error_type, ask in (
        (
            "/v1/chat/completions",
            openai.APIStatusError,
            lambda: openai_client(setup).chat.completions.create(
                model=setup.model, messages=say("forever")
            ),
        ),
        (
            "/v1/messages",
            anthropic.APIStatusError,
            lambda: anthropic_client(setup).messages.create(
                model=setup.model, messages=say("forever"), max_tokens=400
            ),
        ),
    ):
        before = answers(setup, route, 408)
        try:
            ask()
        except error_type as error:
            assert error.status_code == 408, error
        else:
            raise AssertionError("it was answered")
        assert answers(setup, route, 408) == before + 1, route


@check
def who_has_to_wait_comes_again_and_is_answered(setup):
    for route, ask in (
        (
            "/v1/chat/completions",
            lambda: openai_client(setup)
            .chat.completions.create(model=setup.model, messages=say("Hi"))
            .choices[0]
            .message.content,
        ),
        (
            "/v1/messages",
            lambda: anthropic_client(setup)
            .messages.create(model=setup.model, messages=say("Hi"), max_tokens=5)
            .content[0]
            .text,
        ),
    ):
        busy = occupy(setup)
        before = answers(setup, route, 503)
        started = time.monotonic()
        assert ask() == "Hi"
        took = time.monotonic() - started
        assert answers(setup, route, 503) == before + 1, route
        # `retry-after` was heeded: the client did not come back at once, and not after a minute.
        assert 4.5 < took < 15, took
        busy.join()


@check
def a_stream_says_why_it_ends(setup):
    stream = openai_client(setup).chat.completions.create(
        model=setup.model, messages=say("forever"), stream=True
    )
    text = ""
    try:
        for chunk in stream:
            text += chunk.choices[0].delta.content or ""
    except openai.APIError as error:
        assert error.code == "request_timeout", error
    else:
        raise AssertionError("the stream ended as if it were whole")
    assert text.startswith("xxx")


if __name__ == "__main__":
    main(__doc__)

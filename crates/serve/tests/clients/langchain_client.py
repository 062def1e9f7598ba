"""LangChain's own tests of a chat model, over `langchain-openai` and a running server.

    python langchain_client.py http://127.0.0.1:8000/v1 scripted/phi4

The server runs the example `scripted` of phial-serve, whose model `wits.py` makes clever: the tests
ask for calls of the right tools and for answers in the right form, and get what the server makes of
them.
"""

import json
import os
import sys

import pytest
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

import wits

# What a clever model calls in answer to the questions of the tests.
CALLS = {
    "magic_function(3)": ("magic_function", {"input": 3}),
    "magic_function_no_args": ("magic_function_no_args", {}),
    "weather in San Francisco": ("get_weather", {"location": "San Francisco, CA"}),
    "你好啊集团": ("unicode_customer", {"customer_name": "你好啊集团", "description": "科技"}),
    "こんにちは株式会社": ("unicode_customer", {"customer_name": "こんにちは株式会社", "description": "会社"}),
}
JOKE = {"setup": "Why do cats purr?", "punchline": "Because they can't whistle."}


def think(body):
    last = body["messages"][-1]
    if last["role"] != "user":
        return "That is what it gave."
    content = last["content"]
    if isinstance(content, list):
        content = "".join(part.get("text", "") for part in content)
    if body.get("tools"):
        for question, calling in CALLS.items():
            if question in content:
                return wits.call(calling)
    if (body.get("response_format") or {}).get("type") == "json_object":
        return json.dumps(JOKE)
    return wits.answer(body)


class Tests(ChatModelIntegrationTests):
    @property
    def chat_model_class(self):
        return ChatOpenAI

    @property
    def chat_model_params(self):
        return {
            "base_url": os.environ["SERVER_URL"],
            "model": os.environ["SERVER_MODEL"],
            "api_key": "none",
            "temperature": 0,
            "max_tokens": 256,
            # Each test has an event loop of its own and inherits the connections of the last.
            "max_retries": 2,
            "stream_usage": True,
            "http_client": wits.client(think),
            "http_async_client": wits.async_client(think),
        }

    has_tool_calling = True
    has_tool_choice = True
    has_structured_output = True
    supports_json_mode = True
    supports_image_inputs = False
    supports_image_urls = False
    returns_usage_metadata = True


class TestJsonSchema(Tests):
    """Structured output by `response_format`, which is the client's default."""


class TestFunctionCalling(Tests):
    """Structured output by a tool that must be called."""

    structured_output_kwargs = {"method": "function_calling"}


del Tests

if __name__ == "__main__":
    os.environ["SERVER_URL"], os.environ["SERVER_MODEL"] = sys.argv[1:3]
    sys.exit(
        pytest.main(["-q", "-rs", "-p", "no:cacheprovider", "--asyncio-mode=auto", __file__])
    )

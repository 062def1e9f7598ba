"""LangChain's own tests of a chat model, over `langchain-openai` and a running server.

    python langchain_client.py http://127.0.0.1:8000/v1 MODEL

What they ask of the model's wits is left out where they would test those rather than the server.
"""

import os
import sys

import pytest
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests


class TestServer(ChatModelIntegrationTests):
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
            "max_tokens": 48,
            # Each test has an event loop of its own and inherits the connections of the last.
            "max_retries": 2,
            "stream_usage": True,
        }

    # Whether a model of so few parameters calls the right tool is not the server's merit.
    has_tool_calling = False
    has_tool_choice = False
    has_structured_output = False
    supports_json_mode = False
    supports_image_inputs = False
    supports_image_urls = False
    returns_usage_metadata = True


if __name__ == "__main__":
    os.environ["SERVER_URL"], os.environ["SERVER_MODEL"] = sys.argv[1:3]
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "--asyncio-mode=auto", __file__]))

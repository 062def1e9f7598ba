"""Holds everything that clients were answered against the official forms.

    python conformance.py captures.jsonl [--schema openai-openapi.json]

Each answer and each event of a stream that `recorder.py` noted must be valid for the types of the
official `openai` package, with no field that these do not know but those named below; with the
official OpenAPI document, for its schema too. Prints how many of which kind were checked.
"""

import argparse
import base64
import json
import os
import re
import struct
import sys
from collections import Counter

from openai.types import Batch, Completion, CreateEmbeddingResponse, FileObject, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from harness import nullable

# What this server adds, and where: (kind, path).
EXTENSIONS = {
    ("ChatCompletion", "choices.message.mcp_calls"),
    ("ChatCompletionChunk", "choices.delta.mcp_calls"),
    # As vLLM has it.
    ("Model", "max_model_len"),
}

# Path, method, form of the answer, form of an event: names of types, with those of schemas.
ROUTES = [
    ("POST", r"/v1/chat/completions", (ChatCompletion, "CreateChatCompletionResponse"), (ChatCompletionChunk, "CreateChatCompletionStreamResponse")),
    ("POST", r"/v1/completions", (Completion, "CreateCompletionResponse"), (Completion, "CreateCompletionResponse")),
    ("POST", r"/v1/embeddings", (CreateEmbeddingResponse, "CreateEmbeddingResponse"), None),
    ("POST", r"/v1/responses", (Response, "Response"), (ResponseStreamEvent, "ResponseStreamEvent")),
    ("GET", r"/v1/responses/[^/]+", (Response, "Response"), None),
    ("GET", r"/v1/responses/[^/]+/input_items", (None, "ResponseItemList"), None),
    ("GET", r"/v1/models", (None, "ListModelsResponse"), None),
    ("GET", r"/v1/models/.+", (Model, "Model"), None),
    ("POST", r"/v1/files", (FileObject, "OpenAIFile"), None),
    ("GET", r"/v1/files", (None, "ListFilesResponse"), None),
    ("GET", r"/v1/files/[^/]+", (FileObject, "OpenAIFile"), None),
    ("DELETE", r"/v1/files/[^/]+", (None, "DeleteFileResponse"), None),
    ("POST", r"/v1/batches(/[^/]+/cancel)?", (Batch, "Batch"), None),
    ("GET", r"/v1/batches", (None, "ListBatchesResponse"), None),
    ("GET", r"/v1/batches/[^/]+", (Batch, "Batch"), None),
]


class Forms:
    def __init__(self, schema):
        self.adapters = {}
        self.document = None
        self.validators = {}
        if schema:
            with open(schema, encoding="utf-8") as file:
                self.document = nullable(json.load(file))

    def check(self, form, value):
        """What is wrong with a value, or None."""
        kind, name = form
        if kind is not None:
            adapter = self.adapters.setdefault(id(kind), TypeAdapter(kind))
            try:
                read = adapter.validate_python(value)
            except ValueError as error:
                return f"{error}"
            label = getattr(kind, "__name__", name)
            for path in unknown(read):
                if (label, path) not in EXTENSIONS:
                    return f"the field {path} is not known"
        return self.check_schema(name, value)

    def check_schema(self, name, value):
        if self.document is None:
            return None
        import jsonschema

        if name not in self.validators:
            if name not in self.document["components"]["schemas"]:
                return f"the document has no {name}"
            root = {"$ref": f"#/components/schemas/{name}", "components": self.document["components"]}
            self.validators[name] = jsonschema.Draft202012Validator(root)
        error = jsonschema.exceptions.best_match(self.validators[name].iter_errors(value))
        return None if error is None else f"{error.message} at {error.json_path}"


def unknown(value, path=""):
    """Paths of fields that a model of the package did not know."""
    if isinstance(value, list):
        for item in value:
            yield from unknown(item, path)
        return
    fields = getattr(type(value), "model_fields", None)
    if fields is None:
        return
    for name in value.model_extra or ():
        yield f"{path}{name}"
    for name in fields:
        yield from unknown(getattr(value, name, None), f"{path}{name}.")


def as_described(name, value):
    """A value with what the official API itself sends otherwise than it describes put as it
    describes it: `null` in pieces of completions and before the first token of a prompt, and
    vectors as Base64."""
    if name == "CreateCompletionResponse":
        for choice in value["choices"]:
            if choice["finish_reason"] is None:
                choice["finish_reason"] = "stop"
            logprobs = choice.get("logprobs") or {}
            for field in ("token_logprobs", "top_logprobs"):
                if logprobs.get(field) and logprobs[field][0] is None:
                    del logprobs[field][0]
        if value.get("usage", 0) is None:
            del value["usage"]
    if name == "CreateEmbeddingResponse":
        for entry in value["data"]:
            if isinstance(entry["embedding"], str):
                raw = base64.b64decode(entry["embedding"], validate=True)
                entry["embedding"] = list(struct.unpack(f"<{len(raw) // 4}f", raw))
    return value


def events(text):
    for block in text.split("\n\n"):
        for line in block.splitlines():
            if line.startswith("data: ") and line != "data: [DONE]":
                yield json.loads(line[len("data: ") :])


def problems(forms, capture, counts):
    """What is wrong with one exchange."""
    for method, path, answer, event in ROUTES:
        if capture["method"] == method and re.fullmatch(path, capture["path"]):
            break
    else:
        counts["of other routes"] += 1
        return
    if capture["status"] >= 400:
        counts["errors"] += 1
        yield error_problem(json.loads(capture["answer"]))
    elif capture["type"].startswith("text/event-stream"):
        for value in events(capture["answer"]):
            if set(value) == {"error"}:
                yield error_problem(value)
                continue
            counts[event[1]] += 1
            yield forms.check(event, as_described(event[1], value))
    else:
        counts[answer[1]] += 1
        yield forms.check(answer, as_described(answer[1], json.loads(capture["answer"])))


def error_problem(value):
    error = value.get("error")
    if not isinstance(error, dict) or set(error) != {"message", "type", "param", "code"}:
        return f"not the form of an error: {value}"
    texts = [error["message"], error["type"]]
    if not all(isinstance(text, str) and text for text in texts):
        return f"not the form of an error: {value}"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("captures")
    parser.add_argument("--schema", help="the official OpenAPI document as JSON")
    arguments = parser.parse_args()
    schema = arguments.schema
    if schema and not os.path.exists(schema):
        print(f"{schema} is not here: answers are held against the types of the openai package only")
        schema = None
    forms, counts, wrong = Forms(schema), Counter(), Counter()
    with open(arguments.captures, encoding="utf-8") as file:
        for line in file:
            capture = json.loads(line)
            for problem in problems(forms, capture, counts):
                if problem is not None:
                    wrong[f"{capture['method']} {capture['path']}: {problem}"] += 1
    for problem, count in wrong.most_common(40):
        print(f"FAIL {count} times {problem:.1500}")
    print(", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
    checked = sum(counts.values()) - counts["of other routes"]
    print(f"{checked} answers and events checked, {sum(wrong.values())} wrong")
    sys.exit(1 if wrong or not checked else 0)


if __name__ == "__main__":
    main()

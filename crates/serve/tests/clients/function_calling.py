"""Berkeley's function-calling data and checker, driven through Phial.

    python function_calling.py http://127.0.0.1:8000/v1 scripted/phi4

The server runs a model that writes what the last message of the user spells (the example `scripted`
of phial-serve). Each case asks with the tools of the data set, has the model write the right calls
in one of the ways in which models do, and gives the calls that came back to the data set's own
checker. Every case is asked for whole and in a stream, each time in another dialect.
"""

import argparse
import http.client
import importlib
import json
import pathlib
import re
import sys
import threading
import types
import urllib.parse
from collections import Counter

# The checker asks a table of models whether dots in names became underscores, as they must for the
# API; the table itself would import a client library for each model.
table = types.ModuleType("bfcl_eval.constants.model_config")
table.MODEL_CONFIG_MAPPING = {"phial": types.SimpleNamespace(underscore_to_dot=True)}
sys.modules[table.__name__] = table

import bfcl_eval  # noqa: E402
from bfcl_eval.constants.enums import Language  # noqa: E402
from bfcl_eval.constants.type_mappings import GORILLA_TO_OPENAPI  # noqa: E402

checker = importlib.import_module("bfcl_eval.eval_checker.ast_eval.ast_checker").ast_checker

CATEGORIES = [
    "simple_python",
    "simple_java",
    "simple_javascript",
    "multiple",
    "parallel",
    "parallel_multiple",
    "live_simple",
    "live_multiple",
    "live_parallel",
    "live_parallel_multiple",
]

# Of each category and each dialect.
PASSING_MIN = 0.99

# Of the right answers as this script writes them, the checker must take so many; the others (some
# of them mistakes of the data) say nothing about a server.
USABLE_MIN = 0.95


def dump(value):
    return json.dumps(value, ensure_ascii=False)


def calls_of(calls, arguments="arguments"):
    return [{"name": name, arguments: value} for name, value in calls]


def openai_nested(calls):
    return [{"type": "function", "function": call} for call in calls_of(calls)]


def argument_strings(calls):
    return [{"name": name, "arguments": dump(value)} for name, value in calls]


# What models write, by the name of the dialect.
DIALECTS = {
    "list": lambda c: f"<|tool_call|>{dump(calls_of(c))}<|/tool_call|>",
    "no end": lambda c: f"<|tool_call|>{dump(calls_of(c))}",
    "objects": lambda c: "<|tool_call|>" + ", ".join(map(dump, calls_of(c))) + "<|/tool_call|>",
    "parameters": lambda c: f"<|tool_call|>{dump(calls_of(c, 'parameters'))}<|/tool_call|>",
    "strings": lambda c: f"<|tool_call|>{dump(argument_strings(c))}<|/tool_call|>",
    "bare": lambda c: dump(calls_of(c)),
    "fence": lambda c: f"```json\n{json.dumps(calls_of(c), indent=2)}\n```",
    "nested": lambda c: f"<|tool_call|>{dump(openai_nested(c))}<|/tool_call|>",
    "prose": lambda c: f"I will look that up.\n<|tool_call|>{dump(calls_of(c))}<|/tool_call|>",
    "python": lambda c: f"<|tool_call|>{calls_of(c)!r}<|/tool_call|>",
    "functools": lambda c: f"functools{dump(calls_of(c))}",
    "hermes": lambda c: "\n".join(
        f"<tool_call>\n{dump(call)}\n</tool_call>" for call in calls_of(c)
    ),
}
PROSE = "I will look that up."


def read_lines(name):
    path = pathlib.Path(bfcl_eval.__file__).parent / "data" / name
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def api_name(name):
    return name.replace(".", "_")


def api_schema(schema):
    """The data set's types in those of JSON Schema."""
    if not isinstance(schema, dict):
        return schema
    schema = dict(schema)
    if isinstance(schema.get("type"), str):
        schema["type"] = GORILLA_TO_OPENAPI.get(schema["type"], "string")
    for name in ("items", "additionalProperties"):
        if name in schema:
            schema[name] = api_schema(schema[name])
    if isinstance(schema.get("properties"), dict):
        schema["properties"] = {k: api_schema(v) for k, v in schema["properties"].items()}
    return schema


def api_tool(function):
    return {
        "type": "function",
        "function": {
            "name": api_name(function["name"]),
            "description": function["description"],
            "parameters": api_schema(function["parameters"]),
        },
    }


def first_choice(options):
    """The first value of those that are right. Each key of an object has its own options, of which
    an empty string says that the key may be left out."""
    value = next((option for option in options if option != ""), "")
    if isinstance(value, list):
        return [chosen_entries(item) if isinstance(item, dict) else item for item in value]
    return chosen_entries(value) if isinstance(value, dict) else value


def chosen_entries(entries):
    return {
        key: first_choice(options) if isinstance(options, list) else options
        for key, options in entries.items()
        if not (isinstance(options, list) and "" in options)
    }


def in_language(value, schema, language):
    """Values of Java and JavaScript are written in their own syntax, in a string."""
    if language == Language.PYTHON:
        return value
    kind = schema.get("type", "")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)):
        if language == Language.JAVA:
            return f"{value}{ {'long': 'L', 'float': 'f'}.get(kind, '') }"
        return f"{value}{'n' if kind == 'Bigint' else ''}"
    if language == Language.JAVASCRIPT:
        return json.dumps(value)
    if isinstance(value, list):
        items = ", ".join(json.dumps(item) for item in value)
        if kind == "ArrayList":
            return f"new ArrayList<>(Arrays.asList({items}))"
        inner = schema.get("items", {}).get("type", "Object")
        return f"new {inner}[]{{{items}}}"
    puts = " ".join(f"put({json.dumps(k)}, {json.dumps(v)});" for k, v in value.items())
    return f"new HashMap<>() {{{{ {puts} }}}}"


class Case:
    def __init__(self, category, entry, answer):
        self.category = category
        self.id = entry["id"]
        self.functions = entry["function"]
        self.messages = entry["question"][0]
        self.truth = answer["ground_truth"]
        self.language = Language.PYTHON
        if category == "simple_java":
            self.language = Language.JAVA
        elif category == "simple_javascript":
            self.language = Language.JAVASCRIPT
        self.calls = [self.call(*next(iter(call.items()))) for call in self.truth]
        self.tools = [api_tool(function) for function in self.functions]

    def call(self, name, parameters):
        function = next(f for f in self.functions if f["name"] == name)
        known = function["parameters"]["properties"]
        required = function["parameters"]["required"]
        arguments = {
            key: in_language(first_choice(options), known.get(key, {}), self.language)
            for key, options in parameters.items()
            # An empty string among the options says that the parameter may be left out.
            if "" not in options or key in required
        }
        return api_name(name), arguments

    def check(self, calls):
        """None, or what is wrong with the calls."""
        output = [{name: arguments} for name, arguments in calls]
        try:
            result = checker(
                self.functions, output, self.truth, self.language, self.category, "phial"
            )
        except Exception as error:  # The checker stumbles over some of its own data.
            return repr(error)
        return None if result["valid"] else str(result["error"])


class Api:
    def __init__(self, base_url, model):
        url = urllib.parse.urlsplit(base_url)
        self.connection = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
        self.path = url.path.rstrip("/") + "/chat/completions"
        self.model = model

    def ask(self, case, script, stream):
        """Content and calls of the answer."""
        body = {
            "model": self.model,
            "messages": case.messages + [{"role": "user", "content": script}],
            "tools": case.tools,
            "temperature": 0,
            "stream": stream,
        }
        headers = {"content-type": "application/json"}
        self.connection.request("POST", self.path, json.dumps(body), headers)
        response = self.connection.getresponse()
        text = response.read().decode()
        if response.status != 200:
            raise AssertionError(f"{response.status}: {text}")
        message, reason = streamed(text) if stream else whole(text)
        assert reason == "tool_calls", f"finish_reason is {reason}: {message}"
        ids = [call["id"] for call in message["tool_calls"]]
        assert len(set(ids)) == len(ids) and all(i.startswith("call_") for i in ids), ids
        calls = [
            (call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in message["tool_calls"]
        ]
        return message["content"], calls


def whole(text):
    choice = json.loads(text)["choices"][0]
    return choice["message"], choice["finish_reason"]


def streamed(text):
    """Adds a stream up as clients do, and holds it to the rules that they rely on."""
    events = text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""], events[-2:]
    message, reason = {"content": None, "tool_calls": []}, None
    for number, event in enumerate(events[:-2]):
        choice = json.loads(event.removeprefix("data: "))["choices"][0]
        delta = choice["delta"]
        assert ("role" in delta) == (number == 0), "the role comes once, and first"
        assert reason is None, "nothing follows the finish reason"
        reason = choice["finish_reason"]
        if delta.get("content") is not None:
            assert not message["tool_calls"] or delta["content"], delta
            message["content"] = (message["content"] or "") + delta["content"]
        for call in delta.get("tool_calls", []):
            assert call["index"] in (len(message["tool_calls"]) - 1, len(message["tool_calls"]))
            if call["index"] == len(message["tool_calls"]):
                assert set(call) == {"index", "id", "type", "function"}, call
                assert call["type"] == "function" and call["function"]["arguments"] == ""
                message["tool_calls"].append(call)
            else:
                assert set(call) == {"index", "function"}, call
                assert set(call["function"]) == {"arguments"}, call
                more = call["function"]["arguments"]
                message["tool_calls"][-1]["function"]["arguments"] += more
    return message, reason


class Tally:
    def __init__(self):
        self.lock = threading.Lock()
        self.asked, self.passed, self.failures = Counter(), Counter(), []

    def add(self, labels, failure):
        with self.lock:
            for label in labels:
                self.asked[label] += 1
                self.passed[label] += failure is None
            if failure is not None:
                self.failures.append(failure)


def run(arguments, jobs, tally):
    """Asks for every job of an iterator that threads share."""
    api = Api(arguments.base_url, arguments.model)
    while True:
        with tally.lock:
            job = next(jobs, None)
        if job is None:
            return
        case, dialect, stream = job
        failure = None
        try:
            content, calls = api.ask(case, DIALECTS[dialect](case.calls), stream)
            expected = PROSE if dialect == "prose" else None
            assert content == expected, f"content is {content!r}"
            assert calls == case.calls, f"sent {case.calls}, got {calls}"
            failure = case.check(calls)
        except Exception as error:
            failure = repr(error)
            api = Api(arguments.base_url, arguments.model)
        where = f"{case.id}, {dialect}, {'streamed' if stream else 'whole'}"
        labels = [case.category, dialect, "streamed" if stream else "whole"]
        tally.add(labels, failure and f"{where}: {failure}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base_url")
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=4)
    arguments = parser.parse_args()
    jobs, unusable, count = [], [], 0
    for category in CATEGORIES:
        answers = {a["id"]: a for a in read_lines(f"possible_answer/BFCL_v4_{category}.json")}
        for entry in read_lines(f"BFCL_v4_{category}.json"):
            case = Case(category, entry, answers[entry["id"]])
            # Names must keep to the API's rules, and the checker must agree with its own data.
            names = [tool["function"]["name"] for tool in case.tools]
            fits = all(re.fullmatch("[a-zA-Z0-9_-]{1,64}", name) for name in names)
            problem = case.check(case.calls) if fits and len(set(names)) == len(names) else names
            if problem is not None:
                unusable.append(f"{case.id}: {problem}")
                continue
            names = list(DIALECTS)
            jobs.append((case, names[count % len(names)], False))
            jobs.append((case, names[(count + 5) % len(names)], True))
            count += 1
    total = count + len(unusable)
    print(f"{count} cases; {len(unusable)} more whose right answer the checker does not take")
    ok = count >= USABLE_MIN * total
    tally, shared = Tally(), iter(jobs)
    threads = [
        threading.Thread(target=run, args=(arguments, shared, tally))
        for _ in range(arguments.threads)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for failure in tally.failures[:20]:
        print(f"FAIL {failure}")
    for label, asked in tally.asked.items():
        share = tally.passed[label] / asked
        ok = ok and share >= PASSING_MIN
        print(f"{share:7.2%} of {asked:5} {label}")
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()

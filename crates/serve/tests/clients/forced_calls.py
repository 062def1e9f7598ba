"""Forced calls are valid for their schema, whatever the model would rather say.

    python forced_calls.py http://127.0.0.1:8080/v1 starter

Asks for calls of 200 tools with varied schemas, by name, by `required` and with `strict`, whole and in
streams, sampled at a high temperature, and validates the arguments with jsonschema.
"""

import argparse
import concurrent.futures
import json
import random
import sys

import jsonschema
import openai

SCHEMAS = 200
# Every schema below has a longest instance, well below this.
TOKENS_MAX = 1200


def word(rng):
    return "".join(rng.choice("abcdefghij_") for _ in range(rng.randint(1, 8)))


def scalar(rng):
    kind = rng.randrange(9)
    low = rng.randint(-50, 50)
    if kind == 0:
        return {"type": "string", "maxLength": rng.randint(1, 12)}
    if kind == 1:
        return {"type": "string", "enum": sorted({word(rng) for _ in range(rng.randint(1, 5))})}
    if kind == 2:
        return {"type": "integer", "minimum": low, "maximum": low + rng.randint(0, 100)}
    if kind == 3:
        return {"type": "boolean"}
    if kind == 4:
        return {"type": "string", "pattern": rng.choice(["^[A-Z]{3}-[0-9]{2}$", "^(red|blue)ish$", "^[a-f0-9]{8}$"])}
    if kind == 5:
        return {"const": rng.choice([1, "x", True, None])}
    if kind == 6:
        return {"type": ["string", "null"], "maxLength": 6}
    if kind == 7:
        return {"enum": [1, "two", False, None]}
    return {"anyOf": [{"type": "boolean"}, {"type": "integer", "minimum": 0, "maximum": 9}]}


def value(rng, depth):
    kind = rng.random()
    if depth > 0 and kind < 0.2:
        return an_object(rng, depth - 1)
    if depth > 0 and kind < 0.35:
        low = rng.randint(0, 2)
        return {"type": "array", "items": value(rng, depth - 1), "minItems": low, "maxItems": low + 2}
    return scalar(rng)


def an_object(rng, depth):
    names = sorted({word(rng) for _ in range(rng.randint(1, 4))})
    return {
        "type": "object",
        "properties": {name: value(rng, depth) for name in names},
        "required": [name for name in names if rng.random() < 0.7],
        "additionalProperties": False,
    }


def schema(number):
    rng = random.Random(number)
    made = an_object(rng, 2)
    if number % 10 == 0:
        made["$defs"] = {"shared": scalar(rng)}
        made["properties"]["first"] = {"$ref": "#/$defs/shared"}
        made["properties"]["second"] = {"$ref": "#/$defs/shared"}
        made["required"] = made["required"] + ["second"]
    return made


def check(client, model, number):
    """None, or what is wrong."""
    parameters = schema(number)
    strict = number % 3 == 0
    tool = {
        "type": "function",
        "function": {"name": f"tool_{number}", "parameters": parameters, "strict": strict},
    }
    other = {"type": "function", "function": {"name": "other", "parameters": parameters}}
    named = number % 2 == 0
    choice = {"type": "function", "function": {"name": f"tool_{number}"}} if named else "required"
    options = dict(
        model=model,
        messages=[{"role": "user", "content": f"Please tell me about {word(random.Random(number))}."}],
        tools=[other, tool] if named else [tool],
        tool_choice=choice,
        parallel_tool_calls=False,
        temperature=1.3,
        seed=number,
        max_tokens=TOKENS_MAX,
    )
    if number % 4 < 2:
        answer = client.chat.completions.create(**options).choices[0]
    else:
        with client.chat.completions.stream(**options) as stream:
            for _ in stream:
                pass
            answer = stream.get_final_completion().choices[0]
    calls = answer.message.tool_calls or []
    if answer.finish_reason != "tool_calls" or answer.message.content or len(calls) != 1:
        return f"{answer}"
    function = calls[0].function
    if function.name != f"tool_{number}":
        return f"{function.name} was called"
    try:
        jsonschema.Draft202012Validator(parameters).validate(json.loads(function.arguments))
    except (ValueError, jsonschema.ValidationError) as error:
        return f"{function.arguments}: {error}"
    return None


def refusal(client, model):
    """A schema that cannot be enforced is refused, and said where."""
    bad = {"type": "object", "properties": {"a": {"not": {"type": "string"}}}}
    tool = {"type": "function", "function": {"name": "f", "parameters": bad, "strict": True}}
    messages = [{"role": "user", "content": "Hi"}]
    try:
        client.chat.completions.create(
            model=model, messages=messages, tools=[tool], tool_choice="required", max_tokens=4
        )
    except openai.BadRequestError as error:
        where = (error.code, error.param)
        if where != ("invalid_function_parameters", "tools[0].function.parameters"):
            return f"{where}: {error}"
        if "Invalid schema for function 'f'" not in str(error) or "/properties/a" not in str(error):
            return str(error)
        return None
    return "a schema that cannot be enforced was accepted"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base_url")
    parser.add_argument("model")
    parser.add_argument("--count", type=int, default=SCHEMAS)
    arguments = parser.parse_args()
    client = openai.OpenAI(base_url=arguments.base_url, api_key="none", max_retries=0, timeout=170)
    wrong = []
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        jobs = {
            pool.submit(check, client, arguments.model, number): number
            for number in range(arguments.count)
        }
        for job in concurrent.futures.as_completed(jobs):
            problem = job.exception() or job.result()
            if problem is not None:
                wrong.append(problem)
                print(f"FAIL schema {jobs[job]}: {problem!s:.600}")
    problem = refusal(client, arguments.model)
    if problem is not None:
        wrong.append(problem)
        print(f"FAIL refusal: {problem}")
    print(f"{arguments.count - len(wrong)} of {arguments.count} forced calls are valid")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

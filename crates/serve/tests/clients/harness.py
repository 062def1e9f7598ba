"""What the checks of a running server share: a client, and running one check after the other."""

import argparse
import json
import sys
import traceback
import urllib.error
import urllib.parse
import urllib.request

CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


class Skipped(Exception):
    pass


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


class Setup:
    def __init__(self, base_url, model, schema):
        self.base_url = base_url.rstrip("/")
        self.model = model
        self.document = None
        if schema:
            with open(schema, encoding="utf-8") as file:
                self.document = nullable(json.load(file))
        self._client = None

    @property
    def client(self):
        if self._client is None:
            import openai

            self._client = openai.OpenAI(
                base_url=self.base_url, api_key="none", max_retries=0, timeout=300
            )
        return self._client

    def raw(self, path, body=None):
        url = self.base_url + path
        if path.startswith("/../"):
            url = urllib.parse.urljoin(self.base_url + "/", path[1:])
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            url, data=data, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=300) as response:
            return response.headers, response.read().decode()

    def tokenize(self, text):
        _, answer = self.raw("/../tokenize", {"prompt": text})
        return json.loads(answer)["tokens"]

    def detokenize(self, tokens):
        _, answer = self.raw("/../detokenize", {"tokens": tokens})
        return json.loads(answer)["prompt"]

    def needs_files(self):
        try:
            self.raw("/files")
        except urllib.error.HTTPError as error:
            if json.load(error)["error"]["code"] == "files_not_configured":
                raise Skipped("the server was started without --files")
            raise

    def validate(self, name, value):
        """Against a schema of the official document, if that is given."""
        if self.document is None:
            return
        import jsonschema

        dumped = value.model_dump(mode="json", exclude_unset=True)
        root = {
            "$ref": f"#/components/schemas/{name}",
            "components": self.document["components"],
        }
        jsonschema.Draft202012Validator(root).validate(dumped)


def main(description):
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
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

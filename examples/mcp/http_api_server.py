"""A tool that calls an HTTP API.

In the configuration of phial serve:

    [mcp.weather]
    command = ["python3", "examples/mcp/http_api_server.py", "https://api.open-meteo.com/v1"]
"""

import argparse
import urllib.parse
import urllib.request

from protocol import Server, Tool

ANSWER_BYTES_MAX = 64 * 1024
SECONDS_MAX = 30


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base_url")
    parser.add_argument("--http", type=int, metavar="PORT", help="instead of standard streams")
    arguments = parser.parse_args()
    base = arguments.base_url.rstrip("/") + "/"

    def get(path, parameters=None):
        url = urllib.parse.urljoin(base, path.lstrip("/"))
        # The model chooses the path, not the server.
        if not url.startswith(base):
            raise ValueError(f"{path!r} leads away from {base}")
        if parameters:
            url += "?" + urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(url, timeout=SECONDS_MAX) as response:
            body = response.read(ANSWER_BYTES_MAX + 1)
        if len(body) > ANSWER_BYTES_MAX:
            raise ValueError(f"the answer has more than {ANSWER_BYTES_MAX} bytes")
        return body.decode("utf-8", "replace")

    properties = {
        "path": {"type": "string", "description": f"Path below {base}"},
        "parameters": {
            "type": "object",
            "description": "Query parameters",
            "additionalProperties": {"type": "string"},
        },
    }
    tool = Tool("get", f"Reads from the API at {base}", properties, ["path"], get)
    Server("http-api", [tool]).serve(arguments.http)


if __name__ == "__main__":
    main()

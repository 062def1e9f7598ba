"""The part of the Model Context Protocol that a server of tools needs, over standard streams or
streamable HTTP. Python's own library is enough."""

import http.server
import json
import sys


class Tool:
    """A function with a description and the JSON Schema of its arguments."""

    def __init__(self, name, description, properties, required, function):
        self.function = function
        self.listed = {
            "name": name,
            "description": description,
            "inputSchema": {"type": "object", "properties": properties, "required": required},
        }


class Server:
    def __init__(self, name, tools):
        self.name = name
        self.tools = {tool.listed["name"]: tool for tool in tools}

    def answer(self, message):
        """The answer to a message, or None where there is none to give."""
        if "id" not in message or "method" not in message:
            return None
        answer = {"jsonrpc": "2.0", "id": message["id"]}
        parameters = message.get("params") or {}
        if message["method"] == "initialize":
            answer["result"] = {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": self.name, "version": "1"},
            }
        elif message["method"] == "ping":
            answer["result"] = {}
        elif message["method"] == "tools/list":
            answer["result"] = {"tools": [tool.listed for tool in self.tools.values()]}
        elif message["method"] == "tools/call" and parameters.get("name") in self.tools:
            answer["result"] = self.call(parameters)
        else:
            answer["error"] = {"code": -32601, "message": "no such method or tool"}
        return answer

    def call(self, parameters):
        function = self.tools[parameters["name"]].function
        try:
            text, failed = function(**(parameters.get("arguments") or {})), False
        except Exception as error:
            text, failed = f"{type(error).__name__}: {error}", True
        return {"content": [{"type": "text", "text": text}], "isError": failed}

    def serve(self, port=None):
        """Over standard streams, or with a port over HTTP on this machine."""
        if port is None:
            for line in sys.stdin:
                answer = self.answer(json.loads(line))
                if answer is not None:
                    print(json.dumps(answer), flush=True)
            return
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                answer = server.answer(json.loads(body))
                text = b"" if answer is None else json.dumps(answer).encode()
                self.send_response(202 if answer is None else 200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def do_GET(self):
                self.send_error(405)

            def log_message(self, *arguments):
                pass

        listener = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        print(f"listening on http://127.0.0.1:{listener.server_port}/mcp", flush=True)
        listener.serve_forever()

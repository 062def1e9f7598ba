"""Passes requests on to a server and notes what goes through, for `conformance.py`.

    python recorder.py http://127.0.0.1:8000 captures.jsonl

Listens on a free port and prints its address. Each exchange becomes a line: method, path, the body
of the request, the status, the type of the content and the body of the answer, streams too. Pieces
are passed on as they come, and a client that goes away takes its request with it.
"""

import http.client
import json
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Of what belongs to one connection and not to a message.
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "host"}
# Longer bodies are passed on and not noted.
NOTED_MAX = 4 << 20


class Recorder(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    target = None
    captures = None
    lock = threading.Lock()

    def log_message(self, *_):
        pass

    def pass_on(self):
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP}
        connection = http.client.HTTPConnection(self.target, timeout=600)
        try:
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in HOP_BY_HOP | {"date", "server"}:
                    self.send_header(name, value)
            whole = answer.getheader("content-length") is not None
            if not whole:
                self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            noted = bytearray()
            while piece := answer.read1(65536):
                noted += piece
                self.wfile.write(piece if whole else b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.flush()
            if not whole:
                self.wfile.write(b"0\r\n\r\n")
            self.note(body, answer, noted)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            connection.close()

    do_GET = do_POST = do_DELETE = do_OPTIONS = pass_on

    def note(self, body, answer, noted):
        if max(len(body), len(noted)) > NOTED_MAX:
            return
        line = json.dumps(
            {
                "method": self.command,
                "path": urllib.parse.urlsplit(self.path).path,
                "request": body.decode("utf-8", "replace"),
                "status": answer.status,
                "type": answer.getheader("content-type") or "",
                "answer": noted.decode("utf-8", "replace"),
            }
        )
        with self.lock, open(self.captures, "a", encoding="utf-8") as file:
            file.write(line + "\n")


class Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        # Clients that go away are what some of the tests are about.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


if __name__ == "__main__":
    Recorder.target = urllib.parse.urlsplit(sys.argv[1]).netloc
    Recorder.captures = sys.argv[2]
    server = Quiet(("127.0.0.1", 0), Recorder)
    print(f"recorder is listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()

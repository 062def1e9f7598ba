"""Has `schemathesis` make requests out of the management API's own description.

    python management_fuzz.py http://127.0.0.1:8080/console/setup#SECRET

Three times: as an ordinary user with a session, as an administrator with an access token, and to
end the session. No answer may be a failure of the server, each must have the status, the type and
the shape that the document promises, and nothing may be answered without the credentials that it
asks for.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request

# Of each run by far less than what is made.
CASES_MIN = 1500

# Per operation and phase.
EXAMPLES = 80

SECONDS_MAX = 10

# Stateful ones follow links from one operation to another.
PHASES = ["examples", "coverage", "fuzzing"]

HOOKS = "management_hooks"


class Somebody:
    """Somebody with a session."""

    def __init__(self, base_url, path, body):
        self.base_url = base_url
        self.headers = {}
        response = self.open("POST", path, body)
        cookie = response.headers["set-cookie"].split(";")[0]
        data = json.load(response)["data"]
        self.id = data["id"]
        self.headers = {"Cookie": cookie, "X-CSRF-Token": data["csrf_token"]}

    def open(self, method, path, body=None):
        headers = {"Content-Type": "application/json", **self.headers}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.base_url + path, data=data, headers=headers, method=method
        )
        return urllib.request.urlopen(request, timeout=60)

    def ask(self, method, path, body=None):
        return json.load(self.open(method, path, body))["data"]


def fuzz(base_url, who, own_id, headers, options):
    """Runs it with the credentials of somebody; how many cases it made."""
    folder = pathlib.Path(__file__).parent
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": HOOKS,
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PHIAL_OWN_ID": str(own_id),
    }
    command = [
        str(pathlib.Path(sys.executable).with_name("schemathesis")),
        "run",
        base_url + "/api/openapi.json",
        "--checks=all",
        # What is true of a value by itself may not be so beside others: such are refused with 400.
        "--exclude-checks=positive_data_acceptance",
        f"--max-examples={EXAMPLES}",
        f"--max-response-time={SECONDS_MAX}",
        "--seed=7",
        # Python 3.11 miscounts the depth of syntax trees that two threads parse at once, which can
        # end a run (python/cpython#106905).
        "--workers=1",
        "--request-timeout=60",
        "--no-color",
        "--no-shrink",
        "--continue-on-failure",
        "--generation-database=none",
        # Those of somebody are given.
        "--generation-with-security-parameters=false",
        "--suppress-health-check=all",
        "--warnings=off",
        *(f"--header={name}:{value}" for name, value in headers.items()),
        *options,
    ]
    started = time.monotonic()
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    print(result.stdout)
    cases = re.search(r"(\d+) generated", result.stdout)
    made = int(cases.group(1)) if cases else 0
    print(f"{who}: {made} cases in {time.monotonic() - started:.0f} s", flush=True)
    if result.returncode != 0:
        sys.exit(f"{who}: schemathesis ended with {result.returncode}")
    return made


def main():
    link = urllib.parse.urlsplit(sys.argv[1])
    base_url = f"{link.scheme}://{link.netloc}"
    password = "correct horse battery"
    login = {"username": "root-of-it", "password": password}
    administrator = Somebody(base_url, "/api/setup", {**login, "secret": link.fragment})
    login = {"username": "amelia", "password": password}
    administrator.ask("POST", "/api/user/", {**login, "quota": 1_000_000_000})
    # Before wrong passwords are tried from here.
    user = Somebody(base_url, "/api/user/login", login)
    token = administrator.ask("GET", "/api/user/token")

    # Whoever ends the session is nobody in all that follows.
    all_phases = "--phases=" + ",".join([*PHASES, "stateful"])
    options = [all_phases, "--exclude-operation-id=signOut"]
    made = fuzz(base_url, "a user", user.id, user.headers, options)
    assert user.ask("GET", "/api/user/self")["role"] == 1, "the user is no administrator"

    # Whoever makes another token has none in all that follows. The user has done so.
    options = [all_phases, "--exclude-operation-id=newAccessToken"]
    headers = {"Authorization": f"Bearer {token}"}
    made += fuzz(base_url, "an administrator", administrator.id, headers, options)
    assert administrator.ask("GET", "/api/user/self")["role"] == 10
    assert administrator.ask("GET", "/api/audit")["total"] > 0

    options = ["--phases=" + ",".join(PHASES), "--include-operation-id=signOut"]
    fuzz(base_url, "the end of a session", administrator.id, administrator.headers, options)
    if made < CASES_MIN:
        sys.exit(f"{made} cases are fewer than {CASES_MIN}")


if __name__ == "__main__":
    main()

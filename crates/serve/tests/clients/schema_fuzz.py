"""Has `schemathesis` make a thousand requests out of a server's own `/openapi.json`.

    python schema_fuzz.py http://127.0.0.1:8000/v1 MODEL

No answer may be a failure of the server, and each must have the status, the type and the shape
that the document promises.
"""

import pathlib
import re
import subprocess
import sys

CASES_MIN = 1000

# Per operation.
EXAMPLES = 150

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_headers_conformance,response_schema_conformance"
)


def main():
    base_url = sys.argv[1].removesuffix("/v1")
    tool = pathlib.Path(sys.executable).with_name("schemathesis")
    command = [
        str(tool),
        "run",
        base_url + "/openapi.json",
        f"--checks={CHECKS}",
        "--phases=fuzzing",
        f"--max-examples={EXAMPLES}",
        "--seed=7",
        "--workers=2",
        "--request-timeout=60",
        "--no-color",
        "--generation-database=none",
        "--suppress-health-check=all",
    ]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    print(result.stdout)
    cases = re.search(r"(\d+) generated", result.stdout)
    made = int(cases.group(1)) if cases else 0
    print(f"{made} cases")
    if result.returncode == 0 and made < CASES_MIN:
        print(f"fewer than {CASES_MIN}")
        sys.exit(1)
    sys.exit(result.returncode)


if __name__ == "__main__":
    main()

"""What `management_fuzz.py` must not do while it tries everything: see each of the reasons."""

import os

import schemathesis

# Who is asking.
OWN_ID = int(os.environ["PHIAL_OWN_ID"])

# Of nobody.
NO_ID = 0

# Nothing listens there. Other addresses that read like one would be asked for their models, and are
# no business of a test.
NOWHERE = "http://127.0.0.1:1/v1"


@schemathesis.hook
def before_call(context, case, kwargs):
    path, body = case.operation.path, case.body
    if path == "/api/channel/" and isinstance(body, dict):
        address = body.get("base_url")
        if isinstance(address, str) and "://" in address:
            body["base_url"] = NOWHERE
    # Whoever deletes or disables themselves tries nothing any more.
    if path == "/api/user/" and isinstance(body, dict) and body.get("id") == OWN_ID:
        body["id"] = NO_ID
    if path == "/api/user/{id}" and str((case.path_parameters or {}).get("id")) == str(OWN_ID):
        case.path_parameters["id"] = NO_ID

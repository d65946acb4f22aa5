"""What the scripts share. They run under the client of ConnectorDB 0.3, and print one JSON value."""

import json
import sys

import connectordb

given = json.loads(sys.argv[1])
"""What the test gave: ``url``, ``dir`` (an empty folder), and whatever the script needs besides."""


def connect(user_or_apikey="test", password=None):
    """Connect to the server of the tests; the administrator's password is his name."""
    if user_or_apikey == "test" and password is None:
        password = "test"
    return connectordb.ConnectorDB(user_or_apikey, password, url=given["url"])


def failure(action, *args, **kwargs):
    """Return the name of the error that *action* raises and what it says; ``None`` if it raises none."""
    try:
        action(*args, **kwargs)
    except Exception as e:
        # The old client's errors put their text in quotes.
        return [type(e).__name__, str(e).strip("'\"")]
    return None


def error(action, *args, **kwargs):
    """Return the name of the error that *action* raises, with the status of the answer behind it, if there is one."""
    found = failure(action, *args, **kwargs)
    if found is None:
        return None
    name, text = found
    status = text.partition(":")[0]
    return f"{name} {status}" if status.isdigit() else name


def show(value):
    """Print *value* for the test."""
    print(json.dumps(value))

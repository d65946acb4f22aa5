"""What the scripts share. They run under the client of ConnectorDB 0.3, and print one JSON value."""

import json
import sys
import time

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


def wait_for(true, patience_s=20):
    """Wait until *true* returns something true; return whether it did in time."""
    end = time.time() + patience_s
    while not true():
        if time.time() > end:
            return False
        time.sleep(0.01)
    return True


def arrived(stream, got, value="warm", patience_s=20):
    """Insert *value* into *stream* until *got* has something: the server does not tell that it has subscribed."""
    end = time.time() + patience_s
    while not got and time.time() < end:
        stream.insert(value)
        wait_for(lambda: got, patience_s=0.5)
    quiet = -1
    while quiet != len(got):  # of the inserts above, several may be on their way
        quiet = len(got)
        time.sleep(0.5)


def show(value):
    """Print *value* for the test."""
    print(json.dumps(value))

"""Run a function the moment data is written.

python subscriptions.py APIKEY [URL]

Each line that you type is inserted; the callback shows it, and what anybody else inserts too. Ctrl-D ends it.
"""

import sys

from connectordb import CONNECTORDB_URL, ConnectorDB

apikey = sys.argv[1]
url = sys.argv[2] if len(sys.argv) > 2 else CONNECTORDB_URL


def stringcallback(streampath, data):
    # data is a list of datapoints: what was inserted at once
    print(streampath, data.d())


# The API key of a device, or a user name and a password
db = ConnectorDB(apikey, url=url)

stream = db["strings"]
if not stream.exists():
    stream.create({"type": "string"})

# Returns when the server has confirmed it. From then on each insert calls the callback, in a thread of its own, also
# after a lost connection and a restart of the server
stream.subscribe(stringcallback)

for line in sys.stdin:
    stream.insert(line.strip())

stream.unsubscribe()
db.close()

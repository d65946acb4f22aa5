"""The basics: a stream of one's own, a datapoint in, a datapoint out.

python basics.py APIKEY [URL]
"""

import sys

from connectordb import CONNECTORDB_URL, ConnectorDB

apikey = sys.argv[1]
url = sys.argv[2] if len(sys.argv) > 2 else CONNECTORDB_URL

# The API key of a device, or a user name and a password
db = ConnectorDB(apikey, url=url)

# A stream of this device
stream = db["mystream"]
if not stream.exists():
    stream.create({"type": "string"})

stream.insert("Hello World!")

print(len(stream))
print(stream[0]["d"])

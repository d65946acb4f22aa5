"""Testing against a database of its own.

connectordb create testdb --test
connectordb start testdb
python testing.py [URL]
connectordb stop testdb
"""

import sys

from connectordb import CONNECTORDB_URL, ConnectorDB

url = sys.argv[1] if len(sys.argv) > 1 else CONNECTORDB_URL

db = ConnectorDB("test", "test", url=url)
print(db.path)

device = db("test/thermometer")
if not device.exists():
    device.create()

stream = device["temperature"]
if not stream.exists():
    stream.create({"type": "number"}, nickname="Living room")

# The device writes with a key of its own
thermometer = ConnectorDB(device.apikey, url=url)
thermometer["temperature"].insert(21.5)

print(stream[-1]["d"])

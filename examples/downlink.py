"""A light that can be switched from anywhere.

python downlink.py APIKEY [URL]

Switch it with the API key, or the name and password, of anybody who may: db("user/device/light").downlink(True)
"""

import sys
import time

from connectordb import CONNECTORDB_URL, ConnectorDB

apikey = sys.argv[1]
url = sys.argv[2] if len(sys.argv) > 2 else CONNECTORDB_URL


def set_light(on):
    """Stands for your light."""
    print("The light is", "on" if on else "off")


def lightcallback(streampath, data):
    # data is a list of one datapoint: what somebody asks for
    set_light(data[0]["d"])
    # It is done: the same value is written to the stream, which so says how the light is
    return True
    # If something else was done, return that, as a list of datapoints:
    #     return [{"t": time.time(), "d": False}]
    # If nothing was done, return False (or None): the sender is told that it was refused


# The API key of the device that the light is
db = ConnectorDB(apikey, url=url)

light = db["light"]
if not light.exists():
    light.create({"type": "boolean"}, downlink=True)

# What was asked for while this was not running comes first, unless it has expired
light.subscribe(lightcallback, downlink=True)

while True:
    time.sleep(60)

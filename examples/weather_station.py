"""A weather station that logs its temperature, with or without a network.

    python weather_station.py APIKEY [URL]

Stop it with Ctrl-C; start it again, and it goes on with the same file.
"""

import random
import sys
import time

from connectordb.logger import Logger


def get_temperature():
    """Stands for your sensor."""
    return round(20 + random.gauss(0, 1), 2)


def on_create(l):  # noqa: E741
    # Called once, when the file is new
    l.apikey = sys.argv[1]
    if len(sys.argv) > 2:
        l.serverurl = sys.argv[2]
    # The stream is created if it does not exist
    l.addStream("temperature", {"type": "number"})
    # Upload once an hour
    l.syncperiod = 60 * 60


# Everything is kept in this file until the server has it
logger = Logger("log.db", on_create=on_create)

# Uploads in the background
logger.start()

while True:
    logger.insert("temperature", get_temperature())
    time.sleep(60)

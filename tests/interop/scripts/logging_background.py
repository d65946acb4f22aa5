"""The old Logger in the background, while datapoints keep coming."""

import os
import threading
import time

from _script import connect, given, show

from connectordb.logger import Logger

BURSTS = 5
BURST_POINTS = 40
SYNC_PERIOD_S = 0.3
PATIENCE_S = 20

cdb = connect()
cdb("otto").create("otto@example.org", "pw", devices={"station": {}})
station = connect(cdb("otto/station").apikey)
synced = 0
failed = []
empty = threading.Event()


def on_create(logger):
    logger.serverurl = given["url"]
    logger.apikey = station.apikey
    logger.syncperiod = SYNC_PERIOD_S
    for name in ("a", "b"):
        logger.addStream(name, {"type": "integer"})


def log(burst):
    for i in range(burst * BURST_POINTS, (burst + 1) * BURST_POINTS):
        logger.insert("ab"[i % 2], i)


def on_sync():
    # Between two synchronisations: it deletes what is inserted while one runs, which is a known fault of it.
    global synced
    synced += 1
    if synced < BURSTS:
        log(synced)
    else:
        empty.set()


logger = Logger(
    os.path.join(given["dir"], "spool.db"),
    on_create=on_create,
    onsync=on_sync,
    onsyncfail=lambda e: failed.append(str(e)),
)
log(0)
logger.start()
in_time = empty.wait(PATIENCE_S)
logger.stop()
synced_at_stop = synced
left = len(logger)
logger.insert("a", -1)
time.sleep(2 * SYNC_PERIOD_S)
show(
    {
        "in_time": in_time,
        "failed": failed,
        "left": left,
        "a": [point["d"] for point in station["a"][:]],
        "b": [point["d"] for point in station["b"][:]],
        "after_stop": [synced - synced_at_stop, len(logger)],
    }
)
logger.close()

"""The old Logger: log, and synchronise when told to; everything is kept in its file across restarts."""

import os
import time

from _script import connect, error, given, show

from connectordb.logger import Logger

cdb = connect()
cdb("nora").create("nora@example.org", "pw", devices={"station": {}})
key = cdb("nora/station").apikey
station = connect(key)
station["there"].create({"type": "integer"})
file = os.path.join(given["dir"], "spool.db")
found = {"created": 0, "synced": 0}


def on_create(logger):
    found["created"] += 1
    logger.serverurl = given["url"]
    logger.apikey = key
    logger.syncperiod = 60
    logger.data = {"position": "roof"}
    logger.addStream("temperature", {"type": "number"}, nickname="Temperature", datatype="number.celsius")
    logger.addStream("text", {"type": "string"})
    logger.addStream("there")


def on_sync():
    found["synced"] += 1


logger = Logger(file, on_create=on_create, onsync=on_sync)
found["name"] = logger.name
found["ping"] = error(logger.ping)
found["contains"] = ["temperature" in logger, "nosuch" in logger]
found["connectordb"] = [logger.connectordb.path, logger.connectordb.ping()]
found["settings"] = [logger.apikey == key, logger.serverurl == given["url"], logger.syncperiod, logger.data]
found["stream"] = [
    station["temperature"].sschema,
    station["temperature"].nickname,
    station["temperature"].datatype,
]
temperatures = [20.5, -3, 0, 1e-9, 21]
before = time.time()
for value in temperatures:
    logger.insert("temperature", value)
after = time.time()
logger.insert("text", "Grüße ☃")
logger.insert("there", 7)
found["mismatch"] = error(logger.insert, "temperature", "hot")
found["unknown"] = error(logger.insert, "nosuch", 1)
found["len"] = len(logger)
found["before"] = [len(station[name]) for name in ("temperature", "text", "there")]
logger.sync()
found["after"] = [len(station[name]) for name in ("temperature", "text", "there")]
found["len_after"] = len(logger)
found["values"] = [[point["d"] for point in station[name][:]] for name in ("temperature", "text", "there")]
times = [point["t"] for point in station["temperature"][:]]
found["times"] = [all(before <= t <= after for t in times), times == sorted(times)]
found["lastsync"] = logger.lastsynctime > 0

# Opened again, it goes on: on_create is not called, what is in the file is there.
logger.insert("temperature", 22)
logger.close()
logger = Logger(file, on_create=on_create, onsync=on_sync)
found["reopened"] = [
    found["created"],
    logger.name,
    logger.apikey == key,
    logger.serverurl == given["url"],
    logger.syncperiod,
    logger.data,
    len(logger),
    "text" in logger,
]
logger.sync()
logger.sync()
found["all"] = [[point["d"] for point in station["temperature"][:]], len(logger)]

# A stream that is added by force is taken on trust: the server is not asked.
logger.addStream_force("forced", {"type": "boolean"})
found["forced"] = ["forced" in logger, station["forced"].exists()]
station["forced"].create({"type": "boolean"})
logger.insert("forced", True)
logger.sync()
found["forced"] += [point["d"] for point in station["forced"][:]]

logger.insert("there", 8)
logger.cleardata()
logger.sync()
found["cleared"] = [len(logger), len(station["there"])]
logger.close()


def with_wrong_key(logger):
    logger.serverurl = given["url"]
    logger.apikey = "wrong"
    logger.addStream("temperature")


found["wrong_key"] = error(Logger, os.path.join(given["dir"], "wrong.db"), on_create=with_wrong_key)
show(found)

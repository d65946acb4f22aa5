"""Leave a spool file of the old Logger with datapoints that have not been sent."""

import json
import os
import sqlite3

from _script import connect, given, show

from connectordb.logger import Logger

cdb = connect()
name = given["user"]
cdb(name).create(name + "@example.org", "pw", devices={"station": {}})
station = connect(cdb(name + "/station").apikey)
file = os.path.join(given["dir"], "old-spool.db")


def on_create(logger):
    logger.serverurl = given["url"]
    logger.apikey = station.apikey
    logger.syncperiod = 120
    logger.data = {"position": "cellar"}
    logger.addStream("temperature", {"type": "number"})
    logger.addStream("text", {"type": "string"})


logger = Logger(file, on_create=on_create)
logger.insert("temperature", 1)
logger.sync()
for i in range(200):
    logger.insert("temperature", i / 4)
logger.insert("text", 'Grüße ☃ "q"')
length = len(logger)
logger.close()

# What its file holds: the time stamps that the server has to get.
with sqlite3.connect(file) as db:
    rows = db.execute("SELECT stream, timestamp, jsondata FROM cache ORDER BY timestamp").fetchall()
spooled = {"temperature": [], "text": []}
for stream, t, d in rows:
    spooled[stream].append({"t": t, "d": json.loads(d)})
show({"file": file, "apikey": station.apikey, "len": length, **spooled})

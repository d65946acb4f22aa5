"""A server that restarts: the subscriptions are there again, and the script does nothing for that."""

import sys

from _script import arrived, connect, given, show, wait_for

cdb = connect()
cdb("pia").create(
    "pia@example.org", "pw", devices={"probe": {"streams": {"words": {}, "lamp": {"downlink": True}}}, "other": {}}
)
probe = connect(cdb("pia/probe").apikey)
pia = connect("pia", "pw")
got, asked = [], []
pia("pia/probe/words").subscribe(lambda path, data: got.append(data[0]["d"]))


def act(path, data):
    asked.append(data[0]["d"])
    return True


probe["lamp"].subscribe(act, downlink=True)
arrived(probe["words"], got)
arrived(pia("pia/probe/lamp"), asked)
sys.stderr.write("restart\n")
sys.stderr.flush()
sys.stdin.readline()
del got[:], asked[:]
# The server is there again, the websockets of this process may not be yet.
arrived(probe["words"], got, value="after", patience_s=given["patience_s"])
arrived(pia("pia/probe/lamp"), asked, value="on", patience_s=given["patience_s"])
acknowledged = wait_for(lambda: len(probe["lamp"]) and probe["lamp"][-1]["d"] == "on")
one_each = [got[-1], asked[-1]]
del got[:]
probe["words"].insert("once")
wait_for(lambda: "once" in got)
probe["words"].insert("end")
wait_for(lambda: "end" in got)
for one in (cdb, probe, pia):
    one.close()
show({"got": one_each, "acknowledged": acknowledged, "once": got.count("once")})

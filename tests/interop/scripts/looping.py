"""Acknowledging the downlink of somebody else: in 0.3 that was a new request, which came back, for ever."""

import time

from _script import arrived, connect, show, wait_for

cdb = connect()
cdb("mia").create(
    "mia@example.org",
    "pw",
    devices={"lamp": {"streams": {"on": {"downlink": True}}}, "other": {"role": "user"}, "third": {"role": "user"}},
)
other = connect(cdb("mia/other").apikey)
third = connect(cdb("mia/third").apikey)
calls = []


def act(path, data):
    calls.append(data[0]["d"])
    return True


other("mia/lamp/on").subscribe(act, downlink=True)
on = third("mia/lamp/on")
arrived(on, calls)
time.sleep(1)  # for what must not happen
before = on.length(downlink=True)
on.insert("once")
wait_for(lambda: "once" in calls)
time.sleep(1)
more = [calls.count("once"), on.length(downlink=True) - before]
got = []
other("mia/lamp/on").subscribe(lambda path, data: got.append(path))  # the connection has survived that
on.insert("twice")
alive = wait_for(lambda: "twice" in calls)
for one in (cdb, other, third):
    one.close()
show({"calls": more[0], "requests": more[1], "alive": alive})

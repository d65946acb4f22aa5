"""Downlinks: requests to a device go to their own substream, its answers to the stream."""

from _script import connect, error, show

cdb = connect()
cdb("ida").create(
    "ida@example.org",
    "pw",
    devices={
        "lamp": {"streams": {"on": {"schema": '{"type":"boolean"}', "downlink": True}, "watt": {}}},
        "switch": {"role": "writer"},
        "deaf": {},
    },
)
ida = connect("ida", "pw")
lamp = connect(ida("ida/lamp").apikey)
switch = connect(ida("ida/switch").apikey)
deaf = connect(ida("ida/deaf").apikey)
on = ida("ida/lamp/on")
found = {}

on.insert_array([{"t": 1, "d": True}, {"t": 2, "d": False}])
switch("ida/lamp/on").insert_array([{"t": 3, "d": True}])
found["refused"] = [error(deaf("ida/lamp/on").insert, True), error(on.insert, "bright")]
found["requests"] = on(i1=0, downlink=True)
found["lengths"] = [len(on), on.length(), on.length(downlink=True)]
found["stream"] = on[:]

own = lamp["on"]
own.insert_array([{"t": 1.5, "d": True}])
own.insert_array([{"t": 4, "d": False}])
found["owner"] = own[:]
found["owner_reads"] = [own(t1=1, downlink=True), own(t1=1, t2=2, downlink=True), own(i1=-1, downlink=True)]
found["lengths_after"] = [len(own), own.length(downlink=True)]
found["old_request"] = error(on.insert_array, [{"t": 2.5, "d": True}])

# Not a downlink: only who may write its data gets through.
found["plain"] = [error(ida("ida/lamp/watt").insert, 5), error(lamp["watt"].insert, 5), len(lamp["watt"])]
show(found)

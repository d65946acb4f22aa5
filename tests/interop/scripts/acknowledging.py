"""Downlinks as in ConnectorDB 0.3: the callback of the device acknowledges by what it returns."""

from _script import arrived, connect, show, wait_for

cdb = connect()
boolean = '{"type":"boolean"}'
cdb("noa").create(
    "noa@example.org",
    "pw",
    devices={
        "lamp": {"streams": {name: {"downlink": True} for name in ("all", "some", "no", "none", "late")}},
        "switch": {"role": "user"},
    },
)
noa = connect("noa", "pw")
lamp = connect(cdb("noa/lamp").apikey)
switch = connect(cdb("noa/switch").apikey)
found = {}

asked = {name: [] for name in ("all", "some", "no", "none")}
answers = {
    "all": lambda data: True,
    "some": lambda data: [{"t": data[0]["t"], "d": "instead of " + data[0]["d"]}],
    "no": lambda data: False,
    "none": lambda data: None,
}


def subscribe(name):
    def act(path, data):
        asked[name].append([path, [point["d"] for point in data], data[0].get("o")])
        return answers[name](data)

    lamp[name].subscribe(act, downlink=True)


# What the sender sees, by a connection of his own.
seen = {name: [] for name in answers}
looked_on = {name: [] for name in answers}
for name in answers:
    subscribe(name)
    stream = noa("noa/lamp/" + name)
    stream.subscribe(lambda path, data, name=name: seen[name].append([path, [point["d"] for point in data]]))
    stream.subscribe(lambda path, data, name=name: looked_on[name].append([path, len(data)]), downlink=True)
    arrived(noa("noa/lamp/" + name), asked[name], value="warm")
wait_for(lambda: len(lamp["all"]) >= len(asked["all"]) and len(lamp["some"]) >= len(asked["some"]))
wait_for(lambda: False, patience_s=1)  # the sender sees it too, by another connection
for name in answers:
    del asked[name][:], seen[name][:], looked_on[name][:]
before = {name: [len(lamp[name]), lamp[name].length(downlink=True)] for name in answers}

for name in answers:
    switch("noa/lamp/" + name).insert("on")
found["asked_in_time"] = wait_for(lambda: all(asked.values()))
found["asked"] = asked
found["seen_in_time"] = wait_for(lambda: seen["all"] and seen["some"])
found["seen"] = seen
found["looked_on"] = looked_on
after = {name: [len(lamp[name]), lamp[name].length(downlink=True)] for name in answers}
found["new"] = {name: [after[name][i] - before[name][i] for i in (0, 1)] for name in answers}
found["answers"] = {name: [point["d"] for point in lamp[name][before[name][0] :]] for name in answers}
found["requests"] = {name: lamp[name](i1=-1, downlink=True)[0]["o"] for name in answers}

# Several in one insert are one call of the callback, and one answer.
switch("noa/lamp/all").insert_array([{"t": 4e9, "d": "a"}, {"t": 4e9, "d": "b"}])
wait_for(lambda: len(asked["all"]) == 2)
wait_for(lambda: len(lamp["all"]) == after["all"][0] + 2)
found["several"] = [asked["all"][1][1], [point["d"] for point in lamp["all"][-2:]]]

# What was asked while the device was away is in the substream, for whoever reads it there.
switch("noa/lamp/late").insert("long ago")
late = []
lamp["late"].subscribe(lambda path, data: late.append(data[0]["d"]), downlink=True)
arrived(noa("noa/lamp/late"), late, value="now")
found["late"] = [late[0], [point["d"] for point in lamp["late"](i1=0, i2=1, downlink=True)]]
for one in (cdb, noa, lamp, switch):
    one.close()
show(found)

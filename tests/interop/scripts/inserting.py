"""Insert, one by one and in bulk."""

import json
import time

from _script import connect, error, show

from connectordb import DATAPOINT_INSERT_LIMIT

cdb = connect()
cdb("gina").create("gina@example.org", "pw", devices={"box": {}})
box = connect(cdb("gina/box").apikey)
found = {"limit": DATAPOINT_INSERT_LIMIT}

values = [
    None,
    True,
    False,
    0,
    -7,
    2**53 + 1,
    -0.5,
    1e300,
    5e-324,
    0.1,
    "",
    'Grüße ☃ 😀 \u2028 "q" \\ \n',
    [],
    [1, [None, {}]],
    {"z": 1, "a": {"b": [True]}},
]
mixed = box["mixed"]
mixed.create()
before = time.time()
for value in values[:3]:
    mixed.insert(value)
for value in values[3:]:
    mixed.append(value)
after = time.time()
points = mixed[:]
# In answers of 0.3, `d` is left out when it is null.
found["values"] = json.dumps([point.get("d") for point in points]) == json.dumps(values)
found["null"] = "d" in points[0]
times = [point["t"] for point in points]
found["stamped"] = [all(before <= t <= after for t in times), times == sorted(times)]
found["senders"] = [point for point in points if "o" in point]
found["len"] = len(mixed)

many = box["many"]
many.create({"type": "integer"})
many.insert_array([{"t": 1000 + i / 8, "d": i} for i in range(12_001)])
found["many"] = [len(many), many(i1=0, i2=0) == [{"t": 1000 + i / 8, "d": i} for i in range(12_001)]]
many.insert_array([{"t": 5000 + i, "d": i} for i in range(5000)])
found["exactly_5000"] = len(many)

times = box["times"]
times.create({"type": "integer"})
times.insert_array([{"t": t, "d": t} for t in range(1, 8)])
times.insert_array([])
found["empty"] = len(times)
times.insert_array([{"d": 8}, {"d": 9}])
found["no_t"] = [
    times[-2]["d"],
    times[-1]["d"],
    times[-2]["t"] == times[-1]["t"],
    abs(times[-1]["t"] - time.time()) < 60,
]

# A point in the future: insert() is restamped to it.
times.insert_array([{"t": 4e9, "d": 10}])
times.insert(11)
found["after_future"] = times[-2:]

# Data off the schema refuses the whole array.
found["mismatch"] = [
    error(times.insert, "text"),
    error(times.insert_array, [{"t": 4e9, "d": 12}, {"t": 4e9, "d": 1.5}]),
    len(times),
]
# In an array of more than one request, the requests before the bad one are stored.
half = box["half"]
half.create({"type": "integer"})
found["half"] = [
    error(half.insert_array, [{"t": 1 + i, "d": i if i != 7000 else "x"} for i in range(9000)]),
    len(half),
]
found["missing"] = error(box["nosuchstream"].insert, 1)
show(found)

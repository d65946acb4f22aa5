"""Every way to ask for datapoints."""

from _script import connect, error, show

cdb = connect()
cdb("hugo").create("hugo@example.org", "pw")
hugo = connect("hugo", "pw")
stream = hugo["s"]
stream.create({"type": "integer"})
empty = hugo["empty"]
empty.create()
found = {"empty": [len(empty), empty[:], empty(t1=1), empty(i1=0), error(lambda: empty[0]), error(lambda: empty[-1])]}

# Ten datapoints d = 0..9 at t = 1, 2, 3, 3, 3, 6, 7, 8, 9, 10.
stream.insert_array([{"t": t, "d": d} for d, t in enumerate([1, 2, 3, 3, 3, 6, 7, 8, 9, 10])])


def d(points):
    return [point["d"] for point in points]


found["index"] = {str(i): stream[i] for i in (0, 3, 9, -1, -10)}
found["beyond"] = [error(lambda: stream[10]), error(lambda: stream[11]), error(lambda: stream[-11])]
found["slices"] = {
    repr(key): d(stream[slice(*key)])
    for key in [
        (None, None),
        (0, 3),
        (2, None),
        (None, 2),
        (-3, None),
        (-3, -1),
        (None, -8),
        (5, -3),
        (0, 1000),
        (-1000, 2),
        (4, 4),
    ]
}
found["times"] = {
    repr(kwargs): d(stream(**kwargs))
    for kwargs in [
        {"t1": 2},
        {"t1": 2, "t2": 7},
        {"t2": 3},
        {"t1": 3, "t2": 6},
        {"t1": 2.999, "t2": 3},
        {"t1": 0, "limit": 2},
        {"t1": 2, "limit": 4},
        {"t1": 2, "t2": 8, "limit": 2},
        {"t1": 10},
        {"t1": 8, "t2": 2},
        {"t1": -5, "t2": 2},
        {"t1": 1e11},
    ]
}
found["indices"] = {
    repr(kwargs): d(stream(**kwargs))
    for kwargs in [
        {"i1": 0, "i2": 3},
        {"i1": 8},
        {"i2": 2},
        {"i1": -2},
        {"i1": -4, "i2": -2},
        {"i1": 0, "i2": 0},
        {"i1": 3, "i2": 3},
        {"i1": 7, "i2": 99},
        {"i1": -99, "i2": 1},
    ]
}
found["points"] = stream(i1=3, i2=6)
found["all"] = d(stream())
found["type"] = type(stream(i1=0)).__name__
found["columns"] = [[t.timestamp() for t in stream[:2]["t"]], stream[:2]["d"], stream[:2].d(), len(stream[:2].t())]
found["numbers"] = [stream[1:5].sum(), stream[1:5].mean()]
found["refused"] = {
    "beyond": error(stream, i1=1000, i2=1001),
    "turned": error(stream, i1=5, i2=3),
    "both": error(stream, i1=1, t1=3),
    "missing": error(hugo["nosuchstream"], i1=0),
    "missing_len": error(len, hugo["nosuchstream"]),
}
show(found)

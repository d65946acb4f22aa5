"""Time stamps: refused in the wrong order, raised with restamp."""

from _script import connect, error, show

cdb = connect()
cdb("greta").create("greta@example.org", "pw")
times = connect("greta", "pw")["times"]
times.create({"type": "integer"})
found = {}
times.insert_array([{"t": 10, "d": 1}, {"t": 20, "d": 2}, {"t": 20, "d": 3}])
found["equal"] = times[:]
found["older"] = error(times.insert_array, [{"t": 19, "d": 4}])
found["unordered"] = error(times.insert_array, [{"t": 40, "d": 4}, {"t": 30, "d": 5}])
found["unordered_restamp"] = error(times.insert_array, [{"t": 40, "d": 4}, {"t": 30, "d": 5}], restamp=True)
found["refused_len"] = len(times)
times.insert_array([{"t": 5, "d": 4}, {"t": 15, "d": 5}, {"t": 25, "d": 6}], restamp=True)
found["restamped"] = times[:]
times.insert_array([{"t": 50, "d": 7}], restamp=False)
found["in_order"] = times[-1]
show(found)

"""Merges and datasets."""

from _script import connect, error, show

from connectordb.query import Dataset, Merge

cdb = connect()
cdb("quentin").create("quentin@example.org", "pw")
quentin = connect("quentin", "pw")
mood, temperature, steps = quentin["mood"], quentin["temperature"], quentin["steps"]
for stream in (mood, temperature, steps):
    stream.create({"type": "number"})
mood.insert_array([{"t": t, "d": d} for t, d in [(100, 7), (400, 3), (1100, 5)]])
temperature.insert_array([{"t": t, "d": d} for t, d in [(200, 73), (500, 84), (800, 81), (1100, 79)]])
steps.insert_array([{"t": t, "d": 1} for t in range(50, 1200, 50)])

merge = Merge(quentin)
merge.addStream("mood")
merge.addStream(temperature, t1=300, t2=800, transform="$ * 2")
merge.addStream("quentin/user/steps", i1=0, i2=2)
merged = merge.run()

limited = Merge(quentin)
limited.addStream(steps, t1=0, limit=3, transform="if $ > 0")

by_x = Dataset(quentin, x=mood)
by_x.addStream(temperature)
by_x.addStream("steps", "sum", colname="steps")
rows = by_x.run()

by_range = Dataset(quentin, "mood", i1=1, i2=3, transform="$ + 0.5", posttransform="if $['x'] > 5 | $['t']")
by_range.addStream(temperature, "before", colname="t", transform="-$")

by_time = Dataset(quentin, t1=100, t2=500, dt=200)
by_time.addStream(temperature, "before", colname="temperature")
by_time.addStream(temperature, "after", colname="next")

both = Merge(quentin)
both.addStream(mood)
both.addStream(temperature, limit=1)
of_merges = Dataset(quentin, x=both)
of_merges.addStream(both, "closest", colname="both")

empty = Merge(quentin)
failing = Merge(quentin)
failing.addStream(mood, transform="$['nothing']")
missing = Merge(quentin)
missing.addStream("nosuchstream")
bogus = Dataset(quentin, x=mood)
bogus.addStream(temperature, "bogus")
endless = Dataset(quentin, t1=1, t2=1, dt=1)
endless.addStream(temperature)
stranger = Merge(connect("quentin", "pw"))
stranger.addStream("test/meta/log")

show(
    {
        "merge": merged,
        "type": type(merged).__name__,
        "limited": limited.run(),
        "x": rows,
        "x type": type(rows).__name__,
        "range": by_range.run(),
        "time": by_time.run(),
        "merges": of_merges.run(),
        "empty": empty.run(),
        "refused": [error(query.run) for query in (failing, missing, bogus, endless, stranger)],
    }
)

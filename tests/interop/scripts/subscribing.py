"""Subscriptions: each insert comes to the callback, in one piece, for as long as it is subscribed."""

from _script import arrived, connect, show, wait_for

cdb = connect()
cdb("lea").create("lea@example.org", "pw", devices={"probe": {"streams": {"words": {}, "others": {}}}})
writer = connect(cdb("lea/probe").apikey)
reader = connect("lea", "pw")
words, others = writer["words"], writer["others"]
seen = reader("lea/probe/words")
found = {}

got, got_others = [], []


def take(path, data):
    got.append([path, data])


def take_others(path, data):
    got_others.append([path, data])


seen.subscribe(take)
reader("lea/probe/others").subscribe(take_others)
arrived(words, got)
arrived(others, got_others)

del got[:], got_others[:]
words.insert("one")
words.insert_array([{"t": 4e9, "d": "two"}, {"t": 4e9 + 1, "d": "three"}])
words.insert_array([{"t": 5, "d": "late"}, {"t": 4e9 + 2, "d": "four"}], restamp=True)
found["in_time"] = wait_for(lambda: len(got) == 3)
found["paths"] = [path for path, _ in got]
found["batches"] = [[point["d"] for point in data] for _, data in got]
found["times"] = [point["t"] for _, data in got[1:] for point in data]
found["stored"] = [point["t"] for point in words[-4:]]
found["keys"] = sorted({key for _, data in got for point in data for key in point})
found["others_untouched"] = list(got_others)

# Transforms on the same stream, one of which nobody can read: the rest goes on as before.
transformed, doubled = [], []
seen.subscribe(lambda path, data: transformed.append([path, data]), transform="if $ == 'five' | count")
seen.subscribe(lambda path, data: doubled.append([path, data]), transform="$ + $")
seen.subscribe(take, transform="bogus")
wait_for(lambda: False, patience_s=3)  # nothing tells when they have begun
del got[:]
words.insert("five")
words.insert("not that")
others.insert("six")
found["beside_a_transform"] = wait_for(lambda: len(got) == 2 and got_others and len(doubled) == 2 and transformed)
found["transformed"] = [[path, [point["d"] for point in data]] for path, data in transformed]
found["doubled"] = [[path, [point["d"] for point in data]] for path, data in doubled]
seen.unsubscribe(transform="if $ == 'five' | count")
seen.unsubscribe(transform="$ + $")

# A stream that is not there, or may not be read, gives nothing.
reader("lea/probe/nothing").subscribe(take)
del got[:]
words.insert("seven")
found["beside_nothing"] = [wait_for(lambda: got), len(got)]

seen.unsubscribe()
del got[:], got_others[:]
words.insert("eight")
others.insert("nine")
wait_for(lambda: got_others)
words.insert("ten")
others.insert("eleven")
wait_for(lambda: len(got_others) == 2)
found["after_unsubscribe"] = [list(got), len(got_others)]

seen.subscribe(take)
arrived(words, got)
del got[:]
words.insert("again")
found["again"] = [wait_for(lambda: got), [point["d"] for _, data in got for point in data]]

# It does not end the subscriptions: in 0.3 these last as long as the process.
for one in (cdb, writer, reader):
    one.close()
show(found)

"""What each kind of device, and other users, may see and do."""

from _script import connect, error, failure, show

cdb = connect()
devices = {f"d{role}": {"role": role, "streams": {"own": {}}} for role in ("none", "reader", "writer", "user")}
devices["target"] = {"streams": {"data": {}, "down": {"downlink": True}}}
devices["shown"] = {"public": True, "streams": {"data": {}}}
cdb("jane").create("jane@example.org", "pw", devices=devices)
cdb("kurt").create("kurt@example.org", "pw")
cdb("hidden").create("hidden@example.org", "pw", public=False, devices={"d": {"streams": {"s": {}}}})
jane = connect("jane", "pw")
target = connect(jane("jane/target").apikey)
target["data"].insert(1)
shown = connect(jane("jane/shown").apikey)
shown["data"].insert(2)


def may(asker):
    """What *asker* meets with, step by step."""
    return {
        "ping": asker.ping(),
        "sees": [
            path
            for path in [
                "jane",
                "jane/target",
                "jane/target/data",
                "jane/shown",
                "jane/shown/data",
                "hidden",
                "hidden/d",
                "nosuch",
            ]
            if asker(path).exists()
        ],
        "devices": error(asker("jane").devices),
        "streams": error(asker("jane/target").streams),
        "apikey": error(lambda: asker("jane/target").data["apikey"]),
        "read": error(len, asker("jane/target/data")),
        "read_public": error(lambda: asker("jane/shown/data")[:]),
        "insert": error(asker("jane/target/data").insert, 2),
        "downlink": error(asker("jane/target/down").insert, 2),
        "set": error(asker("jane/target").set, {"description": asker.ping()}),
        "set_stream": error(asker("jane/target/data").set, {"nickname": asker.ping()}),
        "create_stream": error(asker("jane/target/" + "new" + asker.name).create),
        "create_device": error(asker("jane/new" + asker.name).create),
        "create_user": error(asker("new" + asker.name).create, asker.name + "@example.org", "pw"),
        "delete_user": error(asker("hidden").delete),
        "users": error(asker.users),
        "count": error(asker.count_users),
    }


found = {role: may(connect(jane(f"jane/d{role}").apikey)) for role in ("none", "reader", "writer", "user")}
found["owner"] = may(jane)
kurt = connect("kurt", "pw")
found["stranger"] = may(kurt)
found["forbidden"] = [failure(kurt(name).refresh)[1].partition(" (")[0] for name in ("hidden", "nosuch")]

# A device of the least role can do all with what is its own.
none = connect(jane("jane/dnone").apikey)
none["fresh"].create({"type": "number"})
none["fresh"].insert(1.5)
none["fresh"].nickname = "F"
found["own"] = [len(none["fresh"]), none["fresh"].nickname, sorted(s.name for s in none.streams())]
none.nickname = "me"
found["own_role"] = [none.nickname, error(none.set, {"role": "user"})]

# A role that is taken away is gone at once.
jane("jane/dwriter").role = "none"
writer = connect(jane("jane/dwriter").apikey)
found["demoted"] = error(writer("jane/target/down").insert, 3)
show(found)

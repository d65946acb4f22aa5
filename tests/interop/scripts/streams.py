"""Streams: create, read, change, list, delete, and what they take."""

import json

from _script import connect, error, show

cdb = connect()
cdb("emil").create("emil@example.org", "pw")
emil = connect("emil", "pw")

found = {}
any_stream = emil["any"]
found["before"] = any_stream.exists()
any_stream.create()
found["created"] = any_stream.data
number = emil["number"]
number.create(
    {"type": "number", "minimum": 0},
    nickname="Number",
    description="a number",
    icon="material:star",
    datatype="rating.stars",
    ephemeral=False,
    downlink=True,
)
found["number"] = number.data
found["properties"] = [
    number.path,
    number.name,
    number.nickname,
    number.description,
    number.icon,
    number.schema,
    number.sschema,
    number.datatype,
    number.ephemeral,
    number.downlink,
    number.user.path,
    number.device.path,
]
text = emil["text"]
text.create('{ "type" :  "string" }')
found["schema_text"] = [text.sschema, text.schema]
found["exists"] = text.exists()
found["again"] = error(emil["text"].create)
found["bad_schema"] = [error(emil["bad"].create, {"type": "nonsense"}), emil["bad"].exists()]

number.nickname = "N"
number.description = "none"
number.icon = ""
number.datatype = "number.plain"
number.ephemeral = True
number.downlink = False
number.schema = {"type": "integer"}
found["changed"] = emil["number"].data
number.set({"schema": json.dumps({"type": "boolean"}), "ephemeral": False})
found["set"] = emil["number"].data
found["refused"] = {
    "name": error(number.set, {"name": "other"}),
    "unknown": error(number.set, {"unit": "m"}),
    "type": error(number.set, {"downlink": "x"}),
    "schema": error(number.set, {"schema": "{"}),
}

# What was stored stays when the schema changes.
any_stream.insert("a text")
any_stream.schema = {"type": "number"}
found["after_schema"] = [
    error(any_stream.insert, "another"),
    error(any_stream.insert, 5),
    [p["d"] for p in any_stream[:]],
]

ephemeral = emil["ephemeral"]
ephemeral.create(ephemeral=True)
ephemeral.insert(1)
found["ephemeral"] = [len(ephemeral), ephemeral[:]]

found["listed"] = sorted(stream.path for stream in emil.streams())
number.delete()
found["deleted"] = [number.exists(), error(number.delete), error(len, number)]
number.create()
found["recreated"] = [number.sschema, len(number)]
show(found)

"""Make things, and export them in the form of 0.3: a user, a device, a stream."""

import os

from _script import connect, error, given, show

from connectordb import DatapointArray

cdb = connect()
name = given["user"]
cdb(name).create(
    name + "@example.org",
    "pw",
    public=False,
    nickname="Änne ☃",
    description="exported",
    icon="material:face",
    streams={"mood": {"schema": '{"type":"number"}', "datatype": "rating.stars", "nickname": "Mood"}},
    devices={
        "phone": {
            "nickname": "Phone",
            "role": "reader",
            "visible": False,
            "streams": {
                "steps": {"schema": '{"type":"integer"}', "description": "counted"},
                "empty": {},
                "text": {"schema": '{"type":"string"}'},
                "lamp": {"schema": '{"type":"boolean"}', "downlink": True},
            },
        },
    },
)
owner = connect(name, "pw")
phone = connect(owner(name + "/phone").apikey)
owner["mood"].insert_array([{"t": 1500000000.25, "d": 7.5}, {"t": 1500000001, "d": -1}])
phone["steps"].insert_array([{"t": i / 4 + 1, "d": i} for i in range(4000)])
phone["text"].insert_array([{"t": 1, "d": ""}, {"t": 2, "d": 'Grüße ☃ 😀 "q" \n'}])
owner(name + "/phone/lamp").insert_array([{"t": 5, "d": True}, {"t": 6, "d": False}])
phone["lamp"].insert_array([{"t": 5.5, "d": True}])

os.chdir(given["dir"])
owner.user.export("user")
owner(name + "/phone").export("device")
owner["mood"].export("mood")
# The old client cannot import more than 5000 datapoints (its DatapointArray cannot be sliced), but can export them.
owner["long"].create({"type": "integer"})
owner["long"].insert_array([{"t": i + 0.5, "d": i} for i in range(12_001)])
owner["long"].export("stream")
owner["long"].delete()
show(
    {
        "again": error(owner.user.export, "user"),
        "loaded": len(DatapointArray().loadExport("stream")),
        "files": sorted(
            os.path.join(base, file)
            for folder in ("user", "device", "mood", "stream")
            for base, _, files in os.walk(folder)
            for file in files
        ),
    }
)

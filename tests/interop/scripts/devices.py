"""Devices: create, read, change, list, delete."""

from _script import connect, error, show

cdb = connect()
cdb("dave").create("dave@example.org", "pw")
dave = connect("dave", "pw")
user = dave.user

phone = user["phone"]
found = {"path": phone.path, "before": phone.exists()}
phone.create(
    public=True,
    nickname="Phone",
    description="in the pocket",
    icon="fa:phone",
    role="writer",
    visible=False,
    enabled=False,
    streams={"steps": {"schema": '{ "type" : "integer" }'}, "calls": {"nickname": "Calls"}},
)
created = dict(phone.data)
found["apikey"] = [len(phone.apikey), created.pop("apikey") == phone.apikey]
found["created"] = created
found["properties"] = [
    phone.name,
    phone.nickname,
    phone.description,
    phone.icon,
    phone.public,
    phone.role,
    phone.enabled,
    phone.user.path,
]
found["exists"] = phone.exists()
found["again"] = error(user["phone"].create)
found["reserved"] = [error(user["user"].delete), error(user["meta"].delete)]

user["plain"].create()
plain = dict(user["plain"].data)
plain.pop("apikey")
found["defaults"] = plain
user["mine"].create(apikey="an-api-key-of-my-own")
found["own_apikey"] = [user["mine"].apikey, connect("an-api-key-of-my-own").ping()]

found["devices"] = sorted(device.path for device in user.devices())
found["streams"] = sorted(stream.path for stream in phone.streams())
found["no_streams"] = user["plain"].streams()

phone.nickname = "Handy"
phone.description = "on the desk"
phone.icon = "material:phone"
phone.public = False
phone.role = "none"
phone.enabled = True
phone.set({"visible": True})
changed = dict(dave("dave/phone").data)
changed.pop("apikey")
found["changed"] = changed
found["refused"] = {
    "name": error(phone.set, {"name": "tablet"}),
    "unknown": error(phone.set, {"colour": "black"}),
    "type": error(phone.set, {"enabled": "yes"}),
    "role": error(phone.set, {"role": "emperor"}),
}
found["own_device"] = {
    "path": dave.path,
    "streams": [stream.path for stream in dave.streams()],
    "stream": dave["diary"].path,
}
phone.delete()
found["deleted"] = [phone.exists(), dave("dave/phone/steps").exists(), error(phone.delete)]
found["log"] = [[point["d"]["cmd"], point["d"]["arg"], point.get("o")] for point in cdb("dave/meta/log")[:]]
show(found)

"""Users: create, read, change, list, delete."""

from _script import connect, error, show

cdb = connect()
counted = [cdb.count_users(), cdb.count_devices(), cdb.count_streams()]

anna = cdb("anna")
found = {"before": anna.exists(), "missing": error(anna.refresh)}
anna.create(
    "anna@example.org", "pw", public=False, nickname="Änne ☃", description="says <hello> & 'bye'", icon="material:face"
)
found["created"] = anna.data
found["properties"] = [
    anna.path,
    anna.name,
    anna.nickname,
    anna.description,
    anna.icon,
    anna.email,
    anna.public,
    anna.role,
]
found["exists"] = anna.exists()
found["again"] = error(cdb("anna").create, "other@example.org", "pw")
found["same_email"] = error(cdb("anna2").create, "anna@example.org", "pw")
found["counted"] = [
    now - then for now, then in zip([cdb.count_users(), cdb.count_devices(), cdb.count_streams()], counted, strict=True)
]
found["devices"] = sorted(device.path for device in anna.devices())
found["listed"] = sorted(user.path for user in cdb.users() if user.path.startswith("anna"))

anna.nickname = "Anna"
anna.description = ""
anna.icon = "fa:user"
anna.email = "anna@example.com"
anna.public = True
anna.role = "admin"
anna.set({"nickname": "A.", "description": "all\nat once"})
found["kept"] = anna.data
anna.refresh()
found["changed"] = anna.data
found["refused"] = {
    "name": error(anna.set, {"name": "bertha"}),
    "unknown": error(anna.set, {"shoe_size": 38, "nickname": "not stored"}),
    "type": error(anna.set, {"nickname": 5}),
    "email": error(anna.set, {"email": "no address"}),
    "role": error(anna.set, {"role": "emperor"}),
    "icon": error(anna.set, {"icon": "!!"}),
}
found["unchanged"] = cdb("anna").data
anna.delete()
found["deleted"] = [anna.exists(), error(connect, "anna", "pw")]
show(found)

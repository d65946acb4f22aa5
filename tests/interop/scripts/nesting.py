"""A user with all that belongs to him, at once."""

from _script import connect, error, show

cdb = connect()


def count():
    return [cdb.count_users(), cdb.count_devices(), cdb.count_streams()]


def grown():
    return [now - then for now, then in zip(count(), before, strict=True)]


before = count()
carl = cdb("carl")
carl.create(
    "carl@example.org",
    "pw",
    "user",
    streams={"mood": {"schema": '{"type": "number"}', "datatype": "rating.stars"}},
    devices={
        "phone": {"nickname": "Carl's", "streams": {"steps": {"schema": '{"type":"integer"}'}, "place": {}}},
        "lamp": {"public": True, "role": "reader", "streams": {"on": {"downlink": True}}},
    },
)
found = {"counted": grown()}
found["nested"] = {
    device.path: sorted([stream.path, stream.sschema, stream.datatype, stream.downlink] for stream in device.streams())
    for device in carl.devices()
}
phone, lamp = cdb("carl/phone"), cdb("carl/lamp")
found["fields"] = [phone.nickname, phone.role, lamp.public, lamp.role]
found["bad_part"] = error(
    cdb("half").create, "half@example.org", "pw", devices={"good": {}, "bad": {"streams": {"s": {"schema": "{nope}"}}}}
)
found["bad_part_there"] = cdb("half").exists()
found["log"] = [[point["d"]["cmd"], point["d"]["arg"]] for point in cdb("carl/meta/log")[:]]
carl.delete()
found["deleted"] = [carl.exists(), phone.exists(), cdb("carl/phone/steps").exists()]
found["delete_again"] = error(carl.delete)
found["counted_after"] = grown()
show(found)

"""Import folders in the form of 0.3: of users as the administrator, of a device and of a stream as their owner."""

from _script import connect, error, given, show

from connectordb import DatapointArray

cdb = connect()
user, device, stream = given.get("user"), given.get("device"), given.get("stream")
found = {}
if user:
    cdb.import_users(user)
    found["user_again"] = error(cdb.import_users, user)
if device or stream:
    owner = connect(*given["login"])
    if device:
        owner.user.import_device(device)
        found["device_again"] = error(owner.user.import_device, device)
    if stream:
        owner.import_stream(stream)
        found["stream_again"] = error(owner.import_stream, stream)
if "load" in given:
    found["loaded"] = DatapointArray().loadExport(given["load"])
show(found)

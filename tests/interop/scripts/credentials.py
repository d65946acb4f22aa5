"""Api keys and passwords that change."""

from _script import connect, error, show

cdb = connect()
cdb("jack").create("jack@example.org", "pw", devices={"device": {}})
jack = connect("jack", "pw")
found = {}

device = connect(jack("jack/device").apikey)
old_key = device.apikey
device.reset_apikey()
found["reset_own"] = [device.apikey != old_key, device.ping(), error(connect, old_key), connect(device.apikey).ping()]

of_owner = jack("jack/device")
old_key = of_owner.apikey
of_owner.reset_apikey()
found["reset_by_owner"] = [error(connect, old_key), connect(of_owner.apikey).ping()]

# Of the device that one has logged in as by password.
old_key = jack.apikey
jack.reset_apikey()
found["reset_connected"] = [error(connect, old_key), jack.ping(), connect(jack.apikey).ping()]

jack.user.set_password("new")
found["password"] = [error(connect, "jack", "pw"), connect("jack", "new").ping()]
cdb("jack").set_password("by the administrator: ü")
found["password_by_admin"] = [error(connect, "jack", "new"), connect("jack", "by the administrator: ü").ping()]
show(found)

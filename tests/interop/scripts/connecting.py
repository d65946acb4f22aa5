"""Connect in every way there is, and ask who and where one is."""

from importlib.metadata import version

from _script import connect, failure, given, show

from connectordb import CONNECTORDB_URL, ConnectorDB

cdb = connect()
cdb("dora").create("dora@example.org", "secret")
by_password = connect("dora", "secret")
by_key = connect(by_password.apikey)

cdb("dora/phone").create()
phone = connect(cdb("dora/phone").apikey)

show(
    {
        "versions": [version("ConnectorDB"), version("websocket-client")],
        "default_url": CONNECTORDB_URL,
        "password": [by_password.path, by_password.ping(), by_password.name],
        "apikey": [by_key.path, by_key.ping()],
        "device": [phone.path, phone.ping(), phone.name, phone.user.path],
        "info": cdb.info(),
        "slash": ConnectorDB("test", "test", url=given["url"] + "/").ping(),
        "nobody": ConnectorDB(url=given["url"]).ping(),
        "wrong_password": failure(connect, "dora", "wrong"),
        "wrong_user": failure(connect, "nosuchuser", "wrong"),
        "wrong_apikey": failure(connect, "2b0a7f2c-0000-4000-8000-000000000000"),
        "closed": cdb.close(),
    }
)

"""What the old client raises for each kind of refusal, and what it says."""

from _script import connect, failure, given, show

from connectordb import ConnectorDB

cdb = connect()
cdb("lena").create("lena@example.org", "pw")
cdb("ludo").create("ludo@example.org", "pw", public=False)
lena = connect("lena", "pw")
stream = lena["s"]
stream.create({"type": "integer"})
stream.insert_array([{"t": 10, "d": 1}])

show(
    {
        "400": {
            "name": failure(lena("lena/9lives").create),
            "time": failure(stream.insert_array, [{"t": "ten", "d": 1}]),
            "point": failure(stream.insert_array, [5]),
        },
        "401": {
            "password": failure(connect, "lena", "wrong"),
            "apikey": failure(connect, "wrong"),
        },
        "403": {
            "duplicate": failure(lena["s"].create),
            "schema": failure(stream.insert, "text"),
            "older": failure(stream.insert_array, [{"t": 9, "d": 1}]),
            "field": failure(stream.set, {"unit": "m"}),
            "role": failure(lena.user.set, {"role": "admin"}),
            "missing": failure(lena["nosuch"].insert, 1),
            "delete": failure(lena["nosuch"].delete),
            "index": failure(stream, i1=99),
        },
        "404": {
            "stream": failure(lena["nosuch"].refresh),
            "user": failure(lena("nosuch").refresh),
            "forbidden": failure(lena("ludo").refresh),
            "list": failure(lena.users),
            "nobody": failure(ConnectorDB(url=given["url"])("lena").refresh),
        },
        "413": {"body": failure(stream.insert_array, [{"t": 20, "d": 1, "o": "x" * 3000}] * 5000)},
        "script": failure(stream, i1=0, transform="bogus"),
        "length": len(stream),
    }
)

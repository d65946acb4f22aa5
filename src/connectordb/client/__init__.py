"""The client: what to send and how to read it (`_calls`, without input or output), and a thin shell over a transport.

`ConnectorDB` is the way in.
"""

from ._connectordb import ConnectorDB
from ._device import Device
from ._encode import DATAPOINT_INSERT_LIMIT
from ._object import ConnectorObject
from ._session import Credentials, Session
from ._stream import Stream
from ._transport import HttpTransport, Reply, StreamReply, Transport
from ._user import User

__all__ = [
    "DATAPOINT_INSERT_LIMIT",
    "ConnectorDB",
    "ConnectorObject",
    "Credentials",
    "Device",
    "HttpTransport",
    "Reply",
    "Session",
    "Stream",
    "StreamReply",
    "Transport",
    "User",
]

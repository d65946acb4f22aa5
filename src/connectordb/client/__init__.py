"""The client: what to send and how to read it (`_calls`, without input or output), and a thin shell over a transport.

`ConnectorDB` is the way in.
"""

from ..wire import Correction
from ._connectordb import ConnectorDB
from ._corrections import Change
from ._device import Device
from ._downlink import Downlink
from ._encode import DATAPOINT_INSERT_LIMIT
from ._feed import Notice
from ._live import Live
from ._object import ConnectorObject
from ._session import Credentials, Session
from ._socket import Socket, SocketClosed
from ._stream import Stream
from ._subscription import Subscription
from ._transport import HttpTransport, Reply, StreamReply, Transport
from ._user import User

__all__ = [
    "DATAPOINT_INSERT_LIMIT",
    "Change",
    "ConnectorDB",
    "ConnectorObject",
    "Correction",
    "Credentials",
    "Device",
    "Downlink",
    "HttpTransport",
    "Live",
    "Notice",
    "Reply",
    "Session",
    "Socket",
    "SocketClosed",
    "Stream",
    "StreamReply",
    "Subscription",
    "Transport",
    "User",
]

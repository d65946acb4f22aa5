"""``user.streams(public=, downlink=, visible=)``."""

from itertools import product

from _script import connect, show

cdb = connect()
cdb("fred").create(
    "fred@example.org",
    "pw",
    devices={
        f"d{int(public)}{int(visible)}": {
            "public": public,
            "visible": visible,
            "streams": {"plain": {}, "down": {"downlink": True}},
        }
        for public, visible in product([False, True], repeat=2)
    },
)
user = connect("fred", "pw").user


def listed(**kwargs):
    return sorted(stream.path.partition("/")[2] for stream in user.streams(**kwargs))


show(
    {
        "default": listed(),
        "chosen": {
            f"{int(public)}{int(downlink)}{int(visible)}": listed(public=public, downlink=downlink, visible=visible)
            for public, downlink, visible in product([False, True], repeat=3)
        },
    }
)

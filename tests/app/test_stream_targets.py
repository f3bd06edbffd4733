"""Addresses of streams: what is valid, and that nothing secret of them is ever shown."""

from __future__ import annotations

import pytest

from app.errors import UsageError
from app.live_options import check_live
from app.stream_targets import StreamTarget, parse_targets, unique_names

SECRET = "Xy7sEcReT"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mjpeg://127.0.0.1:8091", "mjpeg://127.0.0.1:8091"),
        ("MJPEG://", "mjpeg://127.0.0.1:8090"),
        ("mjpeg://[::1]:8091/", "mjpeg://[::1]:8091"),
        (f"srt://host:9000?passphrase={SECRET}&streamid={SECRET}", "srt://host:9000"),
        (f"rtmp://live.example.org/app/{SECRET}", "rtmp://live.example.org:1935"),
        (f"rtmps://user:{SECRET}@live.example.org/app/{SECRET}", "rtmps://live.example.org:443"),
        ("udp://127.0.0.1:5000?ttl=2", "udp://127.0.0.1:5000"),
        ("rtp://239.0.0.1:5004", "rtp://239.0.0.1:5004"),
        ("ndi://My%20Portrait", "ndi://My Portrait"),
    ],
)
def test_addresses(text: str, shown: str) -> None:
    target = StreamTarget.parse(text)
    assert target.shown == shown
    assert SECRET not in repr(target)
    assert SECRET not in str(target)
    assert target.url == text.strip()
    assert check_live({"stream": text}).stream == text


@pytest.mark.parametrize(
    "text",
    [
        SECRET, f"http://host/{SECRET}", f"rtmp://host:port/{SECRET}", f"rtmp://host:99999/{SECRET}/x", "rtmp://host/",
        f"srt://host?passphrase={SECRET}", f"mjpeg://host:80/{SECRET}", f"mjpeg://{SECRET}@host:80", "ndi://",
        f"udp://ho st:50/{SECRET}", f"srt://[::1/{SECRET}", f"spout://{SECRET}\x07",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_without_its_secret(text: str) -> None:
    with pytest.raises(UsageError, match="stream") as caught:
        check_live({"stream": f"mjpeg://127.0.0.1:8090\n{text}"}, flags=True)
    assert SECRET not in f"{caught.value} {caught.value.hint} {caught.value.__cause__}"


def test_several_targets_each_count_once_and_have_names_of_their_own() -> None:
    lines = ["rtmp://a/x/one", "rtmp://a/x/two", " rtmp://a/x/one ", "", "mjpeg://"]
    targets = parse_targets("\n".join(lines))
    assert len(targets) == 3
    assert unique_names(targets) == ["rtmp://a:1935 (1)", "rtmp://a:1935 (2)", "mjpeg://127.0.0.1:8090"]


@pytest.mark.parametrize(("text", "is_open"), [("mjpeg://", False), ("mjpeg://0.0.0.0:1", True), ("udp://a:1", False)])
def test_who_is_told_that_others_can_watch(text: str, is_open: bool) -> None:
    assert StreamTarget.parse(text).is_open is is_open

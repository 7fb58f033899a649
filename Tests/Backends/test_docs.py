"""docs/BACKENDS.md, followed from its beginning to its end."""

from __future__ import annotations

import shutil

import pytest

from api import REPOSITORY
from pages import Reader, blocks

PAGE = REPOSITORY / "docs/BACKENDS.md"


@pytest.mark.skipif(
    shutil.which("mosquitto_sub") is None,
    reason="mosquitto_sub is not installed (Debian's package mosquitto-clients)")
def test_the_page_can_be_followed(tmp_path):
    reader = Reader(tmp_path)
    try:
        for block in blocks(PAGE):
            reader.follow(block)
    finally:
        reader.close()


def test_the_page_has_what_it_is_for():
    text = PAGE.read_text()
    for hook in ("OnConnect", "OnSubscribe", "OnPublish", "OnDelivered", "OnUnsubscribe",
                 "OnDisconnect", "OnOffline"):
        assert f"def {hook}(" in text
    assert len(blocks(PAGE)) > 40

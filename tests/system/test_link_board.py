"""The link on a virtual board: a profile comes over it and is in force after the restart that comes over it too."""

import json
import zlib

import pytest
from relith.readings import Readings

from hil import image
from hil.codec import MOST, Client, Refused
from hil.virtual.bench import Bench
from hil.virtual.board import VirtualBoard
from hil.virtual.hardware import Reset

PROFILE = image.PROFILES / "liu21_nmc532.json"


class Port:
    """The board's link, whose loop runs when somebody reads; a restart that it asks for is carried out."""

    def __init__(self, board):
        self.board, self.restarts = board, 0

    def write(self, data):
        self.board.hardware.link_in += data

    def read(self):
        hardware = self.board.hardware
        try:
            self.board.advance(100)
            self.board.step()
        except Reset:
            self.restarts += 1
            self.board.reset()
        data = bytes(hardware.link_out)
        hardware.link_out.clear()
        return data


@pytest.fixture(params=["virtual", "rig_virtual"])
def port(request, tmp_path):
    image.write(image.build(request.param, PROFILE), tmp_path)
    with VirtualBoard(tmp_path, Bench().hardware, stepped=True) as board:
        board.start()
        yield Port(board)


def test_a_profile_and_a_restart_over_the_link(port, tmp_path):
    client = Client(port, key=json.loads(PROFILE.read_text())["link_key"].encode(), timeout_s=10.0)
    before = client.hello()
    text = json.dumps(json.loads(PROFILE.read_text()) | {"name": "another", "link_key": "other key"}).encode()
    client.upload_profile(text)
    assert client.hello()["profile_crc30"] == before["profile_crc30"], "what ran before keeps running"
    if before["rig"]:
        client.step(Readings())
    with pytest.raises(Refused, match="min_uv"):
        client.upload_profile(json.dumps(json.loads(PROFILE.read_text()) | {"min_uv": 5}).encode())
    client.command("reboot")
    if before["rig"]:
        client.step(Readings())
    for _ in range(3):
        client.pump()
    assert port.restarts == 1
    after = client.hello()
    assert after["boots"] == before["boots"] + 1
    assert after["profile_crc30"] == zlib.crc32(text) & MOST
    client.key = b"other key"
    client.command("arm", 1)
    assert (tmp_path / "profile.json").read_bytes() == text

"""MQTT devices: paho clients of Tests/Interop that may also be refused."""

from __future__ import annotations

import threading

import paho.mqtt.client as mqtt

from backend_broker import Broker  # noqa: F401  sets the path to what follows
from interop_paho import PahoClient

__all__ = ["Device", "key_of", "seen"]


class Device(PahoClient):
    """A device. To come back as the same one, make another with its client id."""

    def __init__(self, broker, version="5", *, user=None, password=None, manual=False, **options):
        super().__init__(broker, version, **options)
        self.client_id = options["client_id"]
        self.disconnect_code: int | None = None
        if user is not None:
            self.raw.username_pw_set(user, password)
        # A device that acknowledges when the test says so (QoS 1 and 2).
        self.raw.manual_ack_set(manual)

    def _on_disconnect(self, client, userdata, flags, reason_code, props):
        self.disconnect_code = reason_code.value
        super()._on_disconnect(client, userdata, flags, reason_code, props)

    def attempt(self) -> int:
        """Tries to connect; the reason code of CONNACK (MQTT 5; else paho's translation of it)."""
        self.begin()
        self._wait(lambda: self._connected or self._gone, "CONNACK or the end")
        assert self.connect_code is not None, "the connection ended without CONNACK"
        return self.connect_code.value

    def begin(self) -> None:
        """Sends CONNECT and waits for nothing."""
        options = {}
        if self.version == "5":
            options = {"clean_start": self._clean, "properties": self._connect_properties}
        self.raw.connect(self.broker.host, self.broker.port, self.keepalive, **options)
        self.raw.loop_start()

    @property
    def has_answer(self) -> bool:
        with self._changed:
            return self._connected

    def acknowledge(self, message: mqtt.MQTTMessage) -> None:
        self.raw.ack(message.mid, message.qos)

    def begin_publish(self, topic, payload=b"", qos=1) -> Published:
        """Publishes, and gives what becomes done when the last acknowledgement is there."""
        return Published(self, topic, payload, qos)


class Published:
    """A message on its way, with the reason code that it was answered with (MQTT 5)."""

    def __init__(self, device: Device, topic, payload, qos):
        self._done = threading.Event()
        self.code: int | None = None
        self._mid: int | None = None
        self._early: dict[int, int] = {}
        device.raw.on_publish = self._on_publish
        self.info = device.raw.publish(topic, payload, qos)
        self._mid = self.info.mid
        if self._mid in self._early:
            self._finish(self._early[self._mid])

    def _on_publish(self, client, userdata, mid, reason_code, props):
        # It may come before paho's publish has told us the identifier.
        self._early[mid] = reason_code.value
        if mid == self._mid:
            self._finish(reason_code.value)

    def _finish(self, code: int) -> None:
        self.code = code
        self._done.set()

    @property
    def is_done(self) -> bool:
        return self._done.is_set()

    def wait(self, timeout: float) -> int:
        assert self._done.wait(timeout), f"no acknowledgement of {self.info.mid}"
        assert self.code is not None
        return self.code


def seen(message: mqtt.MQTTMessage) -> tuple[str, bytes, int, bool]:
    """What a device sees of a message in each version."""
    return message.topic, message.payload, message.qos, message.retain


def key_of(message: mqtt.MQTTMessage) -> str | None:
    """The user property "message-key"."""
    properties = dict(getattr(message.properties, "UserProperty", ()))
    return properties.get("message-key")

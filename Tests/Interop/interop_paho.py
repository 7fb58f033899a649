"""paho-mqtt with every callback turned into something that a test can wait for."""

from __future__ import annotations

import collections
import socket
import threading
import time

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from interop_support import DEADLINE, Broker

PROTOCOLS = {"3.1": mqtt.MQTTv31, "3.1.1": mqtt.MQTTv311, "5": mqtt.MQTTv5}


def properties(kind: str, **values) -> Properties:
    """Properties of a packet (`PUBLISH`, ...); a list gives a property more than once."""
    made = Properties(getattr(PacketTypes, kind))
    for name, value in values.items():
        for one in value if isinstance(value, list) else [value]:
            setattr(made, name, one)
    return made


class PahoClient:
    """One client, one connection: to come back as the same client, make another one."""

    def __init__(
        self,
        broker: Broker,
        version: str,
        *,
        client_id: str,
        clean: bool = True,
        session_expiry: int = 0,
        will: dict | None = None,
        keepalive: int = 60,
        inflight: int = 20,
        **connect_properties,
    ):
        self.broker = broker
        self.version = version
        self.keepalive = keepalive
        self._changed = threading.Condition()
        self._inbox: collections.deque[mqtt.MQTTMessage] = collections.deque()
        self._answers: dict[tuple[str, int], list] = {}
        self._connected = False
        self._gone = False
        self.session_present: bool | None = None
        self.connack_properties: Properties | None = None
        self.connect_code: ReasonCode | None = None
        # Whether the broker ended it with a DISCONNECT (MQTT 5). Its reason code is not here, for
        # paho 2.1 reads that only from packets that also have properties.
        self.told_to_go: bool | None = None
        self.pings = 0

        five = version == "5"
        self._clean = clean
        self._connect_properties = None
        if five:
            if session_expiry:
                connect_properties["SessionExpiryInterval"] = session_expiry
            self._connect_properties = properties("CONNECT", **connect_properties)
        self.raw = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=PROTOCOLS[version],
            clean_session=None if five else clean,
            reconnect_on_failure=False,
        )
        self.raw.max_inflight_messages_set(inflight)
        if will:
            self.raw.will_set(**will)
        self.raw.on_connect = self._on_connect
        self.raw.on_disconnect = self._on_disconnect
        self.raw.on_message = self._on_message
        self.raw.on_subscribe = self._on_answer("subscribe")
        self.raw.on_unsubscribe = self._on_answer("unsubscribe")
        self.raw.on_log = self._on_log

    # Callbacks, on paho's own thread.

    def _on_connect(self, client, userdata, flags, reason_code, props):
        with self._changed:
            self._connected = True
            self.session_present = flags.session_present
            self.connect_code = reason_code
            self.connack_properties = props
            self._changed.notify_all()

    def _on_disconnect(self, client, userdata, flags, reason_code, props):
        with self._changed:
            if not self._gone:
                self.told_to_go = flags.is_disconnect_packet_from_server
            self._gone = True
            self._changed.notify_all()

    def _on_message(self, client, userdata, message):
        with self._changed:
            self._inbox.append(message)
            self._changed.notify_all()

    def _on_answer(self, kind):
        def answer(client, userdata, mid, reason_codes, props):
            with self._changed:
                self._answers[kind, mid] = reason_codes
                self._changed.notify_all()

        return answer

    def _on_log(self, client, userdata, level, text):
        if text == "Received PINGRESP":
            with self._changed:
                self.pings += 1
                self._changed.notify_all()

    def _wait(self, condition, what: str, timeout: float = DEADLINE):
        end = time.monotonic() + timeout
        with self._changed:
            while not condition():
                left = end - time.monotonic()
                if left <= 0:
                    seen = [(m.topic, bytes(m.payload[:40])) for m in self._inbox]
                    raise AssertionError(f"waited {timeout} s in vain for {what}; inbox: {seen}")
                self._changed.wait(left)

    # What a test does.

    def connect(self) -> PahoClient:
        options = {}
        if self.version == "5":
            options = {"clean_start": self._clean, "properties": self._connect_properties}
        self.raw.connect(self.broker.host, self.broker.port, self.keepalive, **options)
        self.raw.loop_start()
        self._wait(lambda: self._connected, "CONNACK")
        assert not self.connect_code.is_failure, self.connect_code
        return self

    def subscribe(self, filters, qos: int = 0, **options) -> list[int]:
        """Subscribes and returns the reason codes as numbers."""
        result, mid = self.raw.subscribe(filters, qos, **options)
        assert result == mqtt.MQTT_ERR_SUCCESS
        self._wait(lambda: ("subscribe", mid) in self._answers, f"SUBACK for {filters}")
        return [code.value for code in self._answers["subscribe", mid]]

    def unsubscribe(self, filters) -> list[int]:
        result, mid = self.raw.unsubscribe(filters)
        assert result == mqtt.MQTT_ERR_SUCCESS
        self._wait(lambda: ("unsubscribe", mid) in self._answers, f"UNSUBACK for {filters}")
        return [code.value for code in self._answers["unsubscribe", mid]]

    def publish(self, topic, payload=b"", qos=0, retain=False, wait=True, **values):
        """Publishes with the given properties (MQTT 5), and waits for the last acknowledgement."""
        props = properties("PUBLISH", **values) if values else None
        info = self.raw.publish(topic, payload, qos, retain, props)
        assert info.rc == mqtt.MQTT_ERR_SUCCESS, info.rc
        if wait:
            info.wait_for_publish(DEADLINE)
            assert info.is_published(), f"no acknowledgement for {topic} at QoS {qos}"
        return info

    def receive(self, count: int, timeout: float = DEADLINE) -> list[mqtt.MQTTMessage]:
        """Takes the next `count` messages out of the inbox."""
        self._wait(lambda: len(self._inbox) >= count, f"{count} messages", timeout)
        with self._changed:
            return [self._inbox.popleft() for _ in range(count)]

    def next(self, timeout: float = DEADLINE) -> mqtt.MQTTMessage:
        return self.receive(1, timeout)[0]

    def until(self, payload: bytes) -> list[mqtt.MQTTMessage]:
        """Takes all messages before the one with this payload, and that one too.

        This is how a test sees that nothing came: the marker was sent later, and is here.
        """
        taken = []
        while (message := self.next()).payload != payload:
            taken.append(message)
        return taken

    def wait_pings(self, count: int) -> None:
        self._wait(lambda: self.pings >= count, f"{count} PINGRESP")

    def wait_gone(self) -> None:
        self._wait(lambda: self._gone, "the end of the connection")

    def kill(self) -> None:
        """Ends the connection without DISCONNECT, as a lost device does."""
        self.raw.socket().shutdown(socket.SHUT_RDWR)
        self.wait_gone()
        self.raw.loop_stop()

    def disconnect(self, reason: int | None = None, **values) -> None:
        options = {}
        if reason is not None:
            options["reasoncode"] = ReasonCode(PacketTypes.DISCONNECT, identifier=reason)
        if values:
            options["properties"] = properties("DISCONNECT", **values)
        self.raw.disconnect(**options)
        self.wait_gone()
        self.raw.loop_stop()

    def close(self) -> None:
        """Ends whatever is left; never fails, so that it can't hide a test's own failure."""
        self.raw.disconnect()
        self.raw.loop_stop()

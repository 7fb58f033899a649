"""Shows backend.py at work: a broker, two devices, and what is pushed to them. Ends with status 0
where all of it happened."""

import argparse
import contextlib
import os
import pathlib
import re
import subprocess
import tempfile
import threading
import time

import paho.mqtt.client as mqtt

from backend import Backend, say

# Seconds that any one step may take.
PATIENCE = 20
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


class Device:
    """A device: an MQTT client that subscribes to what is for it, and prints what comes."""

    def __init__(self, address, name, password):
        host, _, port = address.rpartition(":")
        self.name = name
        self.received = []
        self.changed = threading.Condition()
        self.code = None
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5,
            reconnect_on_failure=False)
        self.client.username_pw_set(name, password)
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = self._on_subscribe
        self.client.on_message = self._on_message
        self.client.connect(host, int(port))
        self.client.loop_start()
        self.ready = False
        self._wait(lambda: self.ready or (self.code is not None and self.code.is_failure))

    @property
    def is_connected(self):
        return self.ready

    def wait(self, payload):
        """Waits for a message; whether it came."""
        return self._wait(lambda: payload in self.received)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()

    def _wait(self, condition):
        with self.changed:
            return self.changed.wait_for(condition, PATIENCE)

    def _on_connect(self, client, userdata, flags, reason_code, properties):
        with self.changed:
            self.code = reason_code
            self.changed.notify_all()
        if not reason_code.is_failure:
            client.subscribe(f"devices/{self.name}/#", qos=1)

    def _on_subscribe(self, client, userdata, mid, reason_codes, properties):
        with self.changed:
            self.ready = True
            self.changed.notify_all()

    def _on_message(self, client, userdata, message):
        say(f"{self.name}: {message.topic} {message.payload.decode()}")
        with self.changed:
            self.received.append(message.payload)
            self.changed.notify_all()


@contextlib.contextmanager
def own_broker(hooks_address):
    """A broker that asks this backend, on ports that the system chooses. Gives the addresses for
    backends and for devices."""
    binary = REPOSITORY / os.environ.get("BIFROST_BIN", ".build/release/bifrost")
    with tempfile.TemporaryDirectory() as directory:
        log = pathlib.Path(directory, "broker.log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [binary, "serve", "--data-dir", directory, "--mqtt-tcp-listen", "127.0.0.1:0",
                 "--grpc-listen", "127.0.0.1:0", "--hooks-connect-endpoints", hooks_address,
                 "--hooks-delivered-endpoints", hooks_address],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=output)
        try:
            yield addresses(log, process)
        finally:
            process.terminate()
            process.wait()


def addresses(log, process):
    """Where the broker listens for backends and for devices, once its log says so."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        text = log.read_text()
        backends = re.search(r"grpc: listening on (\S+:\d+)\n", text)
        devices = re.search(r"(?<!grpc: )listening on (\S+:\d+)\n", text)
        if backends and devices:
            return backends[1], devices[1]
        time.sleep(0.02)
    raise SystemExit(f"the broker does not listen:\n{log.read_text()}")


def show(backend, mqtt_address):
    """The story."""
    with contextlib.ExitStack() as stack:
        def device(name, password):
            made = Device(mqtt_address, name, password)
            stack.callback(made.close)
            return made

        kitchen, garage = device("kitchen", "soup"), device("garage", "oil")
        assert kitchen.is_connected and garage.is_connected
        assert not device("attic", "guess").is_connected

        key = backend.push("kitchen", "devices/kitchen/display", b"dinner is ready")
        assert key and kitchen.wait(b"dinner is ready")
        assert backend.wait_delivered("kitchen", key)

        assert backend.push("cellar", "devices/cellar/display", b"hello?") is None
        say("backend: there is no 'cellar'")

        assert backend.broadcast("news", b"good night") == 2
        assert kitchen.wait(b"good night") and garage.wait(b"good night")
        assert b"dinner is ready" not in garage.received
    say("done")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grpc", help="where a broker that runs listens for backends")
    parser.add_argument("--mqtt", help="where it listens for devices")
    parser.add_argument("--hooks", help="where it asks its backend, as it is configured")
    given = parser.parse_args()
    own = not (given.grpc or given.mqtt or given.hooks)
    if not own and not (given.grpc and given.mqtt and given.hooks):
        parser.error("give all three addresses, or none")
    backend = Backend(given.hooks or "127.0.0.1:0")
    try:
        if own:
            with own_broker(f"127.0.0.1:{backend.hooks_port}") as (grpc_address, mqtt_address):
                backend.connect(grpc_address)
                show(backend, mqtt_address)
        else:
            backend.connect(given.grpc)
            show(backend, given.mqtt)
    finally:
        backend.close()


if __name__ == "__main__":
    main()

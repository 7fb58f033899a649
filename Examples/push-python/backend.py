"""A push backend: it says which devices may connect, pushes to one or to all of them, and hears
what they have acknowledged. It knows gRPC, and nothing of MQTT.

It is a client of the broker (the Publisher service) and a server for it: the broker calls the Hooks
service when a device connects and when it has acknowledged a message.
"""

import concurrent.futures
import sys
import threading
import uuid

import grpc
from bifrost.v1 import hooks_pb2, hooks_pb2_grpc, message_pb2, publisher_pb2, publisher_pb2_grpc

# What devices log in with. A real backend asks its database, and compares hashes.
PASSWORDS = {"kitchen": b"soup", "garage": b"oil"}


def say(line):
    """Prints a line in one piece, whichever other thread prints at the same time: the broker's calls
    and devices' messages come on several."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Hooks(hooks_pb2_grpc.HooksServicer):
    """What the broker calls. Methods that are not here answer UNIMPLEMENTED, and the broker calls
    only those that its configuration names."""

    def __init__(self, on_delivered):
        self.on_delivered = on_delivered

    def OnConnect(self, request, context):
        """A device wants to connect."""
        device = request.client.client_id
        if PASSWORDS.get(request.client.user_name) != request.password:
            say(f"backend: refused {device!r}: wrong user name or password")
            refuse = hooks_pb2.OnConnectResponse.Refuse(reason="wrong user name or password")
            return hooks_pb2.OnConnectResponse(refuse=refuse)
        say(f"backend: {device!r} may connect")
        allow = hooks_pb2.OnConnectResponse.Allow(
            tenant="house",
            # It may say how it is, and hear what is for it: "%c" stands for its client id.
            acl=[
                hooks_pb2.AclRule(
                    action=hooks_pb2.ACL_ACTION_PUBLISH, filter="devices/%c/state"),
                hooks_pb2.AclRule(
                    action=hooks_pb2.ACL_ACTION_SUBSCRIBE, filter="devices/%c/#"),
            ])
        # The broker need not ask again for a minute if the device comes back as it was.
        return hooks_pb2.OnConnectResponse(allow=allow, cache_seconds=60)

    def OnDelivered(self, request, context):
        """Devices have acknowledged messages. A note may come twice: keys tell."""
        for note in request.delivered:
            say(f"backend: {note.client.client_id!r} has {note.key!r}")
            self.on_delivered(note.client.client_id, note.key)
        return hooks_pb2.OnDeliveredResponse()


class Backend:
    """The push service: starts with the hooks, then connects to the broker."""

    def __init__(self, hooks_address):
        """Serves hooks at an address such as "127.0.0.1:6051"; port 0 chooses one."""
        self._changed = threading.Condition()
        self._delivered = set()
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=8))
        hooks_pb2_grpc.add_HooksServicer_to_server(Hooks(self._note), self.server)
        self.hooks_port = self.server.add_insecure_port(hooks_address)
        self.server.start()
        self.channel = None

    def connect(self, broker_address):
        """Connects to the broker, such as "127.0.0.1:5051"."""
        self.channel = grpc.insecure_channel(broker_address)
        self.publisher = publisher_pb2_grpc.PublisherStub(self.channel)

    def push(self, device, topic, payload):
        """Pushes to one device, whether it is connected or will come back. Returns the key that
        its acknowledgement will bear, or None where there is no such device."""
        key = str(uuid.uuid4())
        request = publisher_pb2.PublishRequest(
            message=message_pb2.Message(topic=topic, payload=payload, key=key),
            targets=[publisher_pb2.Target(client_id=device)],
            # So the call may be made again where its answer was lost: it is not done twice.
            idempotency_key=key)
        (result,) = self.publisher.Publish(request, timeout=10).results
        if result.outcome == publisher_pb2.TargetResult.OUTCOME_REFUSED:
            raise RuntimeError(f"the broker refused it: {result.reason}")
        if result.outcome == publisher_pb2.TargetResult.OUTCOME_NO_SUBSCRIBERS:
            return None
        return key

    def broadcast(self, topic, payload):
        """Sends to all devices that are online, and waits until the last one has it. Returns how
        many have."""
        request = publisher_pb2.BroadcastRequest(
            message=message_pb2.Message(topic=topic, payload=payload), everyone=True)
        for progress in self.publisher.Broadcast(request):
            say(f"backend: broadcast: {progress.acknowledged} of {progress.sent} have it")
        return progress.acknowledged

    def wait_delivered(self, device, key, timeout=20):
        """Waits until a device has acknowledged a message; whether it did in that time."""
        with self._changed:
            return self._changed.wait_for(lambda: (device, key) in self._delivered, timeout)

    def _note(self, device, key):
        with self._changed:
            self._delivered.add((device, key))
            self._changed.notify_all()

    def close(self):
        if self.channel is not None:
            self.channel.close()
        self.server.stop(grace=1).wait()

"""TLS, mutual TLS, and bearer tokens with scopes."""

from __future__ import annotations

import subprocess

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import backend_broker
from api import DEADLINE, pb, publish_request, refused
from backend_broker import hook_flags
from certificates import Authority
from test_clients import session
from test_subscriber import opening

TOKENS = """
- name: pusher
  token: pusher-0123456789abcdef
  scopes: [publish]
- name: second
  token: second-0123456789abcdef
  scopes: [publish]
- name: reader
  token: reader-0123456789abcdef
  scopes: [read]
- name: admin
  token: admin-0123456789abcdef
  scopes: [admin]
- name: all
  token: all-0123456789abcdef
  scopes: [publish, read, admin]
"""


def token(name: str) -> str:
    return f"{name}-0123456789abcdef"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"), "authority")


@pytest.fixture(scope="module")
def server(authority):
    return authority.issue("broker")


@pytest.fixture
def tokens_file(tmp_path):
    path = tmp_path / "tokens.yaml"
    path.touch(mode=0o600)
    path.write_text(TOKENS)
    return str(path)


def tls_flags(server) -> tuple[str, ...]:
    return (
        "--grpc-tls-certificate-file", str(server.certificate_file),
        "--grpc-tls-key-file", str(server.key_file))


def publishes(backend) -> None:
    backend.publisher.Publish(publish_request(topic="t", payload=b"x"), timeout=DEADLINE)


# TLS.


def test_tls(start, connect, authority, server):
    broker = start(*tls_flags(server))
    credentials = grpc.ssl_channel_credentials(authority.pem)
    publishes(connect(broker, credentials=credentials))
    publishes(connect(broker.grpc.replace("127.0.0.1", "localhost"), credentials=credentials))


def test_no_plain_text_where_there_is_tls(start, connect, server):
    broker = start(*tls_flags(server))
    with refused("UNAVAILABLE"):
        publishes(connect(broker))


def test_a_broker_that_the_backend_does_not_trust(start, connect, server, tmp_path):
    broker = start(*tls_flags(server))
    stranger = Authority(tmp_path, "stranger")
    with refused("UNAVAILABLE"):
        publishes(connect(broker, credentials=grpc.ssl_channel_credentials(stranger.pem)))


def test_mutual_tls(start, connect, authority, server, tmp_path):
    clients = Authority(tmp_path, "clients")
    broker = start(*tls_flags(server), "--grpc-tls-client-ca-file", str(clients.file))

    def credentials(identity=None):
        if identity is None:
            return grpc.ssl_channel_credentials(authority.pem)
        return grpc.ssl_channel_credentials(authority.pem, identity.key, identity.certificate)

    publishes(connect(broker, credentials=credentials(clients.issue("backend"))))
    for other in (None, Authority(tmp_path, "stranger").issue("backend"), server):
        with refused("UNAVAILABLE"):
            publishes(connect(broker, credentials=credentials(other)))


def test_tls_and_tokens(start, connect, authority, server, tokens_file):
    broker = start(*tls_flags(server), "--grpc-tokens-file", tokens_file)
    credentials = grpc.ssl_channel_credentials(authority.pem)
    publishes(connect(broker, credentials=credentials, token=token("pusher")))
    with refused("UNAUTHENTICATED"):
        publishes(connect(broker, credentials=credentials))


# Tokens.


def calls(backend) -> dict:
    """A call for each scope, and one of each kind."""
    return {
        "publish": [
            lambda: publishes(backend),
            lambda: list(backend.publisher.PublishStream(
                iter([pb.PublishStreamRequest()]), timeout=DEADLINE)),
            lambda: list(backend.publisher.Broadcast(pb.BroadcastRequest(
                message=pb.Message(topic="t"), everyone=True), timeout=DEADLINE)),
        ],
        "read": [
            lambda: session(backend, "nobody"),
            lambda: list(backend.clients.List(pb.ListRequest(), timeout=DEADLINE)),
            lambda: list(backend.clients.ReadBacklog(
                pb.ReadBacklogRequest(client_id="nobody"), timeout=DEADLINE)),
            lambda: next(backend.clients.Watch(pb.WatchRequest(), timeout=DEADLINE)),
            lambda: next(backend.subscriber.Subscribe(iter([opening("x")]), timeout=DEADLINE)),
            lambda: backend.subscriber.DeleteCursor(
                pb.DeleteCursorRequest(name="nobody"), timeout=DEADLINE),
        ],
        "admin": [
            lambda: backend.clients.Disconnect(
                pb.DisconnectRequest(client_id="nobody"), timeout=DEADLINE),
            lambda: backend.clients.Subscribe(pb.SubscribeClientRequest(
                client_id="nobody", subscriptions=[pb.Subscription(filter="x")]),
                timeout=DEADLINE),
            lambda: backend.clients.Unsubscribe(pb.UnsubscribeClientRequest(
                client_id="nobody", filters=["x"]), timeout=DEADLINE),
            lambda: backend.clients.DeleteSession(
                pb.DeleteSessionRequest(client_id="nobody"), timeout=DEADLINE),
        ],
    }


SCOPES = {
    "pusher": {"publish"}, "reader": {"read"}, "admin": {"admin"},
    "all": {"publish", "read", "admin"}}


@pytest.mark.parametrize("name", SCOPES)
def test_scopes(start, connect, tokens_file, name):
    backend = connect(start("--grpc-tokens-file", tokens_file), token=token(name))
    for scope, tries in calls(backend).items():
        for attempt in tries:
            if scope in SCOPES[name]:
                try:
                    attempt()
                except grpc.RpcError as error:
                    assert error.code().name == "NOT_FOUND"
            else:
                with refused("PERMISSION_DENIED") as refusal:
                    attempt()
                assert refusal.domain == "bifrost" and refusal.reason


@pytest.mark.parametrize("bad", (None, "", "wrong-0123456789abcdef", "pusher-0123456789abcde"))
def test_without_a_right_token(start, connect, tokens_file, bad):
    backend = connect(start("--grpc-tokens-file", tokens_file), token=bad)
    for tries in calls(backend).values():
        for attempt in tries:
            with refused("UNAUTHENTICATED"):
                attempt()


def test_health_needs_no_token(start, connect, tokens_file):
    backend = connect(start("--grpc-tokens-file", tokens_file))
    stub = health_pb2_grpc.HealthStub(backend.channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=DEADLINE)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_idempotency_keys_are_each_tokens_own(start, connect, tokens_file):
    broker = start("--grpc-tokens-file", tokens_file)
    one, other = connect(broker, token=token("pusher")), connect(broker, token=token("second"))
    assert not one.respond(once="k", topic="t").is_duplicate
    assert not other.respond(once="k", topic="t").is_duplicate
    assert one.respond(once="k", topic="t").is_duplicate


BAD_TOKENS = {
    "short": "- {name: a, token: short, scopes: [publish]}",
    "scope": "- {name: a, token: 0123456789abcdef, scopes: [everything]}",
    "no token": "- {name: a, scopes: [publish]}",
    "twice": "- {name: a, token: 0123456789abcdef, scopes: [read]}\n" * 2,
    "no list": "name: a",
    "no YAML": "- {",
}


def refuses_to_start(tmp_path, *flags: str) -> str:
    """What a broker says that does not start with these settings."""
    done = subprocess.run(
        backend_broker.command(tmp_path / "data", *flags), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=DEADLINE,
        env=backend_broker.environment())
    assert done.returncode > 0, done.stderr
    return done.stderr


@pytest.mark.parametrize("case", BAD_TOKENS)
def test_a_file_of_tokens_that_is_none(tmp_path, case):
    path = tmp_path / "tokens.yaml"
    path.write_text(BAD_TOKENS[case])
    assert "tokens" in refuses_to_start(tmp_path, "--grpc-tokens-file", str(path))


def test_files_that_are_not_there(tmp_path, server):
    missing = str(tmp_path / "missing")
    assert missing in refuses_to_start(tmp_path, "--grpc-tokens-file", missing)
    assert missing in refuses_to_start(
        tmp_path, "--grpc-tls-certificate-file", missing, "--grpc-tls-key-file",
        str(server.key_file))


def test_open_to_the_network_only_with_tokens_or_mutual_tls(tmp_path):
    output = refuses_to_start(tmp_path, "--grpc-listen", "0.0.0.0:0")
    assert "grpc.listen" in output or "grpc-listen" in output


# Hooks over TLS.


def test_hooks_over_tls(start, make_hooks, device, authority, tmp_path):
    name = authority.issue("hooks")
    hooks = make_hooks(credentials=grpc.ssl_server_credentials([(name.key, name.certificate)]))
    broker = start(
        *hook_flags("connect", hooks.port), "--hooks-tls-ca-file", str(authority.file))
    device(on=broker)
    assert len(hooks.calls("OnConnect")) == 1


def test_hooks_over_mutual_tls_with_a_token(start, make_hooks, device, authority, tmp_path):
    name, own = authority.issue("hooks"), authority.issue("broker-as-client")
    hooks = make_hooks(credentials=grpc.ssl_server_credentials(
        [(name.key, name.certificate)], authority.pem, require_client_auth=True))
    path = tmp_path / "token"
    path.touch(mode=0o600)
    path.write_text("hook-token-0123456789\n")
    broker = start(
        *hook_flags("connect", hooks.port), "--hooks-tls-ca-file", str(authority.file),
        "--hooks-tls-certificate-file", str(own.certificate_file), "--hooks-tls-key-file",
        str(own.key_file), "--hooks-token-file", str(path))
    device(on=broker)
    assert hooks.metadata["OnConnect"]["authorization"] == "Bearer hook-token-0123456789"


def test_a_backend_that_the_broker_does_not_trust(start, make_hooks, device, authority, tmp_path):
    stranger = Authority(tmp_path, "stranger").issue("hooks")
    hooks = make_hooks(
        credentials=grpc.ssl_server_credentials([(stranger.key, stranger.certificate)]))
    broker = start(
        *hook_flags("connect", hooks.port, timeout="1s"), "--hooks-tls-ca-file",
        str(authority.file))
    assert device(on=broker, connect=False, user="u", password="secret").attempt() == 0x89
    assert hooks.calls("OnConnect") == []

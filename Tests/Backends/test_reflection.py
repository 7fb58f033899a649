"""grpc.health.v1.Health and grpc.reflection.v1.ServerReflection: what tools ask first."""

from __future__ import annotations

import sys

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_tools import protoc

from api import DEADLINE, PROTOS, Reader, refused

SERVICES = ("bifrost.v1.Publisher", "bifrost.v1.Clients", "bifrost.v1.Subscriber")
SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture(scope="module")
def reflection(tmp_path_factory):
    """The messages of grpc.reflection.v1, of which PyPI has only the older v1alpha."""
    path = tmp_path_factory.mktemp("reflection") / "set.pb"
    status = protoc.main([
        "protoc", f"-I{PROTOS}", f"--descriptor_set_out={path}",
        str(PROTOS / "grpc/reflection/v1/reflection.proto")])
    assert status == 0
    pool = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes())
    for file in files.file:
        pool.Add(file)
    return {
        name: message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f"grpc.reflection.v1.{name}"))
        for name in ("ServerReflectionRequest", "ServerReflectionResponse")}


@pytest.fixture
def reflect(backend, reflection):
    """Asks one question."""
    call = backend.channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection["ServerReflectionRequest"].SerializeToString,
        response_deserializer=reflection["ServerReflectionResponse"].FromString)

    def ask(**question):
        request = reflection["ServerReflectionRequest"](**question)
        (answer,) = call(iter([request]), timeout=DEADLINE)
        return answer

    return ask


def test_services_are_listed(reflect):
    names = [s.name for s in reflect(list_services="*").list_services_response.service]
    assert set(SERVICES) <= set(names)
    assert "grpc.health.v1.Health" in names


def files_of(answer) -> list:
    return [
        descriptor_pb2.FileDescriptorProto.FromString(data)
        for data in answer.file_descriptor_response.file_descriptor_proto]


@pytest.mark.parametrize("symbol", (
    *SERVICES, "bifrost.v1.Message", "bifrost.v1.Publisher.Publish", "bifrost.v1.Qos"))
def test_a_symbol_is_found_with_all_that_it_needs(reflect, symbol):
    files = files_of(reflect(file_containing_symbol=symbol))
    names = {file.name for file in files}
    assert {dependency for file in files for dependency in file.dependency} <= names
    parts = symbol.split(".")
    assert any(
        file.package == "bifrost.v1"
        and parts[2] in [each.name for each in (*file.service, *file.message_type, *file.enum_type)]
        for file in files)


def shape(messages) -> dict:
    """Names, numbers and types of all fields."""
    return {
        message.name: (
            [(field.name, field.number, field.type, field.label, field.type_name)
             for field in message.field], shape(message.nested_type))
        for message in messages}


@pytest.mark.parametrize("name", ("message", "publisher", "clients", "subscriber", "hooks"))
def test_the_descriptors_are_those_of_the_protos(reflect, name):
    path = f"bifrost/v1/{name}.proto"
    (file,) = [file for file in files_of(reflect(file_by_filename=path)) if file.name == path]
    own = descriptor_pb2.FileDescriptorProto()
    sys.modules[f"bifrost.v1.{name}_pb2"].DESCRIPTOR.CopyToProto(own)
    assert shape(file.message_type) == shape(own.message_type)
    assert [each.name for each in file.service] == [each.name for each in own.service]


def test_what_is_not_there(reflect):
    for question in ({"file_containing_symbol": "bifrost.v1.Nothing"},
                     {"file_by_filename": "nothing.proto"}):
        answer = reflect(**question)
        assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


# Health.


@pytest.mark.parametrize("service", ("", *SERVICES))
def test_health(backend, service):
    stub = health_pb2_grpc.HealthStub(backend.channel)
    request = health_pb2.HealthCheckRequest(service=service)
    assert stub.Check(request, timeout=DEADLINE).status == SERVING


def test_health_of_what_is_not_there(backend):
    stub = health_pb2_grpc.HealthStub(backend.channel)
    request = health_pb2.HealthCheckRequest(service="nothing")
    with refused("NOT_FOUND"):
        stub.Check(request, timeout=DEADLINE)
    answer = next(stub.Watch(request, timeout=DEADLINE))
    assert answer.status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def test_health_is_watched_until_the_end(start, connect):
    broker = start()
    stub = health_pb2_grpc.HealthStub(connect(broker).channel)
    reader = Reader(stub.Watch(health_pb2.HealthCheckRequest()))
    reader.wait(bool, "the first word")
    assert [answer.status for answer in reader.seen] == [SERVING]
    broker.stop()
    reader.wait_end()
    assert [answer.status for answer in reader.seen][1:] in (
        [health_pb2.HealthCheckResponse.NOT_SERVING], [])

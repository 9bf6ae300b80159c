"""Two replicas send their own metrics by HTTP; and metrics with traces by gRPC, to a receiver that asks for a login.

No package of Debian's takes OTLP: its Prometheus is built without. The receiver is a small one, made of OpenTelemetry's
own code for Python (`opentelemetry.proto`, gRPC), which Open WebUI's image has.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.lab.precious import within
from tests.lab.replicas import PROCESSES, Stack

pytestmark = [pytest.mark.lab, pytest.mark.long]

RECEIVER, GRPC_PORT, HTTP_PORT = "telemetry-receiver", 4317, 4318
USER, PASSWORD = "open-webui", "sesame-of-telemetry"
REQUESTS = "http.server.requests"
# Metrics are sent every 10 s.
SENT_S = 90
STRANGERS_PATHS = 300
# Prints a line for each kind and replica that it gets: names, and for metrics how many series of requests with their
# sum. By gRPC a caller needs the login.
PROGRAM = f"""
import base64, concurrent.futures, http.server, json, threading
import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

WANTED = "Basic " + base64.b64encode(b"{USER}:{PASSWORD}").decode()

def told(way, kind, resource, names, points=()):
    attributes = {{one.key: one.value.string_value for one in resource.attributes}}
    counted = [len(points), sum(int(one.as_int or one.as_double) for one in points)]
    print(json.dumps([way, kind, attributes["service.instance.id"], sorted(set(names)), *counted]), flush=True)

def metrics(way, request):
    for one in request.resource_metrics:
        found = [each for scope in one.scope_metrics for each in scope.metrics]
        points = [point for each in found if each.name == "{REQUESTS}" for point in each.sum.data_points]
        told(way, "metrics", one.resource, [each.name for each in found], points)

def traces(way, request):
    for one in request.resource_spans:
        told(way, "traces", one.resource, [each.name for scope in one.scope_spans for each in scope.spans])

def expect_login(context):
    if dict(context.invocation_metadata()).get("authorization") != WANTED:
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")

class Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def Export(self, request, context):
        expect_login(context)
        metrics("grpc", request)
        return metrics_service_pb2.ExportMetricsServiceResponse()

class Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def Export(self, request, context):
        expect_login(context)
        traces("grpc", request)
        return trace_service_pb2.ExportTraceServiceResponse()

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/otlp/v1/metrics":
            metrics("http", metrics_service_pb2.ExportMetricsServiceRequest.FromString(body))
            self.send_response(200)
        else:
            print(json.dumps(["http", self.path, "", [], 0, 0]), flush=True)
            self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass

server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Metrics(), server)
trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Traces(), server)
server.add_insecure_port("0.0.0.0:{GRPC_PORT}")
server.start()
http.server.ThreadingHTTPServer(("0.0.0.0", {HTTP_PORT}), Handler).serve_forever()
"""


@dataclass(frozen=True)
class Sent:
    """What a replica sent at one time: by "grpc" or "http", "metrics" or "traces", under its name."""

    way: str
    kind: str
    instance: str
    names: list[str]
    series: int
    requests: int


@pytest.fixture(scope="module")
def receiver(stack: Stack) -> Iterator[Stack]:
    """The stack with a receiver in its network. Afterwards the stack sends nothing."""
    image = stack.host.check_output("docker inspect --format '{{.Config.Image}}' open-webui")
    run = f"docker run --detach --name {RECEIVER} --network openwebui-network --entrypoint python3 {image} -c"
    stack.host.check_output(f"{run} {shlex.quote(PROGRAM)}")
    try:
        yield stack
        stack.deploy()
        environment = "docker inspect --format '{{json .Config.Env}}' open-webui open-webui-2"
        assert "OTEL" not in stack.host.check_output(environment)
    finally:
        stack.host.check_output(f"docker rm --force {RECEIVER}")


def told(stack: Stack) -> list[Sent]:
    """All that the receiver got, in its order."""
    lines = stack.host.check_output(f"docker logs {RECEIVER} 2>/dev/null").splitlines()
    return [Sent(*json.loads(line)) for line in lines]


def instances(stack: Stack) -> set[str]:
    """The names under which the replicas send."""
    return {f"{stack.door.name}/{process}" for process in PROCESSES}


def senders(stack: Stack, kind: str, name: str, since: int = 0) -> set[str]:
    """The names of those that sent something of this name, after the first `since` messages."""
    return {one.instance for one in told(stack)[since:] if one.kind == kind and name in one.names}


def visit(stack: Stack) -> None:
    """A request to each replica."""
    for process in PROCESSES:
        assert stack.ask(process, "/api/config", "")[0] == 200


def test_each_replica_sends_its_metrics_by_http_under_a_name_that_stays(receiver: Stack) -> None:
    """A deploy replaces the containers in between."""
    otel = {"endpoint": f"http://{RECEIVER}:{HTTP_PORT}/otlp", "protocol": "http"}
    wanted = instances(receiver)
    for lifetime in ("23h", "22h"):
        receiver.deploy(otel=otel, open_webui_jwt_expires_in=lifetime)
        since = len(told(receiver))  # from here on by the new containers
        visit(receiver)
        within(SENT_S, "both send", lambda s=since: senders(receiver, "metrics", REQUESTS, s) >= wanted, 2)
    found = told(receiver)
    assert {one.instance for one in found} == wanted
    assert {(one.way, one.kind) for one in found} == {("http", "metrics")}, "no traces"
    names = {name for one in found for name in one.names}
    print(f"\n  {', '.join(sorted(names))}")
    assert {REQUESTS, "http.server.duration", "webui.users.total", "webui.users.active"} <= names


def test_paths_of_strangers_make_no_series_of_their_own(receiver: Stack) -> None:
    ours = f"{receiver.door.name}/open-webui"

    def last() -> Sent:
        return [one for one in told(receiver) if one.instance == ours and one.kind == "metrics"][-1]

    before = last()
    paths = f"for i in $(seq {STRANGERS_PATHS}); do echo url = http://127.0.0.1:8080/strange/$i; done"
    curl = "docker exec -i open-webui curl -s --config -"
    receiver.host.check_output(f"({paths}) | {curl} >/dev/null")
    within(SENT_S, "they are counted", lambda: last().requests >= before.requests + STRANGERS_PATHS, 2)
    print(f"\n  {before.series} series, and {last().series} after {STRANGERS_PATHS} paths of strangers")
    assert last().series - before.series < STRANGERS_PATHS / 10


def test_traces_and_metrics_go_by_grpc_to_a_receiver_that_asks_for_a_login(receiver: Stack) -> None:
    receiver.deploy(
        otel={"endpoint": f"http://{RECEIVER}:{GRPC_PORT}", "traces": True},
        open_webui_env={"OTEL_BASIC_AUTH_USERNAME": USER},
        open_webui_secret_env={"OTEL_BASIC_AUTH_PASSWORD": f"command:echo {PASSWORD}"},
    )
    since = len(told(receiver))
    visit(receiver)
    wanted = instances(receiver)
    within(SENT_S, "both send metrics", lambda: senders(receiver, "metrics", REQUESTS, since) >= wanted, 2)
    within(SENT_S, "both send traces", lambda: senders(receiver, "traces", "GET /api/config", since) >= wanted, 2)
    found = told(receiver)[since:]
    assert {(one.way, one.instance) for one in found} == {("grpc", name) for name in wanted}
    assert PASSWORD not in receiver.host.check_output("cat /opt/open-webui/compose.yaml")

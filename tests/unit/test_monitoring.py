"""What monitoring/ gives to Prometheus, Alertmanager and Grafana asks only for what a monitor emits, and is sound."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest

from tests import yaml_text
from tests.defaults import ROOT
from tests.host import emitted

FOLDER = ROOT / "monitoring"
CASES = ROOT / "tests" / "monitoring_rules.yml"
OURS = "open_webui_stack_"
# Prometheus makes these itself, of each target that it asks.
UP, OF_TARGETS = "up", {"instance", "job"}
# Words of the query language that a query here may have; a name that is neither one of them nor a metric is a mistake.
FUNCTIONS = {"time", "vector", "increase", "changes", "predict_linear", "label_values"}
WORDS = {"and", "or", "unless", "offset", "bool", "count", "max", "min", "sum"}
GROUPED = {"by", "without", "on", "ignoring"}
_TOKEN = re.compile(
    r"""(?P<space>\s+)|(?P<text>"[^"\\]*")|(?P<range>\[[0-9]+[smhd]\])|(?P<number>[0-9.]+[smhd]?)"""
    r"""|(?P<name>[a-zA-Z_][a-zA-Z0-9_]*)|(?P<sign>=~|!~|!=|==|<=|>=|[-+*/<>=(){},])"""
)

Emitted = Mapping[str, Mapping[str, set[str]]]
ALERTS: list[dict[str, Any]] = [
    rule for group in yaml_text.read((FOLDER / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]
BY_NAME = {rule["alert"]: rule for rule in ALERTS}
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Emitted:
    return emitted.labels(emitted.samples(tmp_path_factory.mktemp("emitted")))


# --- Queries


class Matcher(NamedTuple):
    """As in `{check=~"disk_.+"}`."""

    label: str
    sign: str
    value: str

    def takes(self, value: str) -> bool:
        # Python's regular expressions and RE2's are the same for what is used here.
        is_same = re.fullmatch(self.value, value) is not None if self.sign[-1] == "~" else value == self.value
        return is_same is (self.sign[0] == "=")


class Query(NamedTuple):
    """The metrics of a query, each with its matchers; labels that it groups by; and names that nobody knows."""

    metrics: list[tuple[str, list[Matcher]]]
    grouped: set[str]
    others: set[str]


def tokens(text: str) -> list[str]:
    found, at = [], 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        assert token, f"no word of the query language: {text[at:]!r}"
        found += [token[0]] if token.lastgroup != "space" else []
        at = token.end()
    return found


def query(text: str) -> Query:
    words, metrics, grouped, others = tokens(text), [], set[str](), set[str]()
    assert [words.count(one) for one in "({"] == [words.count(one) for one in ")}"], text
    at = 0
    while at < len(words):
        word, after = words[at], words[at + 1] if at + 1 < len(words) else ""
        at += 1
        if word in GROUPED:
            end = words.index(")", at)
            grouped |= set(words[at + 1 : end : 2])
            at = end + 1
        elif word.startswith(OURS) or word == UP:
            matchers = []
            if after == "{":
                end = words.index("}", at)
                inner = words[at + 1 : end]
                matchers = [
                    Matcher(inner[one], inner[one + 1], inner[one + 2][1:-1]) for one in range(0, len(inner), 4)
                ]
                assert all(separator == "," for separator in inner[3::4])
                at = end + 1
            metrics.append((word, matchers))
        elif re.match("[a-zA-Z_]", word) and word not in WORDS and not (word in FUNCTIONS and after == "("):
            others.add(word)
    return Query(metrics, grouped, others)


def mistakes(text: str, known: Emitted) -> list[str]:
    """What a query names that no monitor emits: metrics, labels, and values of labels."""
    asked = query(text)
    found = [f"{name}: no metric" for name, _ in asked.metrics if name not in known and name != UP]
    found += [f"{word}: neither a metric nor a function" for word in sorted(asked.others)]
    labels = {**known, UP: {}}
    for name, matchers in asked.metrics:
        for one in matchers:
            if one.label in labels.get(name, {}):
                values = labels[name][one.label]
                found += [
                    f'{name}: {one.label}="{part}" matches nothing'
                    for part in (one.value.split("|") if one.sign[-1] == "~" else [one.value])
                    if not any(re.fullmatch(part, value) for value in values)
                ]
            elif one.label not in OF_TARGETS:
                found.append(f"{name}: no label {one.label}")
    there = {label for name, _ in asked.metrics for label in labels.get(name, {})} | OF_TARGETS
    return found + [f"{label}: no label" for label in sorted(asked.grouped - there)]


def queries() -> Iterator[tuple[str, str]]:
    for name, rule in BY_NAME.items():
        yield name, rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield f"{panel['title']} {target['refId']}", target["expr"]
    for one in DASHBOARD["annotations"]["list"]:
        yield one["name"], one["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            assert variable["query"]["query"] == variable["definition"]
            metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["definition"]).groups()  # type: ignore[union-attr]
            yield variable["name"], f"count by ({label}) ({metric})"


def test_each_query_names_what_a_monitor_emits(known: Emitted) -> None:
    assert {name: found for name, text in queries() if (found := mistakes(text, known))} == {}


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("open_webui_stack_valkey_pong == 0", "open_webui_stack_valkey_pong: no metric"),
        ('open_webui_stack_disk_free_bytes{disk="docker"}', "open_webui_stack_disk_free_bytes: no label disk"),
        ('open_webui_stack_check_ok{check=~"docker|ram"}', 'open_webui_stack_check_ok: check="ram" matches nothing'),
        ("sum by (place) (open_webui_stack_docker_up)", "place: no label"),
        ("open_webui_docker_up == 0", "open_webui_docker_up: neither a metric nor a function"),
        ("node_load1", "node_load1: neither a metric nor a function"),
    ],
)
def test_a_query_for_what_nobody_emits_is_found(text: str, mistake: str, known: Emitted) -> None:
    assert mistakes(text, known) == [mistake]


def test_each_metric_is_in_a_query(known: Emitted) -> None:
    asked = {name for _, text in queries() for name, _ in query(text).metrics}
    # Worse than what is asked for, in each place: the parts of a look's own findings.
    part_of_others = {
        f"{OURS}{name}" for name in ("docker_up", "container_up", "container_restarts_total", "valkey_up")
    }
    told_by_others = {f"{OURS}{name}" for name in ("container_image_info", "valkey_connections_limit")}
    assert known.keys() - asked == part_of_others | told_by_others


# --- Alerts


def alerts_of(check: str) -> list[str]:
    """The alerts that fire when this check is not well."""
    return [
        name
        for name, rule in BY_NAME.items()
        for metric, matchers in query(rule["expr"]).metrics
        if metric == f"{OURS}check_ok" and all(one.takes(check) for one in matchers)
    ]


def test_each_check_has_one_alert(known: Emitted) -> None:
    checks = known[f"{OURS}check_ok"]["check"]
    assert len(checks) > 40
    assert {check: found for check in checks if len(found := alerts_of(check)) != 1} == {}


@pytest.mark.parametrize("check", ["new", "valkey_new", "postgres_new", "metrics_http", "backup_age_2"])
def test_a_check_that_no_alert_names_has_one_all_the_same(check: str) -> None:
    assert alerts_of(check) == ["OpenWebuiCheckFailed"]


def test_what_a_verb_at_work_explains_raises_no_alert_of_a_check() -> None:
    checked = [rule["expr"] for rule in ALERTS if "_check_" in rule["expr"]]
    assert len(checked) > 15
    assert [text for text in checked if not text.endswith(f"unless {OURS}check_silenced == 1")] == []


@pytest.mark.parametrize("rule", ALERTS, ids=BY_NAME)
def test_an_alert_says_what_where_and_what_to_do(rule: dict[str, Any], known: Emitted) -> None:
    assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch("OpenWebui[A-Z][A-Za-z]+", rule["alert"])
    assert re.fullmatch("[1-9][0-9]*[mh]", rule["for"])
    assert rule["labels"] in ({"severity": "critical"}, {"severity": "warning"})
    assert rule["annotations"].keys() == {"summary", "description"}
    named = {label for name, _ in query(rule["expr"]).metrics for label in known.get(name, {})} | OF_TARGETS
    for words in rule["annotations"].values():
        assert "{{ $labels.instance }}" in words
        assert set(re.findall(r"\{\{(.*?)\}\}", words)) <= {f" $labels.{label} " for label in named}
        sentences = re.split(r"(?<=[.:;]) ", re.sub(r"\{\{.*?\}\}", "X", words))
        assert max(len(sentence.split()) for sentence in sentences) <= 25
    assert len(rule["annotations"]["summary"]) < 90
    assert rule["annotations"]["description"].endswith(".")


def test_the_page_about_prometheus_lists_each_alert_as_it_is() -> None:
    page = (ROOT / "docs/how-to/prometheus.md").read_text()
    rows = re.findall(r"(?m)^\| `(OpenWebui\w+)` \| (\w+) \| (\w+) \|", page)
    assert rows == [(name, rule["labels"]["severity"], rule["for"]) for name, rule in BY_NAME.items()]


def test_what_an_alert_tells_people_to_run_is_there() -> None:
    runs = {name for rule in ALERTS for name in re.findall(r"runbooks/\w+\.py", rule["annotations"]["description"])}
    assert len(runs) > 3
    assert [name for name in runs if not (ROOT / name).is_file()] == []


def test_each_alert_has_its_name_once() -> None:
    assert len(BY_NAME) == len(ALERTS) > 15


# --- Cases, which a real Prometheus tries


def cases() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each moment of each case, with the alert that it asks for."""
    for test in yaml_text.read(CASES.read_text())["tests"]:
        for moment in test["alert_rule_test"]:
            yield moment["alertname"], moment


def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_clears() -> None:
    """Last comes a moment with fewer alerts."""
    found: dict[str, list[int]] = {}
    for name, moment in cases():
        found.setdefault(name, []).append(len(moment["exp_alerts"]))
    assert found.keys() == BY_NAME.keys()
    assert {name: counts for name, counts in found.items() if not counts[0] < max(counts) > counts[-1]} == {}


def test_a_case_expects_the_labels_and_the_words_of_its_alert() -> None:
    for name, moment in cases():
        rule = BY_NAME[name]
        for one in moment["exp_alerts"]:
            labels = one["exp_labels"]
            assert labels["severity"] == rule["labels"]["severity"]
            assert one["exp_annotations"] == {
                kind: re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found, labels=labels: labels[found[1]], words)  # type: ignore[misc]
                for kind, words in rule["annotations"].items()
            }


def test_the_series_of_cases_are_those_of_a_monitor(known: Emitted) -> None:
    texts = [one["series"] for test in yaml_text.read(CASES.read_text())["tests"] for one in test["input_series"]]
    assert {text: found for text in texts if (found := mistakes(text, known))} == {}


def tried(*command: str) -> None:
    """Ensure a program of Prometheus accepts a file. It is in Debian's prometheus, or prometheus-alertmanager."""
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not in PATH; Debian's prometheus and prometheus-alertmanager have them")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_accepts_the_rules() -> None:
    tried("promtool", "check", "rules", "monitoring/alerts.yml")


def test_prometheus_accepts_the_example() -> None:
    tried("promtool", "check", "config", "monitoring/prometheus.yml")


def test_each_alert_fires_and_clears_in_prometheus() -> None:
    tried("promtool", "test", "rules", str(CASES.relative_to(ROOT)))


def test_alertmanager_accepts_the_example() -> None:
    tried("amtool", "check-config", "monitoring/alertmanager.yml")


# --- Examples


def test_the_example_of_prometheus_has_the_jobs_that_an_alert_looks_at() -> None:
    content = yaml_text.read((FOLDER / "prometheus.yml").read_text())
    (matcher,) = next(
        matchers for name, matchers in query(BY_NAME["OpenWebuiMetricsMissing"]["expr"]).metrics if name == UP
    )
    jobs = [one["job_name"] for one in content["scrape_configs"]]
    assert len(jobs) == 2
    assert all(matcher.takes(job) for job in jobs)
    assert [(FOLDER / name).is_file() for name in content["rule_files"]] == [True]


def test_the_example_of_alertmanager_sends_each_severity_somewhere_and_names_alerts_that_exist() -> None:
    content = yaml_text.read((FOLDER / "alertmanager.yml").read_text())
    there = {one["name"] for one in content["receivers"]}
    routes = [content["route"], *content["route"]["routes"]]
    assert {one["receiver"] for one in routes} == there
    for rule in content["inhibit_rules"]:
        for text in [*rule["source_matchers"], *rule["target_matchers"]]:
            label, sign, value = re.fullmatch(r'(\w+)(=~|!~|=)"(.+)"', text).groups()  # type: ignore[union-attr]
            assert label == "alertname"
            assert any(Matcher(label, sign.replace("!", "="), value).takes(name) for name in BY_NAME), text


# --- The dashboard


def test_the_dashboard_is_one_page_without_gaps() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]
    height = max(y for _, y in taken) + 1
    assert len(taken) == 24 * height
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_each_panel_says_what_it_shows_and_asks_the_chosen_prometheus_for_the_chosen_hosts() -> None:
    for panel in DASHBOARD["panels"]:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"
            chosen = [
                Matcher("instance", "=~", "$instance") in matchers for _, matchers in query(target["expr"]).metrics
            ]
            assert all(chosen), target["expr"]


def test_a_legend_names_labels_that_its_query_has(known: Emitted) -> None:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            (labels, *_) = (known[name].keys() for name, _ in query(target["expr"]).metrics)
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= labels | OF_TARGETS


def test_the_dashboard_shows_what_its_page_in_the_docs_says() -> None:
    titles = " ".join(panel["title"] for panel in DASHBOARD["panels"])
    for word in ("Up", "Websockets", "memory", "connections", "disks", "backup", "ertificate", "Starts", "look takes"):
        assert word in titles, word

"""Loads two weeks of generated reports into InfluxDB and holds every query of deploy/receiver to numbers
that are computed here from the same reports, without InfluxDB.

Each check that fails is printed; the last line counts them all.
"""

import json
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RECEIVER = ROOT / "deploy/receiver"
QUERIES = (RECEIVER / "queries.influxql").read_text()
DASHBOARD = json.loads((RECEIVER / "grafana-dashboard.json").read_text())
SCHEMA = json.loads((RECEIVER / "request-schema.json").read_text())
RESPONSE = json.loads((RECEIVER / "response-config.json").read_text())

DATABASE = "rke2_upgrade_responder"
HOUR, DAY, WEEK, PERIOD = 3600, 86400, 7 * 86400, 8 * 3600
# A Monday, 00:00 UTC. Fixed, so that every run loads the same bytes.
START = 1704067200
PERIODS = 42
END = START + PERIODS * PERIOD

# What a report may carry. "newcni" and "neweros" stand for words younger than the continuous queries.
VERSIONS = [f"v1.{minor}.{patch}+{suffix}" for minor in (34, 35, 36) for patch in (1, 2) for suffix in ("rke2r1", "k3s1")]
CNIS = ["canal"] * 6 + ["cilium"] * 3 + ["calico"] * 2 + ["flannel", "multus,canal", "multus,cilium", "unknown", "aws-vpc-cni", "newcni", "multus,newcni"]
SYSTEMS = ["sles"] * 4 + ["ubuntu"] * 4 + ["sl-micro", "sle-micro", "rhel", "rocky", "sles_sap", "opensuse-leap", "other", "alpine", "neweros"]
SIZES = [1, 1, 2, 3, 3, 3, 4, 5, 6, 10, 11, 30, 50, 51, 120, 200, 201, 1000, 1001, 4000]
PLACES = [None, ("San Jose", "United States", "US"), ("Nuremberg", "Germany", "DE"), ("", "Japan", "JP")]


# The reports. ------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Report:
    time: int  # nanoseconds
    cluster: str
    version: str
    cni: str
    os: str
    nodes: int
    servers: int
    place: tuple | None

    def line(self):
        """The point as upgrade-responder writes it; an empty tag is not stored."""
        tags = {"app_version": self.version, "clusteruuid": self.cluster, "kubernetes_version": self.version.split("+")[0]}
        if self.place:
            tags |= dict(zip(("city", "country", "country_isocode"), self.place))
        fields = [
            f"agent_node_count={self.nodes - self.servers}",
            f'cni_plugin="{self.cni}"',
            f"node_count={self.nodes}",
            f'os="{self.os}"',
            f"server_node_count={self.servers}",
            "value=1i",
        ]
        escape = str.maketrans({" ": "\\ ", ",": "\\,", "=": "\\="})
        head = ",".join(f"{key}={value.translate(escape)}" for key, value in sorted(tags.items()) if value)
        return f"upgrade_request,{head} {','.join(fields)} {self.time}"


def generate(clusters=300, seed=20240101):
    """Two weeks of clusters that report every 8 hours, come and go, fail to report, and change."""
    rng = random.Random(seed)
    reports = []
    for _ in range(clusters):
        nodes = rng.choice(SIZES)
        current = Report(
            time=0,
            cluster=str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            version=rng.choice(VERSIONS),
            cni=rng.choice(CNIS),
            os=rng.choice(SYSTEMS),
            nodes=nodes,
            servers=min(nodes, rng.choice([1, 3, 5])),
            place=rng.choice(PLACES),
        )
        first = rng.randrange(PERIODS) if rng.random() < 0.15 else 0
        last = rng.randrange(PERIODS) if rng.random() < 0.15 else PERIODS
        lost = 0.9 if rng.random() < 0.05 else 0.05
        # A CronJob's schedule follows its cluster's time zone; the wait before sending is the cluster's own.
        shift = rng.choice([0, 0, 0, 1, 2, 5, 5.5, 7]) * HOUR + rng.randrange(600)
        for period in range(first, last):
            if rng.random() < 0.02:
                current = replace(current, version=rng.choice(VERSIONS))
            if rng.random() < 0.02:
                current = replace(current, cni=rng.choice(CNIS))
            if rng.random() < 0.01:
                current = replace(current, os=rng.choice(SYSTEMS))
            if rng.random() < 0.02:
                nodes = rng.choice(SIZES)
                current = replace(current, nodes=nodes, servers=min(nodes, current.servers))
            if rng.random() < 0.01:
                current = replace(current, place=rng.choice(PLACES))
            if rng.random() < lost:
                continue
            at = START + period * PERIOD + shift + rng.randrange(5)
            current = replace(current, time=int(at * 10**9) + rng.randrange(10**9))
            reports.append(current)
            # Somebody starts the Job by hand: the same again, or with another CNI.
            if rng.random() < 0.05:
                current = replace(current, time=current.time + rng.randrange(1, 600 * 10**9))
                if rng.random() < 0.3:
                    current = replace(current, cni=rng.choice(CNIS))
                reports.append(current)
    return reports


def last_of_each(reports, begin, end):
    """Each cluster once: its last report of the window."""
    last = {}
    for report in reports:
        if begin * 10**9 <= report.time < end * 10**9 and (
            report.cluster not in last or report.time > last[report.cluster].time
        ):
            last[report.cluster] = report
    return list(last.values())


# What each row should say, from the reports alone. -----------------------------------------------------------

def median(numbers):
    numbers, middle = sorted(numbers), len(numbers) // 2
    return numbers[middle] if len(numbers) % 2 else (numbers[middle - 1] + numbers[middle]) / 2


def percentile(numbers, percent):
    """The nearest rank, as InfluxQL defines it."""
    rank = int(len(numbers) * percent / 100 + 0.5) - 1
    return sorted(numbers)[rank] if 0 <= rank < len(numbers) else None


def fleet(reports):
    if not reports:
        return None
    nodes = [r.nodes for r in reports]
    servers = sum(r.servers for r in reports)
    return {
        "clusters": len(reports),
        "nodes": sum(nodes),
        "servers": servers,
        "agents": sum(nodes) - servers,
        "median_nodes": median(nodes),
        "max_nodes": max(nodes),
    }


def found(reports):
    row = fleet(reports)
    return row and row | {"p90_nodes": percentile([r.nodes for r in reports], 90)}


def size(nodes):
    for most, label in [(1, "1"), (3, "2-3"), (10, "4-10"), (50, "11-50"), (200, "51-200"), (1000, "201-1000")]:
        if nodes <= most:
            return label
    return "over 1000"


def listed(words):
    """Words that have no column of their own count as rest."""
    return lambda word: word if word in words else "rest"


def columns_of(measurement):
    return {column for column, into in re.findall(r'count\("n"\) AS "([^"]+)" INTO "history"\."(\w+)"', QUERIES) if into == measurement} - {"rest"}


def history(reports):
    """measurement → {(tag value, time): row}, as the continuous queries should have written it."""
    cni, system = listed(columns_of("clusters_by_cni")), listed(columns_of("clusters_by_os"))
    tables = {name: {} for name in ("fleet", "clusters_by_version", "clusters_by_cni", "clusters_by_os", "clusters_by_size", "clusters_a_week")}
    for begin in range(START, END, PERIOD):
        once = last_of_each(reports, begin, begin + PERIOD)
        if not once:
            continue
        tables["fleet"]["", begin] = fleet(once)
        for version, clusters in Counter(r.version for r in once).items():
            tables["clusters_by_version"][version, begin] = {"clusters": clusters}
        tables["clusters_by_cni"]["", begin] = Counter(cni(r.cni.removeprefix("multus,")) for r in once)
        tables["clusters_by_os"]["", begin] = Counter(system(r.os) for r in once)
        tables["clusters_by_size"]["", begin] = Counter(size(r.nodes) for r in once)
    for begin in range(START, END, WEEK):
        once = last_of_each(reports, begin, begin + WEEK)
        tables["clusters_a_week"]["", begin] = {"clusters": len(once)}
    return tables


# InfluxDB. ---------------------------------------------------------------------------------------------------

class Influx:
    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"

    def post(self, path, parameters, body):
        request = urllib.request.Request(f"{self.url}{path}?{urllib.parse.urlencode(parameters)}", data=body)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def results(self, text, database=DATABASE):
        """One result of each statement, as the README's curl gets them."""
        _, body = self.post("/query", {"db": database, "epoch": "s"}, urllib.parse.urlencode({"q": text}).encode())
        reply = json.loads(body)
        return reply.get("results") or [{"error": reply.get("error")}]

    def series(self, text, database=DATABASE):
        [result] = self.results(text, database)
        if "error" in result:
            raise ValueError(f"{result['error']}: {text}")
        return result.get("series", [])

    def rows(self, text, database=DATABASE):
        """{(tag value, time): {column: value}}; a column without a value is left out."""
        rows = {}
        for series in self.series(text, database):
            tag = "".join(series.get("tags", {}).values())
            for values in series["values"]:
                row = dict(zip(series["columns"], values))
                at = row.pop("time")
                rows[tag, at] = {column: value for column, value in row.items() if value is not None}
        return rows

    def write(self, lines, database=DATABASE):
        return self.post("/write", {"db": database, "precision": "ns"}, "\n".join(lines).encode())


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def influxdb(influxd, folder, index, max_values_per_tag):
    folder.mkdir()
    port = free_port()
    (folder / "influxdb.conf").write_text(f"""
reporting-disabled = true
bind-address = "127.0.0.1:{free_port()}"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
index-version = "{index}"
max-values-per-tag = {max_values_per_tag}
query-log-enabled = false
[http]
bind-address = "127.0.0.1:{port}"
log-enabled = false
[monitor]
store-enabled = false
[continuous_queries]
log-enabled = false
run-interval = "1s"
""")
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen([influxd, "-config", str(folder / "influxdb.conf")], stdout=output, stderr=output)
    try:
        influx = Influx(port)
        for _ in range(150):
            if process.poll() is not None:
                sys.exit(f"influxd stopped:\n{log.read_text()}")
            try:
                influx.post("/ping", {}, None)
                break
            except OSError:
                time.sleep(0.1)
        else:
            sys.exit(f"influxd does not answer:\n{log.read_text()}")
        yield influx
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# The files. --------------------------------------------------------------------------------------------------

def named_queries():
    return dict(re.findall(r"^-- name: (.+)\n([^;]+);", QUERIES, re.M))


def continuous_queries():
    return re.findall(r'^CREATE CONTINUOUS QUERY "([^"]+)" ON "\w+" BEGIN\s+(SELECT .*?)\s+END;', QUERIES, re.M | re.S)


def between(select, begin, end):
    """A continuous query's SELECT for one window, as the README says to fill in the past."""
    head, group_by = re.fullmatch(r"(.*)(GROUP BY time\(.*)", select, re.S).groups()
    word = "AND" if "WHERE" in head.rpartition('"clusteruuid")')[2] else "WHERE"
    return f"{head} {word} time >= {begin}s AND time < {end}s {group_by}"


def in_window(query, begin, end, version=".*", cni=".*", os=".*"):
    """The query for one window and filter, whether it comes from the file or from the dashboard."""
    window = f"time >= {begin}s AND time < {end}s"
    query = query.replace("$timeFilter", window)
    query = re.sub(r"time > now\(\) - \w+", window, query)
    for column, variable, value in (("v", "version", version), ("c", "cni", cni), ("o", "os", os)):
        for pattern in ("(.*)", f"(${{{variable}:raw}})"):
            query = query.replace(f'"{column}" =~ /^{pattern}$/', f'"{column}" =~ /^({value})$/')
    assert "$" not in re.sub(r"/\^.*?\$/", "", query), query
    return query


def snake_case(key):
    """The name under which upgrade-responder stores a key."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).replace("-", "_").lower()


def panels():
    for panel in DASHBOARD["panels"]:
        yield panel
        yield from panel.get("panels", [])


# The checks. -------------------------------------------------------------------------------------------------

class Checks:
    def __init__(self):
        self.passed, self.failed = 0, 0

    def equal(self, what, got, want):
        if got == want:
            self.passed += 1
            return
        self.failed += 1
        if isinstance(got, dict) and isinstance(want, dict):
            different = [key for key in got.keys() | want.keys() if got.get(key) != want.get(key)]
            key = min(different, key=str)
            what, got, want = f"{what}: {len(different)} differ, as {key}", got.get(key), want.get(key)
        print(f"FAILED {what}\n  got  {got}\n  want {want}")

    def true(self, what, got):
        self.equal(what, bool(got), True)


def check_files(checks):
    """What upgrade-responder demands of its two files when it starts."""
    tags, fields = SCHEMA["extraTagInfoSchema"], SCHEMA["extraFieldInfoSchema"]
    checks.equal("appVersion is a string", SCHEMA["appVersionSchema"]["dataType"], "string")
    checks.equal("tags are strings", {schema["dataType"] for schema in tags.values()}, {"string"})
    checks.equal("types of fields", {schema["dataType"] for schema in fields.values()} - {"string", "float", "boolean"}, set())
    stored = {snake_case(key) for key in [*tags, *fields, "appVersion"]}
    written = set(re.findall(r"[ ,]([a-z_]+)=", generate(1)[0].line())) - {"value", "city", "country", "country_isocode"}
    checks.equal("the generated reports have the schema's names", written, stored)
    asked = {word for _, select in continuous_queries() for word in re.findall(r'(?:last\(|, )"([a-z_]{2,})"', select)}
    checks.equal("the continuous queries ask for names of the schema", asked - stored, set())
    versions = RESPONSE["versions"]
    checks.true("a version is tagged latest", any("latest" in version["tags"] for version in versions))
    for version in versions:
        checks.true("its name is a semantic version", re.fullmatch(r"v?\d+\.\d+\.\d+", version["name"]))
        checks.true("its date has a time zone", datetime.fromisoformat(version["releaseDate"]).tzinfo)
    words = set(re.findall(r'"([a-z0-9_-]+)"', (ROOT / "src/cni.rs").read_text()))
    checks.equal("the listed CNIs are words of src/cni.rs", columns_of("clusters_by_cni") - words, set())
    words = set(re.findall(r'"([a-z0-9_-]+)"', (ROOT / "src/os.rs").read_text()))
    checks.equal("the listed systems are words of src/os.rs", columns_of("clusters_by_os") - words, set())


def check_setup(checks, influx):
    """The whole file at once, twice, with a start of upgrade-responder before, between and after."""
    own = {
        "cq_upgrade_request_down_sampling": "SELECT count(value) as total INTO upgrade_request_down_sampling FROM upgrade_request GROUP BY time({period})",
        "cq_by_app_version_down_sampling": "SELECT count(value) as total INTO by_app_version_down_sampling FROM upgrade_request GROUP BY time({period}),app_version",
        "cq_by_country_code_down_sampling": "SELECT count(value) as total INTO by_country_code_down_sampling FROM upgrade_request GROUP BY time({period}),country_isocode",
    }

    def start_upgrade_responder(period):
        statements = [f"CREATE DATABASE {DATABASE}"]
        statements += [f"CREATE CONTINUOUS QUERY {name} ON {DATABASE} BEGIN {select.format(period=period)} END" for name, select in own.items()]
        return [result.get("error") for statement in statements for result in influx.results(statement)]

    checks.equal("upgrade-responder starts", start_upgrade_responder("8h"), [None] * 4)
    for turn in ("first", "second"):
        results = influx.results(QUERIES)
        statements = len(re.findall(r"^(?!--).*;$", QUERIES, re.M))
        checks.equal(f"the file runs, {turn} time", [result.get("error") for result in results], [None] * statements)
        checks.equal("upgrade-responder starts again", start_upgrade_responder("8h"), [None] * 4)
    checks.true("with another --query-period it does not", any(start_upgrade_responder("1h")))

    # A new word changes the line of the rest.
    changed = QUERIES.replace("|unknown)$/", "|unknown|newcni)$/")
    checks.equal("a changed continuous query stops the file", influx.results(changed)[-1].get("error"), "not executed")
    for text in (changed, QUERIES):
        influx.series(f'DROP CONTINUOUS QUERY "cq_cni_rest" ON "{DATABASE}"')
        checks.equal("until it was dropped", [result["error"] for result in influx.results(text) if "error" in result], [])

    [policies] = influx.series(f"SHOW RETENTION POLICIES ON {DATABASE}")
    policies = {row[0]: (row[1], row[4]) for row in policies["values"]}
    checks.equal("retention policies", policies, {"autogen": (f"{90 * 24}h0m0s", True), "history": ("0s", False)})
    stored = {series["name"]: series["values"] for series in influx.series("SHOW CONTINUOUS QUERIES")}[DATABASE]
    checks.equal("continuous queries", {name for name, _ in stored}, {name for name, _ in continuous_queries()} | set(own))
    checks.true("they read autogen", all(f"FROM {DATABASE}.autogen.upgrade_request" in text for _, text in stored))

    old = generate(1)[0].line()
    status, body = influx.write([old])
    checks.true("a report older than 90 days is refused", status == 400 and "beyond retention policy" in body)
    return own


def check_history(checks, influx, tables):
    for _, select in continuous_queries():
        influx.series(between(select, START, END))
    for measurement, want in tables.items():
        group = ' GROUP BY "app_version"' if measurement == "clusters_by_version" else ""
        got = influx.rows(f'SELECT * FROM "history"."{measurement}"{group}')
        checks.equal(f"history of {measurement}", got, want)
    for measurement in ("clusters_by_version", "clusters_by_cni", "clusters_by_os", "clusters_by_size"):
        for begin in range(START, END, PERIOD):
            total = sum(sum(row.values()) for (_, at), row in tables[measurement].items() if at == begin)
            checks.equal(f"{measurement} adds up", total, tables["fleet"]["", begin]["clusters"])


def check_running(checks, influx, reports):
    """The continuous queries themselves, as InfluxDB runs them, with periods of 5 seconds."""
    database, seconds = "live", 5
    setup = QUERIES.split("-- Part 2")[0].replace(DATABASE, database)
    setup = setup.replace("time(8h)", f"time({seconds}s)").replace("time(7d, 4d)", f"time({seconds}s)")
    results = influx.results(setup, database)
    checks.equal("set-up of the running test", [result.get("error") for result in results if "error" in result], [])
    # The first period of the generated reports, squeezed into one period to come.
    begin = (int(time.time()) // seconds + 1) * seconds
    first = [r for r in reports if r.time < (START + PERIOD) * 10**9]
    squeezed = [replace(r, time=begin * 10**9 + (r.time - START * 10**9) * seconds // PERIOD) for r in first]
    influx.write([r.line() for r in squeezed], database)
    once = last_of_each(first, START, START + PERIOD)
    want = history(first)
    for measurement in want:
        rows = {(tag, begin): row for (tag, at), row in want[measurement].items() if at == START}
        group = ' GROUP BY "app_version"' if measurement == "clusters_by_version" else ""
        got = None
        while got != rows and time.time() < begin + 6 * seconds:
            time.sleep(0.2)
            got = influx.rows(f'SELECT * FROM "history"."{measurement}"{group}', database)
        checks.equal(f"{measurement}, written by InfluxDB", got, rows)
    checks.equal("clusters in it", want["fleet"]["", START]["clusters"], len(once))


def expected(name, reports, tables, begin, end, choose=lambda report: True):
    """What a named query should answer for one window."""
    def rows(measurement, columns=None):
        return {
            key: {column: value for column, value in row.items() if not columns or column in columns}
            for key, row in tables[measurement].items()
            if begin <= key[1] < end
        }

    once = last_of_each(reports, begin, end)
    match name:
        case "clusters by version":
            return rows("clusters_by_version")
        case "clusters by CNI":
            return rows("clusters_by_cni")
        case "clusters by OS":
            return rows("clusters_by_os")
        case "clusters by size":
            return rows("clusters_by_size")
        case "clusters and nodes":
            return rows("fleet", {"clusters", "nodes", "median_nodes", "max_nodes"})
        case "servers and agents":
            return rows("fleet", {"servers", "agents"})
        case "active clusters a week":
            return rows("clusters_a_week")
        case "find":
            row = found([r for r in once if choose(r)])
            return {("", begin): row} if row else {}
        case "versions in use":
            return {r.version for r in reports}
        case "CNIs in use":
            return {r.cni for r in once}
        case "operating systems in use":
            return {r.os for r in once}


# Whole, half, a day, a period, and one that begins and ends nowhere in particular.
WINDOWS = [
    (START, END),
    (START + WEEK, END),
    (START + 3 * DAY, START + 4 * DAY),
    (END - PERIOD, END),
    (START + 2 * DAY + 12345, START + 9 * DAY + 54321),
]


def check_queries(checks, influx, reports, tables):
    queries = named_queries()
    for name, query in queries.items():
        for begin, end in WINDOWS:
            text = in_window(query, begin, end)
            if name.endswith("in use"):
                got = {values[1] for series in influx.series(text) for values in series["values"]}
            else:
                got = influx.rows(text)
            checks.equal(f"{name} from {begin} to {end}", got, expected(name, reports, tables, begin, end))

    def find(begin, end, choose, **filters):
        got = influx.rows(in_window(queries["find"], begin, end, **filters))
        checks.equal(f"find {filters} from {begin} to {end}", got, expected("find", reports, tables, begin, end, choose))

    for begin, end in WINDOWS:
        for version in VERSIONS:
            find(begin, end, lambda r: r.version == version, version=re.escape(version))
        for cni in sorted(set(CNIS)):
            find(begin, end, lambda r: r.cni == cni, cni=cni)
        for system in sorted(set(SYSTEMS)):
            find(begin, end, lambda r: r.os == system, os=system)
        find(begin, end, lambda r: r.version.startswith("v1.36."), version=r"v1\.36\..*")
        find(begin, end, lambda r: r.cni.startswith("multus,"), cni="multus,.*")
        find(
            begin,
            end,
            lambda r: r.version.endswith("rke2r1") and r.cni in ("canal", "cilium") and r.os == "sles",
            version=".*rke2r1",
            cni="canal|cilium",
            os="sles",
        )


def check_traps(checks, influx, reports, own):
    """The wrong queries that the comments and the README warn of are wrong in the way they say."""
    window = f"time >= {START}s AND time < {END}s"
    clusters = len({r.cluster for r in reports})
    checks.true("there is more than one report a cluster", len(reports) > 10 * clusters)

    got = influx.rows(f'SELECT count("n") AS "clusters" FROM (SELECT last("node_count") AS "n" FROM "upgrade_request" GROUP BY "clusteruuid") WHERE {window} GROUP BY "app_version"')
    pairs = Counter(version for _, version in {(r.cluster, r.version) for r in reports})
    checks.equal("grouped by version, an upgraded cluster counts twice", {tag: row["clusters"] for (tag, _), row in got.items()}, dict(pairs))
    checks.true("which is too many", sum(pairs.values()) > clusters)

    got = influx.rows(f'SELECT count("n") AS "clusters" FROM (SELECT last("node_count") AS "n" FROM "upgrade_request" WHERE {window} AND "cni_plugin" = \'canal\' GROUP BY "clusteruuid")')
    ever = len({r.cluster for r in reports if r.cni == "canal"})
    now = len([r for r in last_of_each(reports, START, END) if r.cni == "canal"])
    checks.equal("filtered inside, a cluster counts under every CNI it had", [row["clusters"] for row in got.values()], [ever])
    checks.true("which is too many", ever > now)

    got = influx.rows(between(own["cq_by_app_version_down_sampling"].format(period="8h").replace(" INTO by_app_version_down_sampling", ""), START, END))
    counted = Counter((r.version, r.time // 10**9 // PERIOD * PERIOD) for r in reports)
    got = {key: row["total"] for key, row in got.items() if row["total"]}
    checks.equal("upgrade-responder's own continuous query counts reports", got, dict(counted))


def check_dashboard(checks, influx, reports, tables):
    identifiers = [panel["id"] for panel in panels()]
    checks.equal("panel ids are unique", len(identifiers), len(set(identifiers)))
    text = json.dumps(DASHBOARD)
    checks.equal("data sources", set(re.findall(r'"uid": "([^"]*)"', text)), {"${datasource}"})
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    checks.equal("variables", variables, set(re.findall(r"\$\{(\w+)", text)))

    names = {in_window(query, 0, 1): name for name, query in named_queries().items()}
    shown = set()
    for panel in panels():
        for target in panel.get("targets", []):
            title, query = panel["title"], target["query"]
            name = names.get(in_window(query, 0, 1))
            checks.true(f"{title}: its query is in queries.influxql", name)
            if not name:
                continue
            shown.add(name)
            windows = WINDOWS
            if "timeFrom" in panel:
                # The last complete period, whenever it is looked at.
                checks.equal(f"{title}: time", panel["timeFrom"], "16h")
                windows = [(now - 2 * PERIOD + 1, now + 1) for now in (END, END + 1, END + 4 * HOUR, END + PERIOD - 1)]
                for begin, end in windows:
                    periods = {at for _, at in expected(name, reports, tables, begin, end)}
                    checks.equal(f"{title}: the period shown", periods, {END - PERIOD})
            for begin, end in windows:
                got = influx.rows(in_window(query, begin, end))
                checks.equal(f"{title} from {begin} to {end}", got, expected(name, reports, tables, begin, end))
    checks.equal("questions on the dashboard", shown, {name for name in names.values() if not name.endswith("in use")})


def check_tag_limit(checks, influxd, folder):
    """max-values-per-tag drops the clusters above it, with the in-memory index alone."""
    # One write each: InfluxDB holds the limit against what was there before a write.
    reports = [replace(generate(1)[0], cluster=f"cluster-{number}", time=START * 10**9 + number) for number in range(25)]
    for index, limit, want in (("inmem", 10, 10), ("inmem", 0, 25), ("tsi1", 10, 25)):
        with influxdb(influxd, folder / f"{index}-{limit}", index, limit) as influx:
            influx.results(f"CREATE DATABASE {DATABASE}")
            answers = [influx.write([report.line()]) for report in reports]
            what = f"max-values-per-tag = {limit}, {index}"
            checks.equal(f"{what}: answers", [status for status, _ in answers], [204] * want + [400] * (25 - want))
            refused = [body for status, body in answers if status == 400]
            checks.true(f"{what}: why", all("max-values-per-tag limit exceeded (10/10)" in body for body in refused))
            got = influx.rows('SELECT count("n") AS "clusters" FROM (SELECT last("node_count") AS "n" FROM "upgrade_request" GROUP BY "clusteruuid")')
            checks.equal(f"{what}: clusters stored", [row["clusters"] for row in got.values()], [want])


def main(influxd):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    checks = Checks()
    reports = generate()
    tables = history(reports)
    check_files(checks)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        with influxdb(influxd, folder / "main", "tsi1", 0) as influx:
            own = check_setup(checks, influx)
            # The reports are older than 90 days, for their time is fixed.
            influx.results(f"ALTER RETENTION POLICY autogen ON {DATABASE} DURATION INF")
            lines = [report.line() for report in reports]
            for begin in range(0, len(lines), 5000):
                checks.equal("reports are stored", influx.write(lines[begin : begin + 5000]), (204, ""))
            check_history(checks, influx, tables)
            check_queries(checks, influx, reports, tables)
            check_dashboard(checks, influx, reports, tables)
            check_traps(checks, influx, reports, own)
            check_running(checks, influx, reports)
        check_tag_limit(checks, influxd, folder)
    print(f"{len(reports)} reports of {len({r.cluster for r in reports})} clusters")
    print(f"{checks.passed} passed, {checks.failed} failed")
    return checks.failed > 0 or checks.passed == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

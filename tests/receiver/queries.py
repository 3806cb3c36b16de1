"""Tests deploy/receiver with a real InfluxDB: loads two weeks of generated reports, runs every query, and
compares the results with numbers computed here from the same reports, without InfluxDB.

Usage: queries.py INFLUXD. Prints each failed check, and at the end the number of checks.
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
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RECEIVER = ROOT / "deploy/receiver"
PAGES = "\n".join(page.read_text() for page in sorted(RECEIVER.glob("*.md")))
QUERIES = (RECEIVER / "queries.influxql").read_text()
DASHBOARD = json.loads((RECEIVER / "grafana-dashboard.json").read_text())
SCHEMA = json.loads((RECEIVER / "request-schema.json").read_text())
RESPONSE = json.loads((RECEIVER / "response-config.json").read_text())

DATABASE = "rke2_upgrade_responder"
HOUR, DAY, WEEK, PERIOD = 3600, 86400, 7 * 86400, 8 * 3600
# A Monday, 00:00 UTC. It is fixed, so that every run loads the same bytes.
START = 1704067200
PERIODS = 42
END = START + PERIODS * PERIOD


def columns_of(measurement):
    """Returns the columns that the continuous queries write into this measurement, without "rest"."""
    columns = re.findall(r'count\("n"\) AS "([^"]+)" INTO "history"\."(\w+)"', QUERIES)
    return {column for column, into in columns if into == measurement} - {"rest"}


# The values of a report. Every word that has a continuous query occurs, with and without multus, and common words
# occur more often. "newcni", "neweros" and "alpine" have no continuous query.
VERSIONS = [
    f"v1.{minor}.{patch}+{suffix}" for minor in (34, 35, 36) for patch in (1, 2) for suffix in ("rke2r1", "k3s1")
]
PRIMARIES = [*sorted(columns_of("clusters_by_cni")), "newcni"]
CNIS = ["canal"] * 12 + ["cilium"] * 6 + ["calico"] * 4 + PRIMARIES + [f"multus,{cni}" for cni in PRIMARIES]
SYSTEMS = ["sles"] * 8 + ["ubuntu"] * 8 + sorted(columns_of("clusters_by_os")) + ["alpine", "neweros"]
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
        """Returns the point as upgrade-responder writes it; an empty tag is not stored."""
        tags = {
            "app_version": self.version,
            "clusteruuid": self.cluster,
            "kubernetes_version": self.version.split("+")[0],
        }
        if self.place:
            tags |= dict(zip(("city", "country", "country_isocode"), self.place, strict=True))
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
    """Makes two weeks of reports: clusters report every 8 hours, begin, end, miss reports, and change."""
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
        # A cluster can have another schedule; the wait before sending depends on its UUID.
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
            # Somebody starts the Job by hand: it sends the same report again, or one with another CNI.
            if rng.random() < 0.05:
                current = replace(current, time=current.time + rng.randrange(1, 600 * 10**9))
                if rng.random() < 0.3:
                    current = replace(current, cni=rng.choice(CNIS))
                reports.append(current)
    return reports


def last_of_each(reports, begin, end):
    """Returns the last report of each cluster in the window."""
    last = {}
    for report in reports:
        if begin * 10**9 <= report.time < end * 10**9 and (
            report.cluster not in last or report.time > last[report.cluster].time
        ):
            last[report.cluster] = report
    return list(last.values())


# The expected results, computed from the reports. ---------------------------------------------------------------


def median(numbers):
    numbers, middle = sorted(numbers), len(numbers) // 2
    return numbers[middle] if len(numbers) % 2 else (numbers[middle - 1] + numbers[middle]) / 2


def percentile(numbers, percent):
    """Returns the percentile by nearest rank, as InfluxQL defines it."""
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
    """Maps words without a column of their own to "rest"."""
    return lambda word: word if word in words else "rest"


HISTORY = (
    "fleet",
    "clusters_by_version",
    "clusters_by_cni",
    "clusters_by_os",
    "clusters_by_size",
    "clusters_a_week",
)


def history(reports):
    """Returns measurement → {(tag value, time): row}, as the continuous queries should write it."""
    cni, system = listed(columns_of("clusters_by_cni")), listed(columns_of("clusters_by_os"))
    tables = {name: {} for name in HISTORY}
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
    def __init__(self, folder, port, rpc):
        self.folder, self.rpc = folder, f"127.0.0.1:{rpc}"
        self.url = f"http://127.0.0.1:{port}"

    def post(self, path, parameters, body):
        request = urllib.request.Request(f"{self.url}{path}?{urllib.parse.urlencode(parameters)}", data=body)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def answers(self):
        with suppress(OSError):
            return self.post("/ping", {}, None)[0] == 204

    def started(self, process):
        wait_until(lambda: process.poll() is not None or self.answers())
        return process.poll() is None and self.answers()

    def results(self, text, database=DATABASE):
        """Returns the result of each statement, requested like the curl command of deploy/receiver/README.md."""
        _, body = self.post("/query", {"db": database, "epoch": "s"}, urllib.parse.urlencode({"q": text}).encode())
        reply = json.loads(body)
        return reply.get("results") or [{"error": reply.get("error")}]

    def series(self, text, database=DATABASE):
        [result] = self.results(text, database)
        if "error" in result:
            raise ValueError(f"{result['error']}: {text}")
        return result.get("series", [])

    def rows(self, text, database=DATABASE):
        """Returns {(tag value, time): {column: value}}, without the columns that have no value."""
        rows = {}
        for series in self.series(text, database):
            tag = "".join(series.get("tags", {}).values())
            for values in series["values"]:
                row = dict(zip(series["columns"], values, strict=True))
                at = row.pop("time")
                rows[tag, at] = {column: value for column, value in row.items() if value is not None}
        return rows

    def column(self, text, number=0):
        return [values[number] for series in self.series(text) for values in series.get("values", [])]

    def write(self, lines, database=DATABASE, **parameters):
        parameters = {"db": database, "precision": "ns", **parameters}
        return self.post("/write", parameters, "\n".join(lines).encode())

    def errors(self, text, database=DATABASE):
        return [result["error"] for result in self.results(text, database) if "error" in result]

    def everything(self):
        """Returns {(policy, measurement): points as a multiset}."""
        measurements = self.column("SHOW MEASUREMENTS")
        points = {}
        for policy in self.column(f"SHOW RETENTION POLICIES ON {DATABASE}"):
            for measurement in measurements:
                for series in self.series(f'SELECT * FROM "{policy}"."{measurement}"'):
                    named = [zip(series["columns"], values, strict=True) for values in series["values"]]
                    points[policy, measurement] = Counter(frozenset(point) for point in named)
        return points


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(influxd, folder, index, max_values_per_tag):
    """Starts InfluxDB on ports that are free."""
    port, rpc = free_port(), free_port()
    (folder / "influxdb.conf").write_text(f"""
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
index-version = "{index}"
max-values-per-tag = {max_values_per_tag}
query-log-enabled = false
cache-snapshot-write-cold-duration = "1s"
compact-full-write-cold-duration = "1s"
[retention]
check-interval = "1s"
[http]
bind-address = "127.0.0.1:{port}"
[monitor]
store-enabled = false
[continuous_queries]
log-enabled = false
run-interval = "1s"
""")
    with (folder / "log").open("ab") as output:
        process = subprocess.Popen([influxd, "-config", str(folder / "influxdb.conf")], stdout=output, stderr=output)
    return process, Influx(folder, port, rpc)


@contextmanager
def influxdb(influxd, folder, index="tsi1", max_values_per_tag=0):
    folder.mkdir(exist_ok=True)
    # Another program may take a port before InfluxDB does, which then stops.
    for _ in range(5):
        process, influx = start(influxd, folder, index, max_values_per_tag)
        try:
            if influx.started(process):
                yield influx
                return
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    sys.exit(f"influxd does not start:\n{(folder / 'log').read_text()}")


def wait_until(holds, seconds=120):
    """Waits until `holds` returns true, or until the time is up; the next check then reports the failure."""
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.2)


# The files. --------------------------------------------------------------------------------------------------


def named_queries():
    return dict(re.findall(r"^-- name: (.+)\n([^;]+);", QUERIES, re.M))


def continuous_queries():
    return re.findall(r'^CREATE CONTINUOUS QUERY "([^"]+)" ON "\w+" BEGIN\s+(SELECT .*?)\s+END;', QUERIES, re.M | re.S)


def between(select, begin, end):
    """Limits the SELECT of a continuous query to one window, as deploy/receiver/README.md does to fill a gap."""
    head, group_by = re.fullmatch(r"(.*)(GROUP BY time\(.*)", select, re.S).groups()
    word = "AND" if "WHERE" in head.rpartition('"clusteruuid")')[2] else "WHERE"
    return f"{head} {word} time >= {begin}s AND time < {end}s {group_by}"


def in_window(query, begin, end, version=".*", cni=".*", os=".*"):
    """Limits a query of the file or of the dashboard to one window and one filter."""
    window = f"time >= {begin}s AND time < {end}s"
    query = query.replace("$timeFilter", window)
    query = re.sub(r"time > now\(\) - \w+", window, query)
    for column, variable, value in (("v", "version", version), ("c", "cni", cni), ("o", "os", os)):
        for pattern in ("(.*)", f"(${{{variable}:raw}})"):
            query = query.replace(f'"{column}" =~ /^{pattern}$/', f'"{column}" =~ /^({value})$/')
    assert "$" not in re.sub(r"/\^.*?\$/", "", query), query
    return query


def snake_case(key):
    """Returns the name under which upgrade-responder stores a key."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).replace("-", "_").lower()


def panels():
    for panel in DASHBOARD["panels"]:
        yield panel
        yield from panel.get("panels", [])


def readme(pattern):
    """Returns the numbers on the receiver's pages that `pattern` matches."""
    found = re.search(pattern, re.sub(r"\s+", " ", PAGES))
    if not found:
        raise ValueError(f"no page of deploy/receiver has anything like: {pattern}")
    return [int(number.replace(",", "")) for number in found.groups()]


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


def check_files(checks, reports):
    """Checks what upgrade-responder requires of its two files at start, and the words of the client's tables."""
    tags, fields = SCHEMA["extraTagInfoSchema"], SCHEMA["extraFieldInfoSchema"]
    checks.equal("appVersion is a string", SCHEMA["appVersionSchema"]["dataType"], "string")
    checks.equal("tags are strings", {schema["dataType"] for schema in tags.values()}, {"string"})
    types = {schema["dataType"] for schema in fields.values()}
    checks.equal("types of fields", types - {"string", "float", "boolean"}, set())
    stored = {snake_case(key) for key in [*tags, *fields, "appVersion"]}
    own = {"value", "city", "country", "country_isocode"}
    written = set(re.findall(r"[ ,]([a-z_]+)=", reports[0].line())) - own
    checks.equal("the generated reports have the schema's names", written, stored)
    asked = {word for _, select in continuous_queries() for word in re.findall(r'(?:last\(|, )"([a-z_]{2,})"', select)}
    checks.equal("the continuous queries ask for names of the schema", asked - stored, set())
    versions = RESPONSE["versions"]
    checks.true("a version is tagged latest", any("latest" in version["tags"] for version in versions))
    for version in versions:
        checks.true("its name is a semantic version", re.fullmatch(r"v?\d+\.\d+\.\d+", version["name"]))
        checks.true("its date has a time zone", datetime.fromisoformat(version["releaseDate"]).tzinfo)
    for measurement, table in (("clusters_by_cni", "cni.rs"), ("clusters_by_os", "os.rs")):
        words = set(re.findall(r'"([a-z0-9_-]+)"', (ROOT / "src/report" / table).read_text()))
        checks.equal(f"{measurement} has words of {table}", columns_of(measurement) - words, set())
    checks.equal("every CNI occurs in the reports", set(CNIS) - {r.cni for r in reports}, set())
    checks.equal("every OS occurs in the reports", set(SYSTEMS) - {r.os for r in reports}, set())


def check_numbers(checks):
    """Checks the arithmetic of the pages, and the settings and measurements on which it is based."""
    manifest = (ROOT / "deploy/upgrade-responder.yaml").read_text()
    checks.true("three runs a day", re.search(r"schedule: \"?0 \*/8 \* \* \*", manifest))
    checks.true("a spread of ten minutes", re.search(r"\bspread: \"?10m\b", manifest))
    [grace] = readme(r"`gracePeriod: (\d+)h`")
    checks.true("the manifest's grace period", re.search(rf"\bgracePeriod: \"?{grace}h\b", manifest))
    period = PERIOD // HOUR
    hours = [grace + period, grace + 2 * period]
    checks.equal("the age at which a cluster appears", readme(r"(\d+) to (\d+) hours after its creation"), hours)

    up, down = readme(r"takes some ([\d,]+) bytes to the endpoint and ([\d,]+) back")
    rows = re.findall(r"^\| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) kB/s \| ([\d,]+) kB/s \|$", PAGES, re.M)
    rows = [[int(number.replace(",", "")) for number in row] for row in rows]
    rates = [(clusters, clusters / 600) for clusters in (10**4, 10**5, 10**6)]
    want = [[n, n, round(rate), round(rate * up / 1000), round(rate * down / 1000)] for n, rate in rates]
    checks.equal("requests and bytes a second", rows, want)
    # The length of an ECDSA signature varies by a few bytes from run to run.
    documents = [*ROOT.glob("*.md"), *ROOT.glob(".github/*.md"), *ROOT.glob("deploy/*.md")]
    measured = [m for d in documents for m in re.findall(r"([\d,]+) bytes sent, ([\d,]+) received", d.read_text())]
    near = [
        abs(int(m.replace(",", "")) / n - 1) < 0.02 for pair in measured for m, n in zip(pair, (up, down), strict=True)
    ]
    checks.true("the bytes on the wire are those of `just bench`", near and all(near))
    [most] = readme(r"no second gets more than (\d+)")
    checks.true("the fullest second is that of the test", f"<= {most} " in (ROOT / "tests/properties.rs").read_text())

    days, shard = map(int, re.search(r"autogen.* DURATION (\d+)d SHARD DURATION (\d+)d;", QUERIES).groups())
    kept = readme(r"`autogen` \| (\d+) days\. InfluxDB deletes a week of reports at a time, so up to (\d+)")
    checks.equal("days that reports are kept", (kept, shard), ([days, days + shard], 7))
    checks.equal("the same on the dashboard", re.findall(r"kept for (\d+) days", json.dumps(DASHBOARD)), [str(days)])
    clusters, daily, millions, window = readme(
        r"([\d,]+) clusters send ([\d,]+) reports a day, and (\d+) million in (\d+)"
    )
    runs = DAY // PERIOD
    checks.equal("reports", (daily, millions, window), (runs * clusters, runs * clusters * days // 10**6, days))


# upgrade-responder's own continuous queries, as it creates them when it starts.
OWN = {
    name: f"SELECT count(value) as total INTO {into} FROM upgrade_request GROUP BY time({{period}}){tag}"
    for name, into, tag in (
        ("cq_upgrade_request_down_sampling", "upgrade_request_down_sampling", ""),
        ("cq_by_app_version_down_sampling", "by_app_version_down_sampling", ",app_version"),
        ("cq_by_country_code_down_sampling", "by_country_code_down_sampling", ",country_isocode"),
    )
}


def check_setup(checks, influx):
    """Loads the whole file twice; upgrade-responder starts before, between and after."""

    def start_upgrade_responder(period):
        statements = [f"CREATE DATABASE {DATABASE}"]
        for name, select in OWN.items():
            select = select.format(period=period)
            statements.append(f"CREATE CONTINUOUS QUERY {name} ON {DATABASE} BEGIN {select} END")
        return [result.get("error") for statement in statements for result in influx.results(statement)]

    checks.equal("upgrade-responder starts", start_upgrade_responder("8h"), [None] * 4)
    for turn in ("first", "second"):
        results = influx.results(QUERIES)
        statements = len(re.findall(r"^(?!--).*;$", QUERIES, re.M))
        checks.equal(f"the file runs, {turn} time", [result.get("error") for result in results], [None] * statements)
        checks.equal("upgrade-responder starts again", start_upgrade_responder("8h"), [None] * 4)
    checks.true("with another --query-period it does not", any(start_upgrade_responder("1h")))

    # A new word changes the query of "rest".
    changed = QUERIES.replace("|unknown)$/", "|unknown|newcni)$/")
    checks.equal("a changed continuous query stops the file", influx.results(changed)[-1].get("error"), "not executed")
    for text in (changed, QUERIES):
        influx.series(f'DROP CONTINUOUS QUERY "cq_cni_rest" ON "{DATABASE}"')
        checks.equal("until it was dropped", influx.errors(text), [])

    [policies] = influx.series(f"SHOW RETENTION POLICIES ON {DATABASE}")
    policies = {row[0]: (row[1], row[4]) for row in policies["values"]}
    checks.equal("retention policies", policies, {"autogen": (f"{90 * 24}h0m0s", True), "history": ("0s", False)})
    stored = {series["name"]: series["values"] for series in influx.series("SHOW CONTINUOUS QUERIES")}[DATABASE]
    names = {name for name, _ in continuous_queries()} | set(OWN)
    checks.equal("continuous queries", {name for name, _ in stored}, names)
    checks.true("they read autogen", all(f"FROM {DATABASE}.autogen.upgrade_request" in text for _, text in stored))

    old = generate(1)[0].line()
    status, body = influx.write([old])
    checks.true("a report older than 90 days is refused", status == 400 and "beyond retention policy" in body)


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
    """Lets InfluxDB run the continuous queries, with periods of 5 seconds. A stall makes it skip some."""
    seconds = 5
    first = [r for r in reports if r.time < (START + PERIOD) * 10**9]
    want = history(first)

    def attempt(database):
        """Returns what InfluxDB wrote into each measurement, and what it should have written."""
        setup = QUERIES.split("-- Part 2")[0].replace(DATABASE, database)
        setup = setup.replace("time(8h)", f"time({seconds}s)").replace("time(7d, 4d)", f"time({seconds}s)")
        checks.equal("setup of the short periods", influx.errors(setup, database), [])
        # The first period of the generated reports, compressed into the next period.
        begin = (int(time.time()) // seconds + 1) * seconds
        compressed = [replace(r, time=begin * 10**9 + (r.time - START * 10**9) * seconds // PERIOD) for r in first]
        influx.write([r.line() for r in compressed], database)
        rows = {m: {(tag, begin): row for (tag, at), row in want[m].items() if at == START} for m in want}

        def written():
            tag = dict.fromkeys(want, "") | {"clusters_by_version": ' GROUP BY "app_version"'}
            return {m: influx.rows(f'SELECT * FROM "history"."{m}"{tag[m]}', database) for m in want}

        wait_until(lambda: written() == rows, 6 * seconds)
        return written(), rows

    # Try again in a new period if the machine was too slow for one.
    for number in range(3):
        got, rows = attempt(f"live{number}")
        if got == rows:
            break
    for measurement in want:
        checks.equal(f"{measurement}, written by InfluxDB", got[measurement], rows[measurement])
    once = last_of_each(first, START, START + PERIOD)
    checks.equal("clusters in it", want["fleet"]["", START]["clusters"], len(once))


def expected(name, reports, tables, begin, end, **patterns):
    """Returns the expected result of a named query for one window."""

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
            row = found([r for r in once if all(re.fullmatch(p, getattr(r, field)) for field, p in patterns.items())])
            return {("", begin): row} if row else {}
        case "versions in use":
            return {r.version for r in reports}
        case "CNIs in use":
            return {r.cni for r in once}
        case "operating systems in use":
            return {r.os for r in once}


# Windows: everything, half, a day, a period, and one that begins and ends inside periods.
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

    filters = [{"version": re.escape(version)} for version in VERSIONS]
    filters += [{"cni": cni} for cni in sorted(set(CNIS))] + [{"os": system} for system in sorted(set(SYSTEMS))]
    filters += [{"version": r"v1\.36\..*"}, {"cni": "multus,.*"}]
    filters += [{"version": ".*rke2r1", "cni": "canal|cilium", "os": "sles"}]
    for begin, end in WINDOWS:
        for patterns in filters:
            got = influx.rows(in_window(queries["find"], begin, end, **patterns))
            want = expected("find", reports, tables, begin, end, **patterns)
            checks.equal(f"find {patterns} from {begin} to {end}", got, want)


def check_warnings(checks, influx, reports):
    """Checks that the queries that comments and pages warn about return the wrong numbers that they describe."""
    window = f"time >= {START}s AND time < {END}s"
    clusters = len({r.cluster for r in reports})
    checks.true("there is more than one report a cluster", len(reports) > 10 * clusters)

    last = 'SELECT last("node_count") AS "n" FROM "upgrade_request"'
    got = influx.rows(
        f'SELECT count("n") AS "clusters" FROM ({last} GROUP BY "clusteruuid") WHERE {window} GROUP BY "app_version"'
    )
    got = {tag: row["clusters"] for (tag, _), row in got.items()}
    pairs = Counter(version for _, version in {(r.cluster, r.version) for r in reports})
    checks.equal("grouped by version, an upgraded cluster counts twice", got, dict(pairs))
    checks.true("which is too many", sum(pairs.values()) > clusters)

    inside = f'{last} WHERE {window} AND "cni_plugin" = \'canal\' GROUP BY "clusteruuid"'
    got = influx.rows(f'SELECT count("n") AS "clusters" FROM ({inside})')
    got = [row["clusters"] for row in got.values()]
    ever = len({r.cluster for r in reports if r.cni == "canal"})
    now = len([r for r in last_of_each(reports, START, END) if r.cni == "canal"])
    checks.equal("filtered inside, a cluster counts under every CNI it had", got, [ever])
    checks.true("which is too many", ever > now)

    own = re.sub(" INTO \\w+", "", OWN["cq_by_app_version_down_sampling"].format(period="8h"))
    got = {key: row["total"] for key, row in influx.rows(between(own, START, END)).items() if row["total"]}
    counted = Counter((r.version, r.time // 10**9 // PERIOD * PERIOD) for r in reports)
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
                # Shows the last complete period, at any time within the next one.
                checks.equal(f"{title}: time", panel["timeFrom"], "16h")
                checks.equal(f"{name}: time", re.findall(r"now\(\) - (\w+)", named_queries()[name]), ["16h"])
                windows = [(now - 2 * PERIOD + 1, now + 1) for now in (END, END + 1, END + 4 * HOUR, END + PERIOD - 1)]
                for begin, end in windows:
                    periods = {at for _, at in expected(name, reports, tables, begin, end)}
                    checks.equal(f"{title}: the period shown", periods, {END - PERIOD})
            for begin, end in windows:
                got = influx.rows(in_window(query, begin, end))
                checks.equal(f"{title} from {begin} to {end}", got, expected(name, reports, tables, begin, end))
    named = {name for name in names.values() if not name.endswith("in use")}
    checks.equal("queries on the dashboard", shown, named)


def clusters_stored(influx):
    clusters = 'SELECT last("node_count") AS "n" FROM "upgrade_request" GROUP BY "clusteruuid"'
    return influx.column(f'SELECT count("n") FROM ({clusters})', 1)


def listed_clusters(influx):
    return set(influx.column('SHOW TAG VALUES FROM "upgrade_request" WITH KEY = "clusteruuid"', 1))


def check_tag_limit(checks, influxd, folder):
    """Checks that max-values-per-tag drops clusters above the limit, but only with the in-memory index."""
    # Write each cluster separately: InfluxDB compares the limit with the values from before a write.
    reports = [replace(generate(1)[0], cluster=f"cluster-{n}", time=START * 10**9 + n) for n in range(25)]
    for index, limit, want in (("inmem", 10, 10), ("inmem", 0, 25), ("tsi1", 10, 25)):
        with influxdb(influxd, folder / f"{index}-{limit}", index, limit) as influx:
            influx.results(f"CREATE DATABASE {DATABASE}")
            answers = [influx.write([report.line()]) for report in reports]
            what = f"max-values-per-tag = {limit}, {index}"
            statuses = [204] * want + [400] * (25 - want)
            checks.equal(f"{what}: answers", [status for status, _ in answers], statuses)
            refused = [body for status, body in answers if status == 400]
            checks.true(f"{what}: why", all("max-values-per-tag limit exceeded (10/10)" in body for body in refused))
            checks.equal(f"{what}: clusters stored", clusters_stored(influx), [want])


def recipe(influx, cluster):
    """Runs the commands of deploy/receiver/data.md that forget a cluster. Returns exit status and replies."""
    [script] = [block for block in re.findall(r"^```sh\n(.*?)^```", PAGES, re.M | re.S) if "uuid=" in block]
    script, urls = re.subn("http://INFLUXDB:8086", influx.url, script)
    script, uuids = re.subn("^uuid=.*", f"uuid={cluster}", script, flags=re.M)
    assert (urls, uuids) == (1, 1), script
    run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
    return run.returncode, [json.loads(line)["results"] for line in run.stdout.splitlines()]


def files_with(folder, text):
    """Returns the folders in data/DATABASE or wal/DATABASE, and the files next to them, that contain `text`."""
    found = set()
    for path in folder.rglob("*"):
        # InfluxDB deletes files while it compacts.
        with suppress(FileNotFoundError):
            if path.is_file() and text.encode() in path.read_bytes():
                found.add("/".join(path.relative_to(folder).parts[:3:2]))
    return found


def check_expiry(checks, influxd, folder):
    """Checks that InfluxDB keeps 90 days of reports, and deletes older ones with the last report of their week."""
    with influxdb(influxd, folder / "expiry") as influx:
        influx.results(QUERIES)
        influx.results(f"ALTER RETENTION POLICY autogen ON {DATABASE} DURATION INF")
        now = int(time.time())

        # InfluxDB's weeks begin on Monday; the epoch was a Thursday.
        def expires(age):
            """Returns the seconds until the week of a report of this age expires."""
            monday = 4 * DAY
            return (now - age - monday) // WEEK * WEEK + monday + WEEK - (now - 90 * DAY)

        # Leave out a week that expires while the test runs.
        ages = {f"aged-{days}": (days + 0.5) * DAY for days in range(120)}
        ages = {c: age for c, age in ages.items() if not 0 <= expires(age) < HOUR}
        report = generate(1)[0]
        influx.write([replace(report, cluster=c, time=int(now - age) * 10**9).line() for c, age in ages.items()])
        checks.equal("clusters of 120 days", clusters_stored(influx), [len(ages)])
        recipe(influx, "aged-110")
        checks.equal("one of them is forgotten", clusters_stored(influx), [len(ages) - 1])
        checks.equal("its UUID is still listed", listed_clusters(influx), set(ages))

        want = {c for c, age in ages.items() if expires(age) > 0}
        influx.results(QUERIES)
        wait_until(lambda: listed_clusters(influx) == want)
        checks.equal("clusters that did not expire", listed_clusters(influx), want)
        checks.equal("their reports", clusters_stored(influx), [len(want)])
        checks.true("90 days stay", {c for c, age in ages.items() if age < 90 * DAY} <= want)
        checks.true("97 days do not", want <= {c for c, age in ages.items() if age < 97 * DAY})
        wait_until(lambda: files_with(influx.folder, "aged-115") <= {"data/_series"})
        checks.equal("files with an expired cluster", files_with(influx.folder, "aged-115"), {"data/_series"})


def check_forgetting(checks, influxd, folder, index):
    """Checks that the recipe of deploy/receiver/data.md removes one cluster from every policy and nothing else."""
    reports = generate(clusters=40)
    series_of = Counter(cluster for cluster, *_ in {(r.cluster, r.version, r.place) for r in reports})
    forgotten, series = series_of.most_common(1)[0]
    with influxdb(influxd, folder / f"forget-{index}", index) as influx:
        what = f"forgetting, {index}"
        checks.equal(f"{what}: setup", influx.errors(QUERIES), [])
        influx.results(f"ALTER RETENTION POLICY autogen ON {DATABASE} DURATION INF")
        influx.results(f"CREATE RETENTION POLICY older ON {DATABASE} DURATION INF REPLICATION 1")
        lines = [report.line() for report in reports]
        for policy in ("autogen", "older"):
            checks.equal(f"{what}: reports in {policy}", influx.write(lines, rp=policy), (204, ""))
        for select in [select for _, select in continuous_queries()] + [s.format(period="8h") for s in OWN.values()]:
            influx.series(between(select, START, END))
        before, keys = influx.everything(), set(influx.column("SHOW SERIES"))

        def without(points):
            return Counter({p: n for p, n in points.items() if ("clusteruuid", forgotten) not in p})

        own = {key: (points - without(points)).total() for key, points in before.items()}
        sent = len([r for r in reports if r.cluster == forgotten])
        measurements = {("history", name) for name in HISTORY}
        measurements |= {("autogen", select.split(" INTO ")[1].split()[0]) for select in OWN.values()}
        want = dict.fromkeys(measurements, 0)
        want |= {(policy, "upgrade_request"): sent for policy in ("autogen", "older")}
        checks.equal(f"{what}: its points before", own, want)
        checks.equal(f"{what}: its series before", len([key for key in keys if forgotten in key]), series)
        checks.true(f"{what}: it has several", series > 1)
        others = {key: without(points) for key, points in before.items()}
        checks.true(f"{what}: other points before", all(others.values()))

        unknown = str(uuid.UUID(int=0))
        checks.equal(f"{what}: an unknown UUID", recipe(influx, unknown), (0, [[{"statement_id": 0}]] * 3))
        status, replies = recipe(influx, "")
        checks.true(f"{what}: no UUID is an error", status != 0 and not replies)
        checks.true(f"{what}: neither changes anything", influx.everything() == before)

        status, [shown, dropped, left] = recipe(influx, forgotten)
        checks.equal(f"{what}: status", status, 0)
        listed = {values[0] for row in shown[0].get("series", []) for values in row["values"]}
        checks.equal(f"{what}: series shown", listed, {key for key in keys if forgotten in key})
        checks.equal(f"{what}: replies", [dropped, left], [[{"statement_id": 0}]] * 2)

        after = influx.everything()
        for key, points in others.items():
            checks.true(f"{what}: {key} has the other points and no more", after.get(key) == points)
        checks.equal(f"{what}: nothing else is there", set(after), set(others))
        checks.equal(f"{what}: other series", set(influx.column("SHOW SERIES")), keys - listed)
        clusters = {r.cluster for r in reports} - {forgotten}
        # InfluxDB #10285: a tag can keep a value without any series.
        checks.equal(f"{what}: other UUIDs listed", listed_clusters(influx) - {forgotten}, clusters)

        wait_until(lambda: files_with(influx.folder, forgotten) <= {"data/_series"})
        checks.equal(f"{what}: files with the UUID", files_with(influx.folder, forgotten), {"data/_series"})
        backup = folder / f"backup-{index}"
        subprocess.run([influxd, "backup", "-portable", "-host", influx.rpc, backup], check=True, capture_output=True)

    with influxdb(influxd, folder / f"forget-{index}", index) as influx:
        what = f"forgetting, {index}, after a restart"
        checks.true(f"{what}: the same points", influx.everything() == after)
        checks.equal(f"{what}: the same series", set(influx.column("SHOW SERIES")), keys - listed)
        kept = {forgotten} if index == "tsi1" else set()
        checks.equal(f"{what}: UUIDs listed", listed_clusters(influx), clusters | kept)
        again = next(r for r in reports if r.cluster == forgotten)
        influx.write([again.line()])
        checks.equal(f"{what}: a cluster that reports again is back", clusters_stored(influx), [len(clusters) + 1])

    with influxdb(influxd, folder / f"restored-{index}", index) as influx:
        what = f"forgetting, {index}, restored"
        command = [influxd, "restore", "-portable", "-host", influx.rpc, backup]
        subprocess.run(command, check=True, capture_output=True)
        wait_until(lambda: not influx.errors("SHOW MEASUREMENTS"))
        checks.true(f"{what}: the same points", influx.everything() == after)
        checks.equal(f"{what}: UUIDs listed", listed_clusters(influx), clusters)
        checks.equal(f"{what}: files with the UUID", files_with(influx.folder, forgotten), set())
        queries = [values for row in influx.series("SHOW CONTINUOUS QUERIES") for values in row.get("values", [])]
        checks.equal(f"{what}: continuous queries", queries, [])


def main(influxd):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    checks = Checks()
    reports = generate()
    tables = history(reports)
    check_files(checks, reports)
    check_numbers(checks)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        with influxdb(influxd, folder / "main") as influx:
            check_setup(checks, influx)
            # The reports are older than 90 days, since their time is fixed.
            influx.results(f"ALTER RETENTION POLICY autogen ON {DATABASE} DURATION INF")
            lines = [report.line() for report in reports]
            for begin in range(0, len(lines), 5000):
                checks.equal("reports are stored", influx.write(lines[begin : begin + 5000]), (204, ""))
            check_history(checks, influx, tables)
            check_queries(checks, influx, reports, tables)
            check_dashboard(checks, influx, reports, tables)
            check_warnings(checks, influx, reports)
            check_running(checks, influx, reports)
        check_tag_limit(checks, influxd, folder)
        check_expiry(checks, influxd, folder)
        for index in ("tsi1", "inmem"):
            check_forgetting(checks, influxd, folder, index)
    print(f"{len(reports)} reports of {len({r.cluster for r in reports})} clusters")
    print(f"{checks.passed} passed, {checks.failed} failed")
    return checks.failed > 0 or checks.passed == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

# `just` lists the recipes. CI runs them through `.ci/run`.

# List the recipes
default:
    @just --list --unsorted

# Run with these arguments, such as: just run --dry-run --kubeconfig ~/.kube/config
run *args:
    cargo run --release -- {{ args }}

# Print the report of a recorded cluster
dry-run cluster="rke2-canal-ha":
    cargo run --release -- --dry-run --recorded testdata/clusters/{{ cluster }}

# Send the recorded clusters to a receiver on this machine, and print what its operator sees
demo:
    cargo run --release --example demo

# Record a cluster for testdata, such as: just record testdata/clusters/mine --kubeconfig ~/.kube/config
record *args:
    cargo run --example record -- {{ args }}

# Run the tests
test *args:
    cargo test {{ args }}

# Check format and lints, with warnings denied
lint:
    cargo fmt --check
    cargo clippy --locked --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items --quiet

# Check format and lints of the scripts
lint-scripts:
    tests/lint-scripts

# Check the workflows with zizmor
lint-workflows *tools:
    tests/lint-workflows {{ tools }}

# Rewrite the expected payloads of testdata/clusters; read the diff
bless:
    BLESS=1 cargo test --test golden

# Render the chart into deploy/upgrade-responder.yaml
manifest:
    deploy/render

# Check the chart and what it renders against Kubernetes' schemas and our own rules
validate:
    tests/chart/validate

# Rewrite the expected renderings of the chart in tests/chart/renderings; read the diff
bless-chart:
    tests/chart/validate bless

# Compare what chart, responder and manifest writer accept, and what the writer prints with what the chart renders
compare:
    cargo build
    bin=${CARGO_TARGET_DIR:-target}/debug; tests/chart/validate compare "$bin/metrics-responder" "$bin/metrics-responder-manifest"

# Check the systemd drop-ins
systemd:
    cargo build
    tests/systemd "${CARGO_TARGET_DIR:-target}/debug/metrics-responder-manifest"

# Check the man pages that a release makes of --help
man:
    deploy/tools/packages mandoc:mandoc
    cargo run --quiet -- --help \
        | deploy/release/man.py metrics-responder 0.0.0 2000-01-01 | mandoc -T lint -W warning
    cargo run --quiet --bin metrics-responder-manifest -- --help \
        | deploy/release/man.py metrics-responder-manifest 0.0.0 2000-01-01 | mandoc -T lint -W warning

# Run the tests with AWS-LC's FIPS module; needs cmake, Go, make and Perl
test-fips *args:
    deploy/tools/packages cmake:cmake golang-go:go make:make perl:perl
    cargo test --locked --features fips --target-dir "${CARGO_TARGET_DIR:-target}/fips" {{ args }}

# Build with the oldest Rust that Cargo.toml promises
msrv:
    deploy/release/msrv

# Build the static binaries for amd64 and arm64; FIPS=1 uses AWS-LC's FIPS module, here and in `image` and `airgap`
static:
    deploy/image/build

# Assemble both images from the static binaries and check them
image: static
    deploy/image/images

# Write the tarballs, image lists and sums for air-gapped nodes into target/dist
airgap:
    deploy/image/airgap

# Write the files of a release into target/dist: binaries, SBOM, licences, man pages, chart, air-gap tarballs, sums
dist:
    deploy/release/dist

# Check that this commit can be released as this tag, such as v1.2.3: versions, changelog, no changed file
[no-exit-message]
release-check tag:
    @deploy/release/check {{ tag }}

# Print the notes of a release, out of the changelog
[no-exit-message]
release-notes version:
    @deploy/release/notes {{ version }}

# Test the scripts of a release on bad input
release-test:
    tests/release

# Push what `just dist` wrote to a registry on this machine, as a release does
release-push:
    tests/push

# Build the last commit twice, in different places, and compare the bytes; FIPS=1 uses AWS-LC's FIPS module
reproducible *arch:
    deploy/release/reproducible {{ arch }}

# List the pinned tools that have a newer version
[no-exit-message]
outdated:
    @deploy/tools/outdated

# Check licences, bans, duplicates, sources and the direct dependencies; --advisories also fails on known flaws
supply-chain *args:
    deploy/release/supply-chain {{ args }}

# Run the image once in a cluster (kind, k3d, or current with IMAGE= and RECEIVER=) and compare what the receiver gets
smoke cluster="kind":
    tests/smoke {{ cluster }}

# Measure the cost of a run beside curl's, and write the figures into the documents; with --check, hold its budgets
bench *args:
    tests/bench/run {{ args }}

# Count the instructions of a run over this many recorded nodes
profile nodes="5000":
    tests/bench/profile {{ nodes }}

# Fuzz every target, or these, for this many minutes; findings become tests
fuzz minutes="1" *targets:
    tests/fuzz/run {{ minutes }} {{ targets }}

# Change the program in one place at a time, and expect a test to fail
mutants *args:
    tests/mutants {{ args }}

# Test the receiver's queries and commands on a real InfluxDB
receiver:
    tests/receiver/run

# Run all of CI
ci:
    .ci/run

# The entry to everything: `just` lists it. CI runs the same commands through `.ci/run`.

# List the recipes
default:
    @just --list --unsorted

# Run with these arguments, such as: just run --dry-run --kubeconfig ~/.kube/config
run *args:
    cargo run --release -- {{ args }}

# Print the report of a recorded cluster
dry-run cluster="rke2-canal-ha":
    cargo run --release -- --dry-run --recorded testdata/clusters/{{ cluster }}

# Run the tests
test *args:
    cargo test {{ args }}

# Check format and lints, with warnings denied
lint:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --quiet

# Write the expected payloads of testdata/clusters anew; read the diff
bless:
    BLESS=1 cargo test --test golden

# Render the chart into deploy/upgrade-responder.yaml
manifest:
    .ci/deploy/render

# Check the chart and what it renders against Kubernetes' schemas and our own rules
validate:
    .ci/deploy/validate

# Build the static binaries for amd64 and arm64
static:
    .ci/deploy/build

# Assemble both images out of the static binaries, and prove what is in them
image: static
    .ci/deploy/image

# Write the tarballs, image lists and sums for air-gapped nodes into dist/
airgap:
    .ci/deploy/airgap

# Write all that a release has into dist/: binaries, SBOM, man page, chart, air-gap tarballs, sums
dist:
    .ci/dist

# Check licences, bans, duplicates, sources, known flaws and the direct dependencies
supply-chain *args:
    .ci/supply-chain {{ args }}

# Run the image once in a cluster (kind, k3d, or current with IMAGE= and RECEIVER=) and compare what arrives
smoke cluster="kind":
    .ci/smoke {{ cluster }}

# Measure what a run costs beside curl, and write the table into the README
bench:
    .ci/bench

# Count the instructions of a run over so many recorded nodes; unlike time, the same each time
profile nodes="5000":
    .ci/profile {{ nodes }}

# Fuzz every target for so many minutes; what is found stays as a test
fuzz minutes="1" *targets:
    .ci/fuzz {{ minutes }} {{ targets }}

# Test the receiver's queries on a real InfluxDB
receiver:
    .ci/receiver/test

# Do all that CI does
ci:
    .ci/run

# The entry to everything: `just` lists it. CI runs the same recipes through `.ci/run`.

amd64 := "x86_64-unknown-linux-musl"
arm64 := "aarch64-unknown-linux-musl"

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

# Do all that CI does
ci:
    .ci/run

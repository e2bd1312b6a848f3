# Commands of everyday work; `just` alone lists them. `pip install rust-just` or `cargo install just` brings it.

# Words with blanks in them stay words.
set positional-arguments

_default:
    @just --list

# A whole cycle of two calls with five partners, then a running exchange to try by hand
demo *ARGS:
    cargo run -- demo "$@"

# All tests; PostgreSQL is used where it is installed
test *ARGS:
    cargo test "$@"

# Everything that must hold before a change lands
ci:
    .ci/run

# PostgreSQL, exchange and development PKI on this machine, without containers
up-local *ARGS:
    scripts/up-local "$@"

# The same in containers
up: certs
    docker compose up --build

# A development PKI for the containers, once
certs:
    test -d certs-dev/out || cargo run --quiet -- dev-pki certs-dev/out

# What is generated from the code; built first, so that a build that fails leaves the pages as they are
generate:
    cargo build --quiet --bin entente-server
    cargo run --quiet --bin entente-server -- openapi > docs/openapi.json
    cargo run --quiet --bin entente-server -- problems > docs/problems.md

# Format and lint
tidy:
    cargo fmt
    cargo clippy --all-targets

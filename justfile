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

# The unit tests and those of the sources as text: what is worth running after every change
test-quick *ARGS:
    cargo test --lib "$@"
    cargo test --test it -- architecture generated

# Everything that must hold before a change lands
ci:
    .ci/run

# PostgreSQL, exchange and development PKI on this machine, without containers
up-local *ARGS:
    scripts/up-local "$@"

# The same in containers
up: certs
    ENTENTE_COMMIT="$(git rev-parse HEAD)" docker compose up --build

# A development PKI for the containers, once
certs:
    test -d certs-dev/out || cargo run --quiet -- dev-pki certs-dev/out

# What is generated from the code; built first, so that a build that fails leaves the pages as they are
generate:
    cargo build --quiet --bin entente-server
    cargo run --quiet --bin entente-server -- openapi > docs/openapi.json
    cargo run --quiet --bin entente-server -- problems > docs/problems.md
    cargo run --quiet --bin entente-server -- statements > docs/statements.md

# Begin the next decision: `just adr 'What is decided'`
adr TITLE:
    #!/usr/bin/env bash
    set -euo pipefail
    last=$(ls docs/adr | sed -n 's/^0*\([0-9]*\)-.*/\1/p' | sort -n | tail -n 1)
    slug=$(printf '%s' "$1" | tr '[:upper:]' '[:lower:]' | tr -cs 'a-z0-9' '-' | sed 's/^-//; s/-$//')
    file=$(printf 'docs/adr/%04d-%s.md' "$((last + 1))" "$slug")
    printf '# %d. %s\n\n## Context\n\n## Decision\n\n## Consequences\n' "$((last + 1))" "$1" >"$file"
    echo "$file"

# Begin the next migration, for both engines: `just migration what_it_adds`
migration NAME:
    #!/usr/bin/env bash
    set -euo pipefail
    last=$(ls migrations/sqlite | sed -n 's/^0*\([0-9]*\)_.*/\1/p' | sort -n | tail -n 1)
    name=$(printf '%04d_%s' "$((last + 1))" "$1")
    for engine in sqlite postgres; do
        echo '-- What it is for, and what becomes of rows that are there.' >"migrations/$engine/$name.sql"
        echo "migrations/$engine/$name.sql"
    done
    echo "add to \`ALL\` in src/storage/migrations.rs: migration!($((last + 1)), \"$1\", \"$name\"),"

# One benchmark, beside its peer where there is one: attacks, inbox, lists, preview, transfer or turns
bench NAME *ARGS:
    cargo bench --bench "$1" -- "${@:2}"

# Fuzz what parses bytes from outside: age_header, anchors, bodies, held_keys, policies or statements; needs nightly and `cargo install cargo-fuzz`
fuzz TARGET *ARGS:
    cd fuzz && dictionary="dictionaries/$1" && \
        cargo +nightly fuzz run --sanitizer none "$1" -- $([ ! -f "$dictionary" ] || echo "-dict=$dictionary") "${@:2}"

# Format and lint
tidy:
    cargo fmt
    cargo clippy --all-targets

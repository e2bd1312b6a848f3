# syntax=docker/dockerfile:1
# The exchange alone: built without a line of code that could open a document, run by nobody in particular.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
# Not `rust-toolchain.toml`: the image is the toolchain, and rustup would fetch one with the tools of development.
COPY Cargo.toml Cargo.lock ./
# Not built here, but cargo wants every target that `Cargo.toml` names.
COPY benches benches
COPY examples examples
COPY src src
COPY migrations migrations
COPY policies policies
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --profile dist --locked --no-default-features --features server --bin entente-server \
    && cp target/dist/entente-server /entente-server

FROM debian:12-slim
COPY --from=build /entente-server /usr/local/bin/entente-server
# The folder exists with its owner, so that a fresh volume mounted over it gets that owner.
RUN install -d -o 65532 -g 65532 -m 0700 /var/lib/entente
USER 65532:65532
EXPOSE 8443
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/entente-server"]
CMD ["--config", "/etc/entente/server.toml"]

# syntax=docker/dockerfile:1
# The exchange alone, built without a line of code that could open a document. The image contains one static program and a
# folder for data: no shell, no libraries and no accounts.
#
#   docker build --build-arg ENTENTE_COMMIT="$(git rev-parse HEAD)" --tag entente-server .

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends musl-tools \
    && rm -rf /var/lib/apt/lists/* \
    && rustup target add "$(uname -m)-unknown-linux-musl"
WORKDIR /src
# Not `rust-toolchain.toml`: the image is the toolchain, and rustup would fetch one with the tools of development.
COPY Cargo.toml Cargo.lock askama.toml ./
# Not built here, but cargo wants every target that `Cargo.toml` names.
COPY benches benches
COPY examples examples
COPY src src
COPY migrations migrations
COPY policies policies
# What `--version` says.
ARG ENTENTE_COMMIT=""
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    target="$(uname -m)-unknown-linux-musl" \
    && cargo build --profile dist --locked --target "$target" --no-default-features --features server --bin entente-server \
    && install -D "target/$target/dist/entente-server" /image/entente-server \
    && install -d -m 0700 /data/entente

FROM scratch
COPY --from=build /image/entente-server /usr/bin/entente-server
# The folder exists with its owner, so that a fresh volume mounted over it gets that owner.
COPY --from=build --chown=65532:65532 /data /var/lib
ENV ENTENTE_CONFIG=/etc/entente/server.toml
USER 65532:65532
EXPOSE 8443
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=10s --start-period=15m --retries=3 CMD ["/usr/bin/entente-server", "health"]
ENTRYPOINT ["/usr/bin/entente-server"]

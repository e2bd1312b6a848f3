"""The connection to the exchange, and an answer or the refusal of each request.

The functions of `exchange_client` come from `docs/openapi.json` by a generator. This module adds mutual TLS, the
`Idempotency-Key` of each change, pages, and uploads by tus.
"""

from __future__ import annotations

import os
import secrets
import ssl
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from exchange_client import Client
from exchange_client.models import Problem
from tusclient.client import TusClient


def connect() -> Client:
    """A client that shows the member's certificate. `EXCHANGE_CA` has the CA of the exchange's own certificate."""
    context = ssl.create_default_context(cafile=os.environ["EXCHANGE_CA"])
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(os.environ["CERT"], os.environ["KEY"])
    return Client(base_url=os.environ["EXCHANGE"], verify_ssl=context, timeout=60)


def upload_to(path: str) -> TusClient:
    """A client of tus for one upload, which goes on at the byte reached: its key is that of beginning it."""
    # The library that it uses reads the CA from here alone.
    os.environ["REQUESTS_CA_BUNDLE"] = os.environ["EXCHANGE_CA"]
    headers = {"Idempotency-Key": secrets.token_hex(16)}
    certificate = (os.environ["CERT"], os.environ["KEY"])
    return TusClient(os.environ["EXCHANGE"] + path, headers=headers, client_cert=certificate)


def answer(request: Callable[..., Any], /, *arguments: str, **options: Any) -> Any:
    """The answer to a request. A refusal ends the program with its reason and remedy."""
    return accepted(request(*arguments, **options))


def accepted(answered: Any) -> Any:
    """What a request was answered with, unless it is a refusal, which ends the program with its reason and remedy."""
    if isinstance(answered, Problem):
        sys.exit(f"{answered.title}: {answered.detail}\n{answered.remedy}")
    return answered


def change(operation: ModuleType, /, *arguments: str, **options: Any) -> Any:
    """The answer to a change. To repeat a change whose answer was lost, send the same request with the same key."""
    return answer(operation.sync, *arguments, idempotency_key=secrets.token_hex(16), **options)


def pages(operation: ModuleType, /, *arguments: str, **options: Any) -> Iterator[Any]:
    """The items of a list, page by page. A page can be empty and still have a `next`."""
    while True:
        page = answer(operation.sync, *arguments, **options)
        yield from page.items
        if not page.next_:
            return
        options["cursor"] = page.next_

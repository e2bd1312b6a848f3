"""Begins an upload, stops after a thousand bytes, and goes on with another uploader: what it was told of the offset."""

import io
import sys

from exchange import upload_to

path, file = sys.argv[1:]
with open(file, "rb") as opened:
    sealed = opened.read()
client = upload_to(path)
metadata = {"media_type": "application/octet-stream"}
begun = client.uploader(file_stream=io.BytesIO(sealed), metadata=metadata, chunk_size=1000)
begun.upload_chunk()
going_on = client.uploader(file_stream=io.BytesIO(sealed), url=begun.url, chunk_size=50_000)
print(going_on.offset, end=" ")
going_on.upload()
print(going_on.offset)

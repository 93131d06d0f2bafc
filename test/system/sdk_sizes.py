"""Uploads each file of a folder by the official SDK, reads it back, and prints a line of JSON for
each: {"name", "filename", "bytes", "sha256"}, or {"name", "status"} if it is refused."""

import hashlib
import json
import os
import sys

import openai

client = openai.OpenAI()
folder = sys.argv[1]
for name in sorted(os.listdir(folder)):
    try:
        with open(os.path.join(folder, name), "rb") as file:
            created = client.files.create(file=file, purpose="user_data")
        sha256 = hashlib.sha256()
        with client.files.with_streaming_response.content(created.id) as response:
            for piece in response.iter_bytes():
                sha256.update(piece)
        client.files.delete(created.id)
        outcome = {
            "filename": created.filename,
            "bytes": created.bytes,
            "sha256": sha256.hexdigest(),
        }
    except openai.APIStatusError as error:
        outcome = {"status": error.status_code}
    print(json.dumps({"name": name, **outcome}), flush=True)

"""Uploads in parts through the official package; see openai-python.test.ts."""

import asyncio
import hashlib
import os
import pathlib
import tempfile

import openai
from cases import case, equal, raises

client = openai.OpenAI(max_retries=0)
# No part of it is like another, and the last is smaller.
content = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(10_000)) + b"end"
part_size = 50_000
folder = pathlib.Path(tempfile.mkdtemp(dir=os.getcwd()))
path = folder / 'näme "1".bin'
path.write_bytes(content)


def md5_of(data):
    return hashlib.md5(data).hexdigest()


def became(upload, filename, expected=content):
    equal((upload.object, upload.status, upload.bytes), ("upload", "completed", len(expected)))
    file = upload.file
    equal((file.object, file.filename, file.bytes), ("file", filename, len(expected)))
    equal(client.files.retrieve(file.id), file)
    equal(client.files.content(file.id).read(), expected)
    return file


def begin(**fields):
    given = {"bytes": 6, "filename": "a.txt", "mime_type": "text/plain", "purpose": "user_data"}
    return client.uploads.create(**{**given, **fields})


@case("uploads.upload_file_chunked stores a path")
def _():
    upload = client.uploads.upload_file_chunked(
        file=path, mime_type="application/octet-stream", purpose="user_data", part_size=part_size
    )
    became(upload, 'näme "1".bin')


@case("uploads.upload_file_chunked stores a path whose MD5 is known")
def _():
    upload = client.uploads.upload_file_chunked(
        file=path,
        mime_type="application/octet-stream",
        purpose="user_data",
        part_size=part_size,
        md5=md5_of(content),
    )
    became(upload, 'näme "1".bin')


@case("uploads.upload_file_chunked stores bytes")
def _():
    upload = client.uploads.upload_file_chunked(
        file=content,
        filename="文 書.pkl",
        bytes=len(content),
        mime_type="application/octet-stream",
        purpose="assistants",
        part_size=part_size,
        md5=md5_of(content),
    )
    equal(became(upload, "文 書.pkl").purpose, "assistants")


@case("uploads.upload_file_chunked stores bytes whose parts repeat")
def _():
    zeros = bytes(3 * part_size + 1)
    upload = client.uploads.upload_file_chunked(
        file=zeros,
        filename="zeros.bin",
        bytes=len(zeros),
        mime_type="application/octet-stream",
        purpose="user_data",
        part_size=part_size,
        md5=md5_of(zeros),
    )
    became(upload, "zeros.bin", zeros)


@case("uploads.upload_file_chunked stores an empty file")
def _():
    empty = folder / "empty.txt"
    empty.write_bytes(b"")
    upload = client.uploads.upload_file_chunked(
        file=empty, mime_type="text/plain", purpose="user_data", md5=md5_of(b"")
    )
    became(upload, "empty.txt", b"")


@case("uploads.upload_file_chunked does it all in the async client")
def _():
    async def all_of_it():
        async with openai.AsyncOpenAI(max_retries=0) as asynchronous:
            return await asynchronous.uploads.upload_file_chunked(
                file=path,
                mime_type="application/octet-stream",
                purpose="user_data",
                part_size=part_size,
                md5=md5_of(content),
            )

    became(asyncio.run(all_of_it()), 'näme "1".bin')


@case("uploads passes the strict validation of answers")
def _():
    strict = openai.OpenAI(max_retries=0, _strict_response_validation=True)
    given = {"filename": "a.txt", "mime_type": "text/plain", "purpose": "user_data"}
    upload = strict.uploads.create(bytes=1, **given)
    equal((upload.status, upload.file), ("pending", None))
    part = strict.uploads.parts.create(upload.id, data=b"a")
    equal((part.object, part.upload_id), ("upload.part", upload.id))
    became(strict.uploads.complete(upload.id, part_ids=[part.id]), "a.txt", b"a")
    equal(strict.uploads.cancel(strict.uploads.create(bytes=1, **given).id).status, "cancelled")


@case("uploads.create sets when the file expires, counted from the completion")
def _():
    upload = begin(bytes=0, expires_after={"anchor": "created_at", "seconds": 3600})
    file = client.uploads.complete(upload.id, part_ids=[]).file
    equal(file.expires_at, file.created_at + 3600)


# Every refusal is final, so a client with the default retries asks once.

with_retries = openai.OpenAI()
asked = []
with_retries._client.event_hooks["request"] = [lambda request: asked.append(request)]


def refused(message, operation, param, kind=openai.BadRequestError):
    asked.clear()
    with raises(kind) as caught:
        operation()
    equal((caught.error.param, len(asked)), (param, 1))
    assert caught.error.request_id.startswith("req_"), caught.error.request_id
    assert message in caught.error.message, caught.error.message


@case("uploads BadRequestError: bytes that are not those of the MD5")
def _():
    upload = begin()
    part = client.uploads.parts.create(upload.id, data=b"abcdef")
    with raises(openai.BadRequestError) as caught:
        client.uploads.upload_file_chunked(
            file=path,
            mime_type="application/octet-stream",
            purpose="user_data",
            part_size=part_size,
            md5=md5_of(b"other"),
        )
    equal(caught.error.param, "md5")
    refused(
        f"The MD5 of the content is {md5_of(b'abcdef')}, not {md5_of(b'abcdee')}.",
        lambda: with_retries.uploads.complete(
            upload.id, part_ids=[part.id], md5=md5_of(b"abcdee")
        ),
        "md5",
    )
    became(
        client.uploads.complete(upload.id, part_ids=[part.id], md5=md5_of(b"abcdef")),
        "a.txt",
        b"abcdef",
    )


@case("uploads BadRequestError: parts that are missing")
def _():
    upload = begin()
    first = client.uploads.parts.create(upload.id, data=b"abc")
    refused(
        "The parts have 3 bytes together, and 6 were declared for the Upload.",
        lambda: with_retries.uploads.complete(upload.id, part_ids=[first.id]),
        "part_ids",
    )
    second = client.uploads.parts.create(upload.id, data=b"def")
    completed = client.uploads.complete(upload.id, part_ids=[second.id, first.id])
    became(completed, "a.txt", b"defabc")


@case("uploads BadRequestError: a path that has grown since its size was asked for")
def _():
    refused_size = len(content) - 1
    with raises(openai.BadRequestError) as caught:
        client.uploads.upload_file_chunked(
            file=path,
            bytes=refused_size,
            mime_type="application/octet-stream",
            purpose="user_data",
            part_size=part_size,
        )
    expected = f"more bytes than the {refused_size} that were declared"
    assert expected in caught.error.message, caught.error.message


@case("uploads BadRequestError: what is cancelled")
def _():
    upload = begin()
    equal(client.uploads.cancel(upload.id).status, "cancelled")
    for operation in [
        lambda: with_retries.uploads.parts.create(upload.id, data=b"abcdef"),
        lambda: with_retries.uploads.complete(upload.id, part_ids=[]),
        lambda: with_retries.uploads.cancel(upload.id),
    ]:
        refused(f"Upload {upload.id} is cancelled.", operation, "upload_id")


@case("uploads NotFoundError: no such Upload")
def _():
    for operation in [
        lambda: with_retries.uploads.parts.create("upload_none", data=b"a"),
        lambda: with_retries.uploads.complete("upload_none", part_ids=[]),
        lambda: with_retries.uploads.cancel("upload_none"),
    ]:
        refused(
            "No such Upload object: upload_none", operation, "upload_id", openai.NotFoundError
        )

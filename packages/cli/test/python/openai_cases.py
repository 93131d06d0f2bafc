"""Drives a server through the official package; see openai-python.test.ts."""

import asyncio
import io
import os
import pathlib
import tempfile

import openai
from cases import api_key, base_url, case, equal, raises

client = openai.OpenAI(max_retries=0)
content = "bytes of a file: é 漢 \0 ".encode() * 10_000
batch_line = (
    b'{"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": {"model": "gpt-4o"}}\n'
)
folder = pathlib.Path(tempfile.mkdtemp(dir=os.getcwd()))
path = folder / 'näme "1".bin'
path.write_bytes(content)


def stores(file, filename, **options):
    stored = client.files.create(file=file, purpose="user_data", **options)
    equal((stored.object, stored.filename, stored.bytes), ("file", filename, len(content)))
    equal(client.files.content(stored.id).read(), content)
    return stored


# The lists come first, while the store has nothing but their own files.


def create_many(count):
    return [
        client.files.create(
            file=(f"{number}.txt", b"%d" % number),
            purpose="assistants" if number % 3 == 0 else "user_data",
        )
        for number in range(count)
    ]


def ids_of(files):
    return [file.id for file in files]


created = []


@case("files.list gives an empty page before there is a file")
def _():
    page = client.files.list()
    equal((page.data, page.has_more), ([], False))


@case("files.list goes through all pages, newest first")
def _():
    created.extend(create_many(25))
    equal(ids_of(client.files.list()), ids_of(reversed(created)))
    pages = list(client.files.list(limit=7).iter_pages())
    equal([len(page.data) for page in pages], [7, 7, 7, 4])
    equal(ids_of(file for page in pages for file in page.data), ids_of(reversed(created)))


@case("files.list goes through all pages, oldest first")
def _():
    equal(ids_of(client.files.list(limit=7, order="asc")), ids_of(created))


@case("files.list goes through all pages of one purpose")
def _():
    some = [file for file in created if file.purpose == "assistants"]
    equal(len(some), 9)
    equal(ids_of(client.files.list(limit=4, order="asc", purpose="assistants")), ids_of(some))


@case("files.list begins after a file")
def _():
    equal(ids_of(client.files.list(after=created[19].id, order="asc")), ids_of(created[20:]))


@case("files.list gives every file once to who deletes them on the way")
def _():
    deleted = []
    for file in client.files.list(limit=7):
        client.files.delete(file.id)
        deleted.append(file.id)
    equal(deleted, ids_of(reversed(created)))
    equal(ids_of(client.files.list()), [])


@case("files.create stores a path")
def _():
    stores(path, 'näme "1".bin')


@case("files.create stores bytes")
def _():
    stores(content, "upload")


@case("files.create stores an open file")
def _():
    with open(path, "rb") as file:
        stores(file, 'näme "1".bin')


@case("files.create stores a tuple with a name")
def _():
    stores(("文 書.bin", content), "文 書.bin")


@case("files.create stores a tuple with a name and a type")
def _():
    stores(("typed.bin", io.BytesIO(content), "image/png"), "typed.bin")


@case("files.create stores a BytesIO")
def _():
    stores(io.BytesIO(content), "upload")


@case("files.create stores an empty file")
def _():
    stored = client.files.create(file=("empty.txt", b""), purpose="user_data")
    equal((stored.bytes, client.files.content(stored.id).read()), (0, b""))


@case("files.create keeps every purpose that it is given")
def _():
    for purpose, file in {
        "assistants": ("notes.txt", b"Some text."),
        "batch": ("lines.jsonl", batch_line),
        "fine-tune": ("lines.jsonl", b'{"prompt": "a", "completion": "b"}\n'),
        "vision": ("pixel.gif", b"GIF89a"),
        "user_data": ("any.bin", b"\0\xff"),
        "evals": ("lines.jsonl", b'{"item": {}}\n'),
    }.items():
        stored = client.files.create(file=file, purpose=purpose)
        equal((stored.purpose, stored.status), (purpose, "processed"))


@case("files.create sets when a file expires, counted from its creation")
def _():
    stored = stores(path, path.name, expires_after={"anchor": "created_at", "seconds": 3600})
    equal(stored.expires_at, stored.created_at + 3600)


@case("files.create keeps a batch thirty days and anything else for ever")
def _():
    batch = client.files.create(file=("b.jsonl", batch_line), purpose="batch")
    equal(batch.expires_at, batch.created_at + 2_592_000)
    equal(stores(content, "upload").expires_at, None)


@case("files.retrieve gives what was created, with a request id")
def _():
    stored = stores(content, "upload")
    retrieved = client.files.retrieve(stored.id)
    equal(retrieved, stored)
    assert retrieved._request_id.startswith("req_"), retrieved._request_id


@case("files.retrieve passes the strict validation of answers")
def _():
    strict = openai.OpenAI(max_retries=0, _strict_response_validation=True)
    stored = strict.files.create(file=("a.txt", b"a"), purpose="user_data")
    equal(strict.files.retrieve(stored.id), stored)
    equal(strict.files.list(purpose="user_data", limit=1).data, [stored])
    equal(strict.files.delete(stored.id).deleted, True)


@case("files.content streams into a file")
def _():
    stored = stores(path, path.name)
    target = folder / "streamed.bin"
    with client.files.with_streaming_response.content(stored.id) as answer:
        answer.stream_to_file(target)
    equal(target.read_bytes(), content)


@case("files.content writes into a file")
def _():
    stored = stores(path, path.name)
    target = folder / "written.bin"
    client.files.content(stored.id).write_to_file(target)
    equal(target.read_bytes(), content)


@case("files.content gives text and iterates over pieces")
def _():
    answer = client.files.content(stores(path, path.name).id)
    equal(answer.text, content.decode())
    equal(b"".join(answer.iter_bytes(1000)), content)


@case("files.retrieve_content gives text")
def _():
    text = "Zeile 1\nZeile 2: naïve 漢字\n"
    stored = client.files.create(file=("t.txt", text.encode()), purpose="user_data")
    equal(client.files.retrieve_content(stored.id), text)


@case("files.retrieve_content gives lines of JSON as text")
def _():
    for text, purpose in [
        ('{"a": 1}', "fine-tune"),
        ('{"a": 1}\n{"a": 2}\n', "fine-tune"),
        ("", "user_data"),
        ("12", "user_data"),
    ]:
        stored = client.files.create(file=("t.jsonl", text.encode()), purpose=purpose)
        equal(client.files.retrieve_content(stored.id), text)


@case("files.delete makes the file unknown")
def _():
    stored = stores(content, "upload")
    deleted = client.files.delete(stored.id)
    equal((deleted.id, deleted.object, deleted.deleted), (stored.id, "file", True))
    for operation in [client.files.retrieve, client.files.content, client.files.delete]:
        with raises(openai.NotFoundError):
            operation(stored.id)


@case("files.wait_for_processing need not wait")
def _():
    stored = stores(content, "upload")
    equal(client.files.wait_for_processing(stored.id, poll_interval=60).status, "processed")


@case("the async client does all of it")
def _():
    async def all_of_it():
        async with openai.AsyncOpenAI(max_retries=0) as client:
            stored = await client.files.create(file=path, purpose="user_data")
            equal(await client.files.retrieve(stored.id), stored)
            equal((await client.files.content(stored.id)).read(), content)
            target = folder / "async.bin"
            async with client.files.with_streaming_response.content(stored.id) as answer:
                await answer.stream_to_file(target)
            equal(target.read_bytes(), content)
            others = [
                await client.files.create(file=(f"{n}.txt", b"."), purpose="user_data")
                for n in range(5)
            ]
            mine = {stored.id, *ids_of(others)}
            listed = [file.id async for file in client.files.list(limit=2, purpose="user_data")]
            equal([id for id in listed if id in mine], ids_of(reversed([stored, *others])))
            equal((await client.files.wait_for_processing(stored.id)).status, "processed")
            equal((await client.files.delete(stored.id)).deleted, True)
            with raises(openai.NotFoundError):
                await client.files.retrieve(stored.id)

    asyncio.run(all_of_it())


# Every refusal is final, so a client with the default retries asks once.

with_retries = openai.OpenAI()
asked = []
with_retries._client.event_hooks["request"] = [lambda request: asked.append(request)]


def refused(kind, status, operation, **fields):
    asked.clear()
    with raises(kind) as caught:
        operation()
    error = caught.error
    equal((error.status_code, len(asked)), (status, 1))
    assert error.request_id.startswith("req_"), error.request_id
    for name, value in fields.items():
        equal(getattr(error, name), value)
    return error


def create(**fields):
    given = {"file": ("a.txt", b"hello"), "purpose": "user_data"}
    return with_retries.files.create(**{**given, **fields})


@case("AuthenticationError: a wrong key")
def _():
    wrong = with_retries.with_options(api_key="sk-wrong")
    refused(openai.AuthenticationError, 401, wrong.files.list, code="invalid_api_key")
    large = ("large.bin", bytes(8 * 1024 * 1024))
    refused(
        openai.AuthenticationError,
        401,
        lambda: wrong.files.create(file=large, purpose="user_data"),
        code="invalid_api_key",
    )


@case("BadRequestError: an unknown purpose")
def _():
    error = refused(
        openai.BadRequestError, 400, lambda: create(purpose="fun"), param="purpose", code=None
    )
    assert "'fun' is not one of ['fine-tune', " in error.message, error.message
    equal(error.type, "invalid_request_error")


@case("BadRequestError: no purpose")
def _():
    error = refused(openai.BadRequestError, 400, lambda: create(purpose=openai.NOT_GIVEN))
    assert "'purpose' is a required property" in error.message, error.message


@case("BadRequestError: an expiry out of bounds")
def _():
    refused(
        openai.BadRequestError,
        400,
        lambda: create(expires_after={"anchor": "created_at", "seconds": 2_592_001}),
        param="expires_after.seconds",
        code="integer_above_max_value",
    )


@case("BadRequestError: content that its purpose refuses, with all that is wrong with it")
def _():
    lines = b'{"item": {}}\n{"item": 1}\n{}\n'
    error = refused(
        openai.BadRequestError,
        400,
        lambda: create(file=("lines.jsonl", lines), purpose="evals"),
        param="item",
        code=None,
        type="invalid_request_error",
    )
    told = "Line 2: 'item' must be an object. (The first of 2 faults.)"
    assert told in error.message, error.message
    body = error.response.json()
    equal(body["details_total"], 2)
    equal([fault["line"] for fault in body["details"]], [2, 3])
    equal([fault["offset"] for fault in body["details"]], [13, 25])


@case("BadRequestError: a limit of nothing")
def _():
    refused(openai.BadRequestError, 400, lambda: with_retries.files.list(limit=0))


@case("NotFoundError: no such file")
def _():
    for operation in ["retrieve", "content", "delete"]:
        error = refused(
            openai.NotFoundError,
            404,
            lambda: getattr(with_retries.files, operation)("file-none"),
            param="id",
            code=None,
        )
        assert "No such File object: file-none" in error.message, error.message


@case("NotFoundError: a list after no such file")
def _():
    refused(
        openai.NotFoundError, 404, lambda: with_retries.files.list(after="file-none"), param="after"
    )


@case("NotFoundError: no such route")
def _():
    error = refused(openai.NotFoundError, 404, with_retries.models.list)
    assert "Invalid URL (GET /v1/models)" in error.message, error.message


@case("APIStatusError 405: a method that the route does not have")
def _():
    refused(openai.APIStatusError, 405, lambda: with_retries.put("/files", cast_to=object))


@case("APIStatusError 413: a file too large")
def _():
    large = ("large.bin", bytes(4 * 1024 * 1024))
    error = refused(openai.APIStatusError, 413, lambda: create(file=large))
    equal(error.type, "invalid_request_error")


@case("APIStatusError 415: a body that is no form")
def _():
    refused(
        openai.APIStatusError,
        415,
        lambda: with_retries.post("/files", body={"purpose": "user_data"}, cast_to=object),
        code="unsupported_content_type",
    )


@case("APIStatusError 416: a range that lies outside")
def _():
    stored = stores(content, "upload")
    outside = {"Range": f"bytes={len(content)}-"}
    refused(
        openai.APIStatusError,
        416,
        lambda: with_retries.files.content(stored.id, extra_headers=outside),
        code="range_not_satisfiable",
    )


@case("APIConnectionError: nobody listens")
def _():
    nobody = client.with_options(base_url="http://127.0.0.1:9/v1")
    with raises(openai.APIConnectionError):
        nobody.files.list()

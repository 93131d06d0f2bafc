"""Drives a server through the generated client of the seed; see seed-client.test.ts."""

import os
import pathlib

import openapiopenai
from cases import api_key, base_url, case, equal, raises
from openapiopenai.exceptions import (
    ApiException,
    BadRequestException,
    NotFoundException,
    UnauthorizedException,
)


def connect(**options):
    configuration = openapiopenai.Configuration(host=base_url, **options)
    return openapiopenai.FilesApi(openapiopenai.ApiClient(configuration))


files = connect(access_token=api_key)


def written(name, content):
    """The client takes a string as the path of a file."""
    path = pathlib.Path(os.getcwd(), name)
    path.write_bytes(content)
    return str(path)


notes = written("nötes.txt", "Zeile 1\nZeile 2: naïve 漢字\n".encode())


@case("create_file stores the file of a path")
def _():
    stored = files.create_file(notes, "assistants")
    equal((stored.object, stored.purpose, stored.status), ("file", "assistants", "processed"))
    equal((stored.filename, stored.bytes), ("nötes.txt", os.path.getsize(notes)))


@case("retrieve_file gives what was created")
def _():
    stored = files.create_file(notes, "assistants")
    equal(files.retrieve_file(stored.id), stored)


@case("list_files gives the files of one purpose")
def _():
    path = written("train.jsonl", b'{"prompt": "a", "completion": "b"}\n')
    stored = files.create_file(path, "fine-tune")
    page = files.list_files(purpose="fine-tune")
    equal((page.object, page.data[0]), ("list", stored))
    equal({file.purpose for file in page.data}, {"fine-tune"})


@case("download_file gives text as it is")
def _():
    stored = files.create_file(notes, "assistants")
    equal(files.download_file(stored.id), pathlib.Path(notes).read_text())


@case("download_file gives lines of JSON as they are")
def _():
    text = '{"prompt": "a", "completion": "b"}\n{"prompt": "b", "completion": "c"}\n'
    stored = files.create_file(written("lines.jsonl", text.encode()), "fine-tune")
    equal(files.download_file(stored.id), text)


@case("download_file gives bytes that are no UTF-8 as a letter each")
def _():
    content = bytes(range(256)) * 20
    stored = files.create_file(written("bytes.pkl", content), "assistants")
    equal(files.download_file(stored.id).encode("latin-1"), content)


@case("download_file without preloading gives the very bytes")
def _():
    content = bytes(range(256)) * 20
    stored = files.create_file(written("bytes.pkl", content), "assistants")
    answer = files.download_file_without_preload_content(stored.id)
    equal(answer.read(), content)


@case("delete_file makes the file unknown")
def _():
    stored = files.create_file(notes, "assistants")
    deleted = files.delete_file(stored.id)
    equal((deleted.id, deleted.object, deleted.deleted), (stored.id, "file", True))
    for operation in [files.retrieve_file, files.download_file, files.delete_file]:
        with raises(NotFoundException):
            operation(stored.id)


@case("an id is one part of the path, whatever it holds")
def _():
    for id in ["../files", "file/none", "file none", "é", "%2e%2e", "file-none?x=1"]:
        with raises(NotFoundException) as caught:
            files.retrieve_file(id)
        assert "No such File object" in caught.error.body, caught.error.body


@case("BadRequestException: an unknown purpose")
def _():
    with raises(BadRequestException) as caught:
        files.create_file(notes, "fun")
    assert "is not one of" in caught.error.body, caught.error.body


@case("UnauthorizedException: no key, and a wrong one")
def _():
    for stranger in [connect(), connect(access_token="sk-wrong")]:
        with raises(UnauthorizedException):
            stranger.list_files()
        with raises(UnauthorizedException):
            stranger.create_file(notes, "assistants")


@case("ApiException 413: a file too large")
def _():
    with raises(ApiException) as caught:
        files.create_file(written("large.bin", bytes(4 * 1024 * 1024)), "assistants")
    equal(caught.error.status, 413)

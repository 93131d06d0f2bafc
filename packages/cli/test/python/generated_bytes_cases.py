"""What only later releases of the generated client can do: bytes without a path, and pages."""

import openapiopenai
from cases import api_key, base_url, case, equal

configuration = openapiopenai.Configuration(host=base_url, access_token=api_key)
files = openapiopenai.FilesApi(openapiopenai.ApiClient(configuration))


@case("create_file stores bytes, which have no name")
def _():
    stored = files.create_file(b"some bytes", "assistants")
    equal((stored.filename, stored.bytes), ("file", 10))
    equal(files.download_file(stored.id), "some bytes")


@case("create_file stores bytes to train with, which have no extension")
def _():
    text = '{"prompt": "a", "completion": "b"}\n'
    stored = files.create_file(text.encode(), "fine-tune")
    equal((stored.filename, stored.purpose), ("file", "fine-tune"))
    equal(files.download_file(stored.id), text)


@case("create_file stores a tuple with a name")
def _():
    stored = files.create_file(('nä"me.txt', b"named"), "assistants")
    equal((stored.filename, stored.bytes), ('nä"me.txt', 5))


@case("create_file stores no bytes at all")
def _():
    stored = files.create_file(b"", "assistants")
    equal((stored.bytes, files.download_file(stored.id)), (0, ""))


@case("list_files gives pages in an order")
def _():
    created = [files.create_file(b"GIF89a%d" % number, "vision").id for number in range(5)]
    page = files.list_files(purpose="vision", limit=3, order="asc")
    equal(([file.id for file in page.data], page.has_more), (created[:3], True))
    equal((page.first_id, page.last_id), (created[0], created[2]))
    page = files.list_files(purpose="vision", limit=3, order="asc", after=page.last_id)
    equal(([file.id for file in page.data], page.has_more), (created[3:], False))

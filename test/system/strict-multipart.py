"""A second opinion on forms, written from RFC 2046, 5987 and 7578 and not from Coffer's parser.

Reads lines of JSON with "boundary" and "body" (Base64) from the file that it is given, and prints
one for each: {"fault": why it is no form with one file} or {"filename", "sha256", "fields"}.
It holds the whole body in memory and takes nothing that the RFCs do not allow, except what cannot
change the file: bytes before the first and behind the last boundary, and lines of the content that
only begin like a boundary, which are content.
"""

import base64
import hashlib
import json
import re
import sys
from urllib.parse import unquote_to_bytes

TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"


class Fault(Exception):
    pass


def boundary_lines(data, boundary):
    """Yields (start, end, is_last) of each line that is a boundary."""
    pattern = rb"\r\n--" + re.escape(boundary) + rb"(?:(--)|[ \t]*(?=\r\n))"
    for found in re.finditer(pattern, data):
        yield found.start(), found.end(), found.group(1) is not None
        if found.group(1) is not None:
            return


def parts(body, boundary):
    data = b"\r\n" + body
    begin = None
    for start, end, is_last in boundary_lines(data, boundary):
        if begin is not None:
            # The line end before a boundary belongs to the boundary, not to the content.
            if start < begin:
                raise Fault("two boundaries share a line end")
            yield data[begin:start]
        begin = end + 2
        if is_last:
            if not re.match(rb"[ \t]*(\r?\n|$)", data[end:]):
                raise Fault("text in the last line")
            return
    raise Fault("no last boundary")


def split_part(part):
    # A part without content has no line end of its own behind the blank line.
    head, blank, content = (part + b"\r\n").partition(b"\r\n\r\n")
    if not blank:
        raise Fault("no blank line behind the headers")
    return head, content[:-2] if part.find(b"\r\n\r\n") != -1 else b""


def headers_of(block):
    try:
        text = block.decode("utf-8")
    except UnicodeDecodeError:
        raise Fault("headers that are not UTF-8")
    headers = {}
    for line in text.split("\r\n"):
        found = re.fullmatch(rf"({TOKEN}):([^\r\n\0]*)", line)
        if found is None:
            raise Fault("a header line that is none")
        name = found.group(1).lower()
        if name in headers:
            raise Fault("a header twice")
        headers[name] = found.group(2).strip(" \t")
    return headers


def quoted(rest, at):
    """The value that begins here, and where the text behind its last quote begins."""
    text, last = "", rest.rfind('\\"')
    for attempt in ("escaped", "path"):
        text, here = "", at
        while here < len(rest) and rest[here] != '"':
            # Only these two are escaped by senders; any other backslash is one of a path, and so is
            # the last one if nothing else would end the value: "C:\" is what some senders write.
            is_path = attempt == "path" and here == last
            if rest[here] == "\\" and rest[here + 1 : here + 2] in ('"', "\\") and not is_path:
                here += 1
            text, here = text + rest[here], here + 1
        if here < len(rest):
            return text, here + 1
    raise Fault("a quote that is not closed")


def parameters_of(value):
    kind, _, rest = value.partition(";")
    if kind.strip(" \t").lower() != "form-data":
        raise Fault("no form-data")
    found, at = {}, 0
    while rest[at:].strip(" \t;"):
        name = re.compile(r"[ \t;]*([\w\-]+\*?)[ \t]*=[ \t]*").match(rest, at)
        if name is None:
            raise Fault("a parameter without a name")
        at, text = name.end(), ""
        if rest[at : at + 1] == '"':
            text, at = quoted(rest, at + 1)
        else:
            end = re.compile(r'[^\s";]*').match(rest, at).end()
            text, at = rest[at:end], end
        if rest[at:].strip(" \t") and rest[at:].lstrip(" \t")[0] != ";":
            raise Fault("text behind a parameter")
        if name.group(1).lower() in found:
            raise Fault("a parameter twice")
        found[name.group(1).lower()] = text
    return found


def plain(text):
    return text.replace("%22", '"').replace("%0D", "\r").replace("%0d", "\r").replace("%0A", "\n").replace("%0a", "\n")


def extended(text):
    found = re.fullmatch(r"(?i:(utf-8|iso-8859-1))'[\w\-]*'((?:%[0-9A-Fa-f]{2}|[!#$&+\-.^_`|~0-9A-Za-z])*)", text)
    if found is None:
        raise Fault("an extended name that is none")
    try:
        return unquote_to_bytes(found.group(2)).decode(found.group(1).lower())
    except UnicodeDecodeError:
        raise Fault("an extended name that is not UTF-8")


def read(body, boundary):
    files, fields = [], {}
    for part in parts(body, boundary):
        block, content = split_part(part)
        headers = headers_of(block)
        if headers.get("content-transfer-encoding", "binary").lower() not in ("", "7bit", "8bit", "binary"):
            raise Fault("a coded part")
        parameters = parameters_of(headers.get("content-disposition", ""))
        if "name" not in parameters:
            raise Fault("a part without a name")
        name = plain(parameters["name"])
        if name != "file":
            if name in fields:
                raise Fault("a field twice")
            fields[name] = content.decode("utf-8", "replace")
            continue
        sent = extended(parameters["filename*"]) if "filename*" in parameters else plain(parameters.get("filename", ""))
        last = re.split(r"[/\\]", sent)[-1]
        files.append((last if last not in ("", ".", "..") else "file", content))
    if len(files) != 1:
        raise Fault(f"{len(files)} files")
    filename, content = files[0]
    return {"filename": filename, "sha256": hashlib.sha256(content).hexdigest(), "fields": fields}


for line in open(sys.argv[1], encoding="utf-8"):
    case = json.loads(line)
    try:
        verdict = read(base64.b64decode(case["body"]), case["boundary"].encode("latin-1"))
    except Fault as fault:
        verdict = {"fault": str(fault)}
    print(json.dumps(verdict))

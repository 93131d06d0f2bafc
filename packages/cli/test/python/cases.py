"""What the modules of cases share."""

import os

base_url = os.environ["OPENAI_BASE_URL"]
api_key = os.environ["OPENAI_API_KEY"]
registered = []


def case(name):
    """Names a case. packages/cli/test/python.ts reads the names from the source."""

    def add(function):
        registered.append((name, function))
        return function

    return add


class raises:
    """`with raises(Kind) as caught:`; what was raised is then `caught.error`."""

    def __init__(self, kind):
        self.kind = kind

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        assert error is not None, f"{self.kind.__name__} was not raised"
        self.error = error
        return isinstance(error, self.kind)


def equal(actual, expected):
    assert actual == expected, f"{actual!r} is not {expected!r}"

"""Prints, as JSON, what gunicorn's tests say of each request in a folder: the settings it needs, and the requests or the
error it should become. The files beside the requests are Python; of gunicorn itself nothing is run."""

import json
import pathlib
import sys
import types


class Config:
    """Stands in for gunicorn's: remembers what is set."""

    def __init__(self):
        self.settings = {}

    def set(self, name, value):
        self.settings[name] = value


class Errors(types.ModuleType):
    """Stands in for gunicorn.http.errors: every error is its name."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return name


def request(fields):
    body = fields["body"]
    return {
        "method": fields["method"],
        "target": fields["uri"],
        "fields": fields["headers"],
        "body": body if isinstance(body, str) else body.decode("latin-1"),
    }


def case(file):
    found = {"uri": lambda target: target, "cfg": Config()}
    exec(compile(file.read_text(), str(file), "exec"), found)
    expected = found["request"]
    if isinstance(expected, dict):
        expected = [expected]
    error = isinstance(expected, str) or isinstance(expected, tuple)
    return {
        "settings": found["cfg"].settings,
        "error": str(expected) if error else None,
        "requests": [] if error else [request(one) for one in expected],
    }


for name in ("gunicorn", "gunicorn.http"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["gunicorn.config"] = types.ModuleType("gunicorn.config")
sys.modules["gunicorn.config"].Config = Config
sys.modules["gunicorn.http.errors"] = Errors("gunicorn.http.errors")

cases = {file.stem: case(file) for file in sorted(pathlib.Path(sys.argv[1]).glob("*.py"))}
json.dump(cases, sys.stdout)

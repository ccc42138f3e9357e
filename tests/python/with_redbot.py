"""REDbot against the URLs that are given: what it has to say of each, as lines of JSON."""

import json
import sys
from configparser import ConfigParser

import thor
from redbot.resource import HttpResource

config = ConfigParser()
# It asks nothing of the machine's own network otherwise.
config.read_dict({"redbot": {"enable_local_access": "True"}})


def check(url):
    resource = HttpResource(config["redbot"])
    resource.set_request(url)

    @thor.events.on(resource)
    def check_done():
        thor.stop()

    resource.check()
    thor.run()
    checks = {check.check_name: check for check in resource.subreqs.values()}
    for name, message in [("answer", resource.response)] + [(name, check.response) for name, check in checks.items()]:
        for note in message.notes:
            line = {"url": url, "of": str(name), "level": note.level.value, "note": type(note).__name__, "says": str(note.summary)}
            print(json.dumps(line))
    if resource.fetch_error is not None:
        print(json.dumps({"url": url, "of": "answer", "level": "bad", "note": "FETCH", "says": str(resource.fetch_error)}))


for url in sys.argv[1:]:
    check(url)

"""A stack of small programs under the real process manager: `python -m tests.support.small_stack [--failing-job]`.

All four parts are given by URL (only S3_ENDPOINT must answer), so that nothing but the manager itself is on trial.
"""

import asyncio
import os
import sys

from clew.local.log import MergedLog
from clew.local.problems import StackError
from clew.local.services import Job, Service
from clew.local.settings import Settings
from clew.local.supervisor import supervise

SERVER = """
import http.server, os, signal
def stop(*_):
    print("told to stop", flush=True)
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_): ...
port = int(os.environ.get("CLEW_HEALTH_PORT") or os.environ["CLEW_GATEWAY_PORT"])
server = http.server.HTTPServer(("127.0.0.1", port), Ready)
print("serving as", os.getpid(), flush=True)
server.serve_forever()
"""
SERVICES = (Service("alpha", ("-c", SERVER)), Service("beta", ("-c", SERVER), public=True))


def main() -> None:
    job = "import sys; sys.exit(3)" if "--failing-job" in sys.argv else "print('done once')"
    log = MergedLog(sys.stdout, colour=False)
    try:
        asyncio.run(supervise(Settings.from_env(os.environ), log, (Job("job", ("-c", job)),), SERVICES))
    except StackError as error:
        sys.exit(f"clew: {error}")


if __name__ == "__main__":
    main()

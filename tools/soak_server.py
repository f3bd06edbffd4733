"""Try the server: many clients, and kills in between. No job may be lost or done twice.

    python tools/soak_server.py [--jobs 50] [--clients 4] [--kills 2]

Clients repeat a request with its key until it is answered, as they would after a broken connection. At the end every
job is done, was rendered once, and its result can be fetched.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "assets" / "sample"


class Server:
    """A server process that can be killed and started again.

    Args:
        folder: Its folder.
        port: Its port.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "portrait_animate", "serve", "--folder", str(folder), "--media", str(SAMPLE)]
        self._command = [*command, "--port", str(port), "--workers", "2"]
        self.start()

    def start(self) -> None:
        """Start it."""
        self._process = subprocess.Popen(self._command, cwd=ROOT, stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        """Kill it at once."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Stop it properly."""
        self._process.terminate()
        self._process.wait()

    def ask(self, path: str, body: Any = None) -> Any:
        """The JSON answer to a request, repeated until there is one."""
        data = None if body is None else json.dumps(body).encode()
        while True:
            request = urllib.request.Request(  # noqa: S310 - our own server
                self.address + path, data, {"Content-Type": "application/json"}
            )
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - our own server
                    return json.loads(answer.read())
            except urllib.error.HTTPError as error:
                if error.code < 500 and error.code != 429:
                    raise
            except (OSError, ValueError):
                pass
            time.sleep(0.2)


def main() -> int:
    """Run it; 1 if a job was lost or done twice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("jobs", 50), ("clients", 4), ("kills", 2), ("port", 8799)):
        parser.add_argument(f"--{name}", type=int, default=default)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), chosen.port)
        states: dict[int, dict[str, Any]] = {}

        def client(first: int) -> None:
            for number in range(first, chosen.jobs, chosen.clients):
                job = {"source": {"path": "portrait.jpg"}, "key": f"job {number}", "options": {"max_side": 320}}
                job |= {"expression": {"sliders": {"smile": number / chosen.jobs}}}
                made = server.ask("/v1/jobs", job)
                while made["state"] not in ("done", "failed", "cancelled"):
                    time.sleep(0.3)
                    made = server.ask(f"/v1/jobs/{made['id']}")
                states[number] = made

        threads = [threading.Thread(target=client, args=(n,)) for n in range(chosen.clients)]
        for thread in threads:
            thread.start()
        for _ in range(chosen.kills):
            while len(states) < chosen.jobs * random.uniform(0.1, 0.5):  # noqa: S311 - no secret
                time.sleep(0.2)
            server.kill()
            print(f"killed after {len(states)} jobs", flush=True)
            server.start()
        for thread in threads:
            thread.join()
        listed = server.ask("/v1/jobs")
        results = {urllib.request.urlopen(server.address + job["result"]).read() for job in listed if job["result"]}  # noqa: S310
        server.stop()
    done = sum(job["state"] == "done" for job in listed)
    print(f"{done} of {chosen.jobs} jobs done, {len(listed)} in the queue, {len(results)} different results")
    print(f"most attempts at a job: {max(job['attempts'] for job in listed)}")
    return 0 if done == len(listed) == len(results) == chosen.jobs else 1


if __name__ == "__main__":
    sys.exit(main())

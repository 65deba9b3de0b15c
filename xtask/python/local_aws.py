"""Runs ministack with Step Functions on the cloud's clock.

    python local_aws.py EPOCH SPEED DIRECTORY

EPOCH is the real time, in seconds since 1970, at which cloud time and real time were the same; from there on
cloud time runs SPEED times as fast. DIRECTORY only marks the process, for those who look for it. ministack shortens Wait states itself (SFN_WAIT_SCALE), but stamps
executions and states with real time, and a handler that compares those stamps with a deadline would see a
wait of 300 s pass in 30. This replaces the clock of its Step Functions module, and nothing else of it.

Every name that is replaced is checked first: another release of ministack fails here, loudly, and not as a
deploy that behaves strangely.
"""

import importlib.metadata
import os
import signal
import sys
import time
from datetime import datetime, timezone

VERSION = "1.5.33"


def main():
    epoch, speed = float(sys.argv[1]), float(sys.argv[2])
    sys.argv[1:] = []

    installed = importlib.metadata.version("ministack")
    if installed != VERSION:
        sys.exit(f"local_aws.py was written for ministack {VERSION}, and {installed} is installed: read its "
                 "services/stepfunctions.py, then change VERSION here")

    from ministack.services import stepfunctions
    run_on_cloud_time(stepfunctions, lambda: epoch + (time.time() - epoch) * speed)

    from ministack import app
    try:
        app.main()
    finally:
        # The functions that it keeps warm are of its process group.
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)


def run_on_cloud_time(module, seconds):
    class CloudDatetime(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls.fromtimestamp(seconds(), tz)

    def now_iso():
        now = datetime.fromtimestamp(seconds(), timezone.utc)
        return now.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"

    # (function, the global it reads its time from)
    for function, clock in [("_start_execution", "now_iso"), ("_stop_execution", "now_iso"),
                            ("_run_execution", "now_iso"), ("_fail_execution", "now_iso"),
                            ("_add_event", "now_iso"), ("_sleep_until", "datetime")]:
        code = getattr(getattr(module, function, None), "__code__", None)
        if code is None or clock not in code.co_names:
            sys.exit(f"ministack {VERSION} is not as expected: stepfunctions.{function} does not read {clock}")

    module.now_iso = now_iso
    module.datetime = CloudDatetime


if __name__ == "__main__":
    main()

"""Runs ministack with Step Functions on the cloud's clock, and with functions that fail as Lambda's do.

    python local_aws.py EPOCH SPEED DIRECTORY

EPOCH is the real time, in seconds since 1970, at which cloud time and real time were the same; from there on
cloud time runs SPEED times as fast. DIRECTORY only marks the process, for those who look for it. ministack shortens Wait states itself (SFN_WAIT_SCALE), but stamps
executions and states with real time, and a handler that compares those stamps with a deadline would see a
wait of 300 s pass in 30. This replaces the clock of its Step Functions module.

An event that a function fails on is tried twice more by Lambda, a minute and then two later, and then goes where the
function's EventInvokeConfig says. ministack does so for S3 and SNS, but calls a function once for EventBridge.
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html

What a role or a policy does not allow is refused (AUTH=true); authority.py has what that needs besides.

A function whose process exits fails with Runtime.ExitError. ministack says so only of one that was killed while it
handled an event, and of one that was killed as it started it says Runtime.Unknown, which nobody would try again.

Every name that is replaced is checked first: another release of ministack fails here, loudly, and not as a
deploy that behaves strangely.
"""

import importlib.metadata
import json
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

    # Read when the module is loaded, in seconds of real time.
    os.environ["LAMBDA_ASYNC_RETRY_BASE_SECONDS"] = str(60 / speed)
    os.environ["LAMBDA_ASYNC_RETRY_MAX_SECONDS"] = str(300 / speed)

    import authority
    from ministack.core import iam_actions, iam_evaluator, lambda_runtime
    from ministack.services import eventbridge, lambda_svc, stepfunctions
    run_on_cloud_time(stepfunctions, lambda: epoch + (time.time() - epoch) * speed)
    retry_events(eventbridge, lambda_svc)
    name_exits(lambda_runtime.ProvidedWorker)
    authority.complete_requests(iam_actions)

    from ministack import app
    authority.trust_loopback(app, iam_evaluator)
    authority.serve(app, authority.Iam())
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


def retry_events(eventbridge, lambda_svc):
    code = getattr(getattr(eventbridge, "_dispatch_to_lambda", None), "__code__", None)
    used = ("_get_func_record_for_ref", "_execution_record_for_config")
    if code is None or not all(name in code.co_names for name in used):
        sys.exit(f"ministack {VERSION} is not as expected: eventbridge._dispatch_to_lambda does not use {used}")
    if not hasattr(lambda_svc, "invoke_async_with_retry"):
        sys.exit(f"ministack {VERSION} is not as expected: it has no lambda_svc.invoke_async_with_retry")

    def dispatch_to_lambda(arn, payload):
        function, config, name = lambda_svc._get_func_record_for_ref(arn)
        if not function or not config:
            eventbridge.logger.warning("EventBridge: function %s not found", name)
            return
        record = lambda_svc._execution_record_for_config(function, config)
        lambda_svc.invoke_async_with_retry(record, json.loads(payload))

    eventbridge._dispatch_to_lambda = dispatch_to_lambda


def name_exits(worker):
    start = worker._await_init

    def await_init(self, *arguments):
        try:
            start(self, *arguments)
        except RuntimeError as error:
            if str(error).startswith("bootstrap exited during init"):
                error.error_type = "Runtime.ExitError"
            raise

    worker._await_init = await_init


if __name__ == "__main__":
    main()

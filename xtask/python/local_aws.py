"""Runs ministack with Step Functions, S3 and CloudWatch on the cloud's clock, and with functions that fail as Lambda's do.

    python local_aws.py EPOCH SPEED DIRECTORY

EPOCH is the real time, in seconds since 1970, at which cloud time and real time were the same; from there on
cloud time runs SPEED times as fast. DIRECTORY only marks the process, for those who look for it. ministack shortens Wait states itself (SFN_WAIT_SCALE), but stamps
executions and states with real time, and a handler that compares those stamps with a deadline would see a
wait of 300 s pass in 30. This replaces the clock of its Step Functions module, that of S3, whose times of uploads
are compared with the starts of executions, and that of CloudWatch, whose minutes the load balancer reports.

When an alarm's state last became another is told by its StateTransitionedTimestamp; ministack has it of composite alarms only.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricAlarm.html

A task that waits for its token (waitForTaskToken) has its time on the cloud's clock as well, by an expression if it is one,
and fails if its function does. ministack takes numbers alone, of real seconds, and lets such a failure pass.
https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html#connect-wait-token

An expression may take its time: ministack gives each a second of real time, which is not enough for the simplest where a
hundred executions share a computer.

An event that a function fails on is tried twice more by Lambda, a minute and then two later, and then goes where the
function's EventInvokeConfig says. ministack does so for S3 and SNS, but calls a function once for EventBridge.
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html

An event of S3 that EventBridge delivers names the object's version, and by it an uploader knows the execution that it
starts. ministack leaves the version out.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html

What a role or a policy does not allow is refused (AUTH=true); authority.py has what that needs besides.

Lambda starts an environment for each event that comes while the others are busy. On one computer a hundred of them at once
are a hundred processes that all start slowly, and are late for their time-outs: here events wait for one that is free, and few
processes start at once. Only those of Check Health do not wait, as it is asleep for most of its time until the next look.
A task that has waited too long is refused, as Lambda does where an account has too many events at once, and is tried again.

A function whose process exits fails with Runtime.ExitError. ministack says so only of one that was killed while it
handled an event, and of one that was killed as it started it says Runtime.Unknown, which nobody would try again.

Where a policy asks who calls (aws:PrincipalArn), AWS names the role of a session, with its path. ministack, where it enforces
policies, names the session: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html

Every name that is replaced is checked first: another release of ministack fails here, loudly, and not as a
deploy that behaves strangely.
"""

import importlib.metadata
import inspect
import json
import os
import signal
import sys
import threading
import time
from datetime import datetime, timezone

VERSION = "1.5.33"
# So many events of one function are handled at once; that mostly is waiting for the other services of this process.
AT_ONCE = max(8, 4 * (os.cpu_count() or 1))
# Seconds that a task's event waits for its turn: with those that a function may take it stays within its state's time-out.
PATIENCE = 25
# Of an account: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
CONCURRENCY = 1000


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
    os.environ["LAMBDA_ACCOUNT_CONCURRENCY"] = str(CONCURRENCY)

    import authority
    from ministack.core import iam_actions, iam_evaluator, lambda_runtime
    from ministack.services import cloudwatch, eventbridge, lambda_svc, s3, stepfunctions

    def seconds():
        return epoch + (time.time() - epoch) * speed

    run_on_cloud_time(stepfunctions, s3, seconds)
    wait_for_tokens(stepfunctions, speed, authority.WAITING)
    evaluate_in_any_time(stepfunctions)
    watch_on_cloud_time(cloudwatch, seconds)
    retry_events(eventbridge, lambda_svc)
    queue_functions(lambda_svc, stepfunctions)
    start_in_turn(lambda_runtime.ProvidedWorker)
    name_versions(s3, eventbridge)
    name_exits(lambda_runtime.ProvidedWorker)
    authority.complete_requests(iam_actions)

    name_roles()

    from ministack import app
    authority.trust_loopback(app, iam_evaluator)
    authority.serve(app, authority.Iam())
    try:
        app.main()
    finally:
        # The functions that it keeps warm are of its process group.
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)


def run_on_cloud_time(stepfunctions, s3, seconds):
    class CloudDatetime(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls.fromtimestamp(seconds(), tz)

    def now_iso():
        now = datetime.fromtimestamp(seconds(), timezone.utc)
        return now.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"

    # (function, the global it reads its time from)
    for module, function, clock in [(stepfunctions, "_start_execution", "now_iso"),
                                    (stepfunctions, "_stop_execution", "now_iso"),
                                    (stepfunctions, "_run_execution", "now_iso"),
                                    (stepfunctions, "_fail_execution", "now_iso"),
                                    (stepfunctions, "_add_event", "now_iso"),
                                    (stepfunctions, "_sleep_until", "datetime"),
                                    (s3, "_build_object_record", "now_iso")]:
        code = getattr(getattr(module, function, None), "__code__", None)
        if code is None or clock not in code.co_names:
            sys.exit(f"ministack {VERSION} is not as expected: {module.__name__}.{function} does not read {clock}")

    stepfunctions.now_iso = s3.now_iso = now_iso
    stepfunctions.datetime = CloudDatetime


def wait_for_tokens(stepfunctions, speed, waiting):
    execute = stepfunctions._execute_task
    code, used = execute.__code__, ("_invoke_with_callback", "_invoke_resource")
    if not all(name in code.co_names for name in used) or not hasattr(stepfunctions, "_apply_jsonata_template"):
        sys.exit(f"ministack {VERSION} is not as expected: stepfunctions._execute_task does not use {used}")
    current = threading.local()

    def execute_task(state, raw_input, execution, context):
        if state.get("Resource", "").endswith(".waitForTaskToken"):
            time = stepfunctions._apply_jsonata_template(state["TimeoutSeconds"], raw_input, context)
            state = {**state, "TimeoutSeconds": time / speed}
            current.machine = execution["stateMachineArn"]
        return execute(state, raw_input, execution, context)

    def invoke_with_callback(resource, arguments, token, state):
        task = {"event": threading.Event(), "result": None, "error": None, "heartbeat": None}
        stepfunctions._task_tokens[token] = task
        waiting[token] = current.machine
        try:
            stepfunctions._invoke_resource(resource.removesuffix(".waitForTaskToken"), arguments)
            if not task["event"].wait(state["TimeoutSeconds"]):
                raise stepfunctions._ExecutionError("States.Timeout", "")
        finally:
            stepfunctions._task_tokens.pop(token, None)
        if task["error"]:
            raise stepfunctions._ExecutionError(task["error"]["Error"], task["error"]["Cause"])
        return json.loads(task["result"])

    stepfunctions._execute_task = execute_task
    stepfunctions._invoke_with_callback = invoke_with_callback


def evaluate_in_any_time(stepfunctions):
    compiled = stepfunctions.jsonata.Jsonata.jsonata
    if "timeout" not in inspect.signature(compiled).parameters:
        sys.exit("jsonata limits the time of expressions otherwise: read its jsonata.py")
    stepfunctions.jsonata.Jsonata.jsonata = staticmethod(lambda expression, timeout=None: compiled(expression))


def watch_on_cloud_time(cloudwatch, seconds):
    for function in ("_evict_old_metrics", "_evaluate_alarm", "_record_history", "_set_alarm_state", "_put_metric_data"):
        code = getattr(getattr(cloudwatch, function, None), "__code__", None)
        if code is None or "time" not in code.co_names:
            sys.exit(f"ministack {VERSION} is not as expected: cloudwatch.{function} does not read time")

    class CloudTime:
        time = staticmethod(seconds)

    cloudwatch.time = CloudTime
    record = cloudwatch._record_history

    def record_history(name, old, new, *arguments, **options):
        record(name, old, new, *arguments, **options)
        alarm = cloudwatch._alarms.get(name) or cloudwatch._composite_alarms.get(name)
        if alarm:
            alarm["StateTransitionedTimestamp"] = seconds()

    cloudwatch._record_history = record_history


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


def queue_functions(lambda_svc, stepfunctions):
    inner = getattr(lambda_svc, "_execute_function", None)
    code = getattr(inner, "__code__", None)
    if code is None or "_acquire_execution_slot" not in code.co_names:
        sys.exit(f"ministack {VERSION} is not as expected: lambda_svc._execute_function takes no slot")
    call = stepfunctions._call_lambda
    if "_execute_function_with_config_scope" not in call.__code__.co_names or "errorType" not in call.__code__.co_consts:
        sys.exit(f"ministack {VERSION} is not as expected: stepfunctions._call_lambda does not tell a function's errorType")

    class Places(dict):
        def __missing__(self, name):
            at_once = CONCURRENCY if name.endswith("-check-health") else AT_ONCE
            return self.setdefault(name, threading.BoundedSemaphore(at_once))

    # By function: notify waits for its topic's subscribers, of which one is a function, which waits for none.
    places = Places()
    # ministack calls this from itself as well.
    current = threading.local()

    def execute_function(function, event):
        if getattr(current, "has_place", False):
            return inner(function, event)
        name = (function.get("config") or function).get("FunctionName")
        if not places[name].acquire(timeout=PATIENCE if getattr(current, "is_task", False) else None):
            refusal = lambda_svc._throttle_response("ConcurrentInvocationLimitExceeded", f"Rate Exceeded: {name}")
            refusal["body"]["errorType"] = "Lambda.TooManyRequestsException"
            return refusal
        current.has_place = True
        try:
            return inner(function, event)
        finally:
            current.has_place = False
            places[name].release()

    def call_lambda(*arguments):
        current.is_task = True
        try:
            return call(*arguments)
        finally:
            current.is_task = False

    lambda_svc._execute_function = execute_function
    stepfunctions._call_lambda = call_lambda


def start_in_turn(worker):
    inner, turn = worker._spawn, threading.BoundedSemaphore(AT_ONCE)

    def spawn(self, *arguments, **options):
        with turn:
            inner(self, *arguments, **options)

    worker._spawn = spawn


def name_versions(s3, eventbridge):
    fire, dispatch = s3._fire_s3_event, eventbridge._dispatch_event
    if "version_id" not in fire.__code__.co_varnames or "_dispatch_event" not in fire.__code__.co_names:
        sys.exit(f"ministack {VERSION} is not as expected: s3._fire_s3_event does not dispatch events of versions")
    # One event is fired by a thread of its own.
    current = threading.local()

    def fire_s3_event(*arguments, version_id=None, **options):
        current.version_id = version_id
        try:
            fire(*arguments, version_id=version_id, **options)
        finally:
            current.version_id = None

    def dispatch_event(event, *arguments, **options):
        version_id = getattr(current, "version_id", None)
        if version_id and event.get("Source") == "aws.s3":
            detail = json.loads(event["Detail"])
            detail["object"]["version-id"] = version_id
            event = {**event, "Detail": json.dumps(detail)}
        return dispatch(event, *arguments, **options)

    s3._fire_s3_event = fire_s3_event
    eventbridge._dispatch_event = dispatch_event


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


def name_roles():
    from ministack.core import iam_evaluator
    from ministack.services import iam
    inner = getattr(iam_evaluator, "_resolve_condition_key", None)
    code = getattr(getattr(iam_evaluator, "_conditions_met", None), "__code__", None)
    if inner is None or code is None or "_resolve_condition_key" not in code.co_names:
        sys.exit(f"ministack {VERSION} is not as expected: iam_evaluator._conditions_met resolves no condition keys")
    if not hasattr(iam_evaluator, "_role_name_from_assumed_arn"):
        sys.exit(f"ministack {VERSION} is not as expected: it has no iam_evaluator._role_name_from_assumed_arn")

    def resolve(key, context):
        value = inner(key, context)
        if key.lower() != "aws:principalarn" or ":assumed-role/" not in str(value):
            return value
        role = iam._roles.get_scoped(context.principal_account, None, iam_evaluator._role_name_from_assumed_arn(value))
        return role["Arn"] if role else value

    iam_evaluator._resolve_condition_key = resolve


if __name__ == "__main__":
    main()

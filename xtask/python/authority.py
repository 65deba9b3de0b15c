"""What AWS's services settle between themselves and ministack leaves out: for local_aws.py.

exuvia-cloud stands for Auto Scaling and Elastic Load Balancing, and asks IAM here what these would ask it:

    POST /_exuvia/authorize             {"accessKey", "requests": [{"action", "resource", "context"}], "runs"?: [ID, VERSION]}
                                        -> {"refused": null or the sentence that AWS refuses with}
    POST /_exuvia/instance-credentials  {"launchTemplate", "version"}
                                        -> those of the role that instances of this launch template have, as their metadata

"context" has the condition keys of the request; "runs" is a launch template whose instances the request leads to, so that
its caller must be able to run it: as Auto Scaling asks,
https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-launch-template-permissions.html
"""

import hashlib
import json
import sys

REGION = "us-east-1"


def serve(app, iam):
    """Answers these two in front of ministack's own application."""
    inner = app.app

    async def answer(scope, receive, send):
        about = {"/_exuvia/authorize": iam.authorize,
                 "/_exuvia/instance-credentials": iam.instance_credentials}
        answers = about.get(scope.get("path")) if scope["type"] == "http" else None
        if answers is None:
            return await inner(scope, receive, send)
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        try:
            status, told = 200, answers(json.loads(body))
        except (KeyError, ValueError) as error:
            status, told = 400, {"error": f"{type(error).__name__}: {error}"}
        await send({"type": "http.response.start", "status": status,
                    "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": json.dumps(told).encode()})

    app.app = answer


def trust_loopback(app, iam_evaluator):
    """What never leaves this machine counts as encrypted on its way: bucket and topic policies refuse what is not."""
    inner = getattr(app, "pin_request_origin", None)
    if inner is None or inner is not iam_evaluator.pin_request_origin:
        sys.exit("ministack is not as expected: app does not use iam_evaluator.pin_request_origin")
    app.pin_request_origin = lambda address, _: inner(address, True)


# The state machine whose task waits for a token, by the token.
WAITING = {}


def complete_requests(iam_actions):
    """What IAM is told of a request and ministack leaves out."""
    for name in ("request_tag_context", "extract_resource_arn"):
        if not hasattr(iam_actions, name):
            sys.exit(f"ministack is not as expected: it has no iam_actions.{name}")
    context_of, arn_of = iam_actions.request_tag_context, iam_actions.extract_resource_arn

    def context(service, action, body, parameters):
        """With KMS's own condition keys: https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html"""
        found = context_of(service, action, body, parameters)
        if service == "kms":
            asked = json.loads(body or b"{}")
            found = {**found, "kms:SigningAlgorithm": asked.get("SigningAlgorithm"),
                     "kms:MessageType": asked.get("MessageType", "RAW" if "Message" in asked else None)}
        return found

    def arn(service, method, path, headers, body, *more):
        """With the stream's name: a policy that names a log group as CloudFormation does (`Arn`) ends in `:*`. A task's
        answer is about its state machine."""
        found = arn_of(service, method, path, headers, body, *more)
        if service == "states" and found == "*":
            return WAITING.get(json.loads(body or b"{}").get("taskToken"), found)
        stream = json.loads(body or b"{}").get("logStreamName") if service == "logs" else None
        return f"{found}:log-stream:{stream}" if stream else found

    iam_actions.request_tag_context, iam_actions.extract_resource_arn = context, arn


class Iam:
    """Who may do what, by ministack's own roles and policies."""

    def __init__(self):
        from ministack.core import iam_evaluator
        from ministack.services import ec2, iam, sts
        self.evaluator, self.ec2, self.iam, self.sts = iam_evaluator, ec2, iam, sts

    def authorize(self, asked):
        from ministack.core.responses import get_account_id
        account = get_account_id()
        principal = self.evaluator.resolve_principal(asked["accessKey"], account)
        if isinstance(principal, self.evaluator.AuthError):
            return {"refused": principal.message}
        requests = list(asked["requests"])
        if asked.get("runs"):
            requests += self._launches(account, *asked["runs"])
        # The account's root, which is what people are here, may do everything.
        for request in requests if principal.policies is not None else []:
            context = self.evaluator.EvalContext(
                principal_arn=principal.arn, principal_type=principal.type, principal_account=principal.account,
                action=request["action"], resource_arn=request["resource"], region=REGION, secure_transport=True,
                service_context={key.lower(): value for key, value in request["context"].items()},
                principal_keys=principal.keys)
            # Where nobody is told the tag keys there are none, and not an empty list.
            context.service_context.setdefault("aws:tagkeys", None)
            result = self.evaluator.evaluate(context, principal.policies, *principal.limits)
            if result.decision != "Allow":
                return {"refused": f"User: {principal.arn} is not authorized to perform: {request['action']} on "
                                   f"resource: {request['resource']} because no identity-based policy allows the "
                                   f"{request['action']} action"}
        return {"refused": None}

    def _launches(self, account, template, version):
        """What the caller of CreateAutoScalingGroup must be allowed as well."""
        found, data = self._launch_template(template, version)
        arn = f"arn:aws:ec2:{REGION}:{account}:launch-template/{template}"
        instance = f"arn:aws:ec2:{REGION}:{account}:instance/*"
        tags = {f"aws:ResourceTag/{tag['Key']}": tag["Value"] for tag in found.get("Tags", [])}
        by = {"ec2:LaunchTemplate": arn}
        requests = [("ec2:RunInstances", arn, {**tags, **by}), ("ec2:RunInstances", instance, by),
                    ("ec2:CreateTags", instance, {"ec2:CreateAction": "RunInstances"})]
        role = self._role(data)
        if role:
            requests.append(("iam:PassRole", role["Arn"], {"iam:PassedToService": "ec2.amazonaws.com"}))
        return [{"action": action, "resource": resource, "context": context}
                for action, resource, context in requests]

    def instance_credentials(self, asked):
        _, data = self._launch_template(asked["launchTemplate"], asked["version"])
        role = self._role(data)
        if role is None:
            raise KeyError(f"launch template {asked['launchTemplate']} has no instance profile with a role")
        digest = hashlib.sha256(f"instance:{role['Arn']}".encode()).hexdigest()
        key = f"ASIA{digest[:16].upper()}"
        secret, token = (hashlib.sha256(f"{what}:{digest}".encode()).hexdigest() for what in ("secret", "token"))
        account = role["Arn"].split(":")[4]
        self.sts.register_session(key, {
            "Arn": f"arn:aws:sts::{account}:assumed-role/{role['RoleName']}/instance",
            "UserId": f"{role['RoleId']}:instance", "SecretAccessKey": secret, "SessionToken": token})
        return {"role": role["RoleName"], "accessKeyId": key, "secretAccessKey": secret, "token": token}

    def _launch_template(self, template, version):
        found = self.ec2._launch_templates.get(template)
        if found is None:
            raise KeyError(f"there is no launch template {template}")
        number = {"$Latest": found.get("LatestVersionNumber"), "$Default": found.get("DefaultVersionNumber")}
        number = str(number.get(version, version))
        for one in found["Versions"]:
            if str(one["VersionNumber"]) == number:
                return found, one["LaunchTemplateData"]
        raise KeyError(f"launch template {template} has no version {version}")

    def _role(self, data):
        named = data.get("IamInstanceProfile") or {}
        profile = self.iam._lookup_instance_profile(named.get("Name", ""), named.get("Arn", ""))
        roles = (profile or {}).get("Roles") or []
        return self.iam._roles.get(roles[0]) if roles else None

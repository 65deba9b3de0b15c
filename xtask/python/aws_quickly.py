"""The pinned AWS CLI, except that its waiters look again after 0.2 s instead of after 5 s or 30 s.

`aws cloudformation deploy` waits 30 s between two looks at a stack. A stack on this machine is there in a
second or two.
"""

import sys

import awscli.clidriver
import botocore.waiter

LOOK_AGAIN_SECONDS = 0.2
GIVE_UP_SECONDS = 600


class QuickWaiter(botocore.waiter.Waiter):
    def wait(self, **arguments):
        arguments["WaiterConfig"] = {
            "Delay": LOOK_AGAIN_SECONDS,
            "MaxAttempts": int(GIVE_UP_SECONDS / LOOK_AGAIN_SECONDS),
        }
        return super().wait(**arguments)


botocore.waiter.Waiter = QuickWaiter
sys.exit(awscli.clidriver.main())

//! Schedules that once showed a bug, or show a mistake that is easily made: they are run before all others, so that none
//! comes back.

/// What went wrong, and the schedule that shows it, made as small as it gets.
pub const MENDED: [(&str, &str); 32] = [
    (
        "a function of a stopped execution moves the traffic after a recovery has moved it back",
        "replace seed=1 stop@d1/Shift_Traffic#1.9 pause:6s@d1/Shift_Traffic#1.9",
    ),
    (
        "the event of an upload comes late: the newer upload's deploy gives way to it",
        "replace seed=1 delay-event:12s@0s upload:good@5s",
    ),
    (
        "a recovery that cannot begin is told as refused, with nothing touched",
        "replace seed=1 stop@d1/Bake#1 deny@r1/Acquire_Lock#1.1",
    ),
    (
        "an error for as long as a key is disabled is taken for one for good",
        "replace seed=1 disable-key:60s@d1/Check_Health#1",
    ),
    (
        "an execution is redriven that was told to be rolled back, and succeeds",
        "first seed=1 stop@d1/Validate#1 redrive:d1@400s",
    ),
    (
        "the same, while the recovery has not yet told it",
        "rerun seed=1 stop@d1/Acquire_Lock#1 redrive:d1@r1/Roll_Back#1",
    ),
    (
        "a group that was only just created is not listed, and is left over",
        "rollback-at-boot seed=1 lag:45s@d1/Launch#1",
    ),
    (
        "a target group that was only just created is not listed, and is left over",
        "replace seed=1 lag:55s@d1/Plan#1 stop@d1/Launch#1.4",
    ),
    (
        "a step that fails with the lock in hand leaves it behind",
        "replace seed=1 deny@d1/Acquire_Lock#1.4",
    ),
    (
        "an execution and its recovery tell two outcomes",
        "rerun seed=1 stop@d1/Evaluate#1 redrive:d1@r1/Roll_Back#1",
    ),
    (
        "a recovery that fails in Plan tells a deploy that is live as rolled back",
        "replace seed=1 stop@d1/Commit#1 deny@r1/Plan#1.1",
    ),
    (
        "the new fleet is deleted by hand within Commit, and the old one, which still stands, is shed as well",
        "rerun seed=1 deny@d1/Commit#1.6 delete-live-group@d1/Commit#1",
    ),
    (
        "the live group is deleted by hand while the old fleet is shed, and the rule is deleted as well",
        "config-change seed=9005440 stop:d1@d1/Retire_Old#4 delete-live-group@d1/Wait_For_Drain#1",
    ),
    (
        "Step Functions does not know yet the execution that holds the lock, and the lock is taken from it",
        "supersede seed=1 lag:45s@d1/Validate#1",
    ),
    (
        "a stopped execution is still described as running, and nothing puts it in order",
        "replace seed=1 lag:45s@0s stop@d1/Bake#1",
    ),
    (
        "an outage of a minute leaves fleets half shed",
        "config-change seed=1 disable-key:60s@d1/Wait_For_Drain#1",
    ),
    (
        "an outage of a minute leaves the deploy that waits refused",
        "supersede seed=1 disable-key:60s@d2/Wait_For_Lock#1",
    ),
    (
        "the answer to CreateRule is lost, and the rule that it made is taken for another's",
        "first seed=30135 lose@d1/Launch#1.6",
    ),
    (
        "of two uploads of one second the older goes first",
        "first seed=30736 overwrite@d1/Plan#1",
    ),
    (
        "the event of an upload comes when a newer one is live already",
        "replace seed=1 delay-event:150s@0s upload:good@5s",
    ),
    (
        "Launch fails when only the target group is there, and that is not listed yet",
        "replace seed=1 lag:45s@d1/Plan#1 deny@d1/Launch#1.7",
    ),
    (
        "a recovery is stopped, and so is the one after it",
        "replace seed=1 stop@d1/Bake#1 stop@r1/Roll_Back#1 stop@r2/Roll_Back#1",
    ),
    (
        "the event of an upload comes when the app is removed already, and brings it back",
        "remove-in-a-deploy seed=1 delay-event:120s@0s",
    ),
    (
        "a removal that fails while the rule is still there leaves what was live to the rule, and is told",
        "remove seed=1 deny@d1/Remove#1.8",
    ),
    (
        "a removal that fails when the rule is gone already is told as rolled back",
        "remove seed=1 deny@d1/Remove#1.9",
    ),
    (
        "a recovery that finds its execution redriven waits for its end in vain, and calls for a person",
        "dies-when-healthy seed=71095585 stop@d1/Check_Health#1.4 redrive:d1@r1/Validate#1",
    ),
    (
        "a redriven deploy that lost its lock is to shed what has the traffic while nothing is live",
        "remove-then-deploy seed=71066336 config:LEVEL=debug@d1/Wait_For_Boot#8 stop@d1/Shift_Traffic#1.5 kill-new-instances:1@67594ms redrive:d1@96531ms kill-instances:1@d1/Announce_Start#1",
    ),
    (
        "the event of an upload comes when the app is removed and another version of it live by hand, and replaces that",
        "remove-in-a-deploy seed=71066008 delay-event:157s@d1/Acquire_Lock#1 upload:good@8435ms redrive:d1@d1/Announce_Rollback#1 throttle@d2/Plan#1.3 start:1@95562ms",
    ),
    (
        "a scheduled action that comes due while Roll Back is still being tried is lost",
        "morning-is-missed seed=1 outage:s3:20s@d1/Roll_Back#1",
    ),
    (
        "what a deploy of a worker left that was stopped works on beside the next, though one is to work at a time",
        "singleton-replaces seed=1 lose-status-event@0s stop@d1/Wait_For_Boot#1 upload:good@300s",
    ),
    (
        "a worker's fleet that is being deleted already cannot be ended, and the recovery calls for a person",
        "singleton-replaces seed=1 stop@d1/Check_Health#1 redrive:d1@r1/Roll_Back#1",
    ),
    (
        "a return takes the live fleet's last scheduled action for missed, and makes the fleet smaller than the live one has become since",
        "returned-to-in-the-morning seed=1 scale:+1@d2/Announce_Healthy#1",
    ),
];

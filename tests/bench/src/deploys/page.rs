//! What docs/performance.md says of deploys.

use std::fmt::Write;

use super::apps::{AtOnce, Contended};
use super::cost::{self, Line};
use super::overhead::{Booting, Deploy};
use super::rollback::{Failing, Failure, RolledBack};
use super::{Found, growth, lab, peers, plot, quotas};
use crate::page::{GOALS, Section, goal, table};
use crate::spread::Spread;

/// # Errors
/// If a plot cannot be drawn.
pub fn section(found: &Found) -> anyhow::Result<Section> {
    let parts = [
        pace(),
        overhead(&found.overhead),
        rollbacks(&found.rollbacks),
        grown(found),
        at_once(found),
        contended(&found.contended),
        costs(found),
    ];
    Ok(Section {
        markdown: parts.join("\n"),
        plots: plot::all(found)?,
    })
}

/// The median and the 99th percentile.
fn told(spread: Option<Spread>) -> String {
    spread.map_or_else(String::new, |spread| {
        format!("{:.1} / {:.1}", spread.median, spread.p99)
    })
}

fn of<T>(all: &[T], value: impl Fn(&T) -> f64) -> Option<Spread> {
    Spread::of(all.iter().map(value))
}

fn pace() -> String {
    let pace = lab::PACE;
    format!(
        "Deploys are measured in virtual time: the state machine, the functions and their SDK clients are the real ones, AWS and \
         the instances are the simulation's ([reliability.md](reliability.md)). There a call to AWS takes {} ms, from state to \
         state {} ms, until an invoked function runs {} ms, and until an upload's event is delivered {} ms. EC2 takes {} to {} s \
         to start an instance, which then boots as long as said, 5 % more or less; the load balancer checks it every 10 s. \
         Numbers with a slash are the median and the 99th percentile.\n",
        pace.call.as_millis(),
        pace.transition.as_millis(),
        pace.start.as_millis(),
        pace.event.as_millis(),
        lab::START.0.as_secs(),
        lab::START.1.as_secs(),
    )
}

/// Seconds from all instances being healthy until all traffic has moved: here with what comes before the group, and by
/// Odin and Skyliner without.
pub(super) fn beside(deploy: &Deploy) -> (f64, f64, f64) {
    (
        deploy.overhead_with_hold(),
        peers::odin(deploy.boot).traffic - deploy.boot,
        peers::skyliner(deploy.boot).traffic - deploy.boot,
    )
}

fn overhead(found: &[Booting]) -> String {
    let mut text = "## What a deploy takes beyond its instances\n\n".to_owned();
    let goals = found.iter().map(|booting| {
        let spread = of(&booting.deploys, Deploy::overhead);
        let met = spread.is_some_and(|spread| spread.median <= 3.0 && spread.p99 <= 6.0);
        let what = format!("boots in {} s", booting.seconds);
        goal(&what, "3 / 6 s", format!("{} s", told(spread)), met)
    });
    text += &table(&GOALS, goals);
    let _ = write!(
        text,
        "\nFrom the upload to all traffic on the new version, less the instances' own time: from the creation of their group \
         until each has been healthy for the target's `HealthyThreshold`. {} deploys for each boot, each after at least three \
         others of the same app. In seconds:\n\n",
        found.first().map_or(0, |booting| booting.deploys.len())
    );
    let rows = found.iter().map(|booting| {
        let spread = |value: fn(&Deploy) -> f64| told(of(&booting.deploys, value));
        vec![
            booting.seconds.to_string(),
            spread(|deploy| deploy.before),
            spread(|deploy| deploy.boot),
            spread(|deploy| deploy.hold),
            spread(|deploy| deploy.after),
            spread(Deploy::overhead),
            spread(Deploy::overhead_with_hold),
        ]
    });
    text += &table(
        &[
            "boot",
            "upload to group",
            "group to all healthy",
            "hold",
            "from then to all traffic",
            "**overhead**",
            "overhead and hold",
        ],
        rows,
    );
    text += "\nBeside it what others have published, computed for the same instances and without their own calls \
             (`tests/bench/src/deploys/peers.rs`): from all instances healthy to all traffic moved, where a hold is not the \
             instances' time but the deployer's, and how often they ask. A poll is a round of the state machine; near the time at \
             which it expects the fleet to be healthy, Check Health looks several times in one, so the calls to \
             DescribeTargetHealth are told as well. Odin first looks 90 s after a launch, and does not know before that one has \
             failed. Here a fleet that is expected within 90 s is first looked at shortly before; the looks after 15, 30 and \
             60 s at one that takes longer are for failures alone.\n\n";
    let rows = found.iter().map(|booting| {
        let seconds = |value: fn((f64, f64, f64)) -> f64| {
            told(of(&booting.deploys, |one| value(beside(one))))
        };
        let polls = |value: fn(&Deploy) -> u32| told(of(&booting.deploys, |one| value(one).into()));
        let ours = of(&booting.deploys, |one| one.polls.into());
        let odin = of(&booting.deploys, |one| peers::odin(one.boot).polls.into());
        let no_more = ours
            .zip(odin)
            .is_some_and(|(ours, odin)| ours.median <= odin.median);
        vec![
            booting.seconds.to_string(),
            seconds(|all| all.0),
            seconds(|all| all.1),
            seconds(|all| all.2),
            polls(|one| one.polls),
            polls(|one| one.looks),
            polls(|one| peers::odin(one.boot).polls),
            polls(|one| peers::skyliner(one.boot).polls),
            if no_more { "yes" } else { "**no**" }.to_owned(),
        ]
    });
    text += &table(
        &[
            "boot",
            "here, with all before the group",
            "Odin",
            "Skyliner",
            "polls here",
            "with looks",
            "Odin's",
            "Skyliner's",
            "no more polls than Odin?",
        ],
        rows,
    );
    text += "\n![Bars: the seconds from all instances healthy to all traffic moved, by how long they boot, here and as Odin and \
             Skyliner have published](performance/overhead.svg)\n";
    text
}

fn rollbacks(found: &[Failing]) -> String {
    let mut text = "## What a rollback takes\n\n".to_owned();
    let name = |failure: Failure| match failure {
        Failure::BootReport => "an instance reports that its boot failed",
        Failure::UnhealthyInBake => "a target turns unhealthy in the bake",
        Failure::UnhealthyInCanary => "a target turns unhealthy in a canary of 10 %",
        Failure::Alarm => "an alarm fires in the bake",
    };
    let goals = found.iter().map(|failing| {
        let looks = of(&failing.deploys, |one| one.looks.into());
        let met = looks.is_some_and(|looks| looks.most <= 1.0);
        let measured = looks.map_or(0.0, |looks| looks.most);
        let measured = format!("{measured} at the most");
        goal(name(failing.failure), "one poll", measured, met)
    });
    text += &table(&GOALS, goals);
    text += "\nSeconds from the first evidence, which is the report in the ledger, the state that the load balancer tells, or \
             that of the alarm, until the old version has all the traffic and the rule names no other, and until the notice is \
             published. Of that most is the rest of the pause between two looks.\n\n";
    let rows = found.iter().map(|failing| {
        let spread = |value: fn(&RolledBack) -> f64| told(of(&failing.deploys, value));
        vec![
            name(failing.failure).to_owned(),
            failing.deploys.len().to_string(),
            spread(|one| one.pause),
            spread(|one| one.look),
            spread(|one| one.traffic),
            spread(|one| one.notice),
        ]
    });
    text += &table(
        &[
            "",
            "deploys",
            "pause between looks",
            "next look",
            "old version alone",
            "notice",
        ],
        rows,
    );
    text
}

fn grown(found: &Found) -> String {
    let all = &found.growth;
    let mut text = "## What grows with the instances\n\n".to_owned();
    let transitions = all
        .iter()
        .map(|grown| grown.deploy.transitions_without_bake());
    let most = transitions.max().unwrap_or(0);
    let odin = peers::odin_transitions(growth::BOOT.into(), cost::DRAIN);
    let share = f64::from(most) * 100.0 / f64::from(odin);
    let (first, last) = (all.first(), all.last());
    let calls = |one: Option<&growth::Grown>| one.map_or(0, |one| one.deploy.all_calls());
    let paged = last.map_or(0, |last| last.instances.div_ceil(100)) * 2;
    let goals = [
        goal(
            "state transitions, but for those of the bake, which Odin has none of, beside Odin's for a boot of 240 s and a \
             drain of 300 s",
            "60 %",
            format!("{most} of {odin}: {share:.0} %"),
            share <= 60.0,
        ),
        goal(
            "calls to AWS, for the most instances beside one",
            "as many, but for pages",
            format!("{} beside {}", calls(last), calls(first)),
            calls(last) <= calls(first) + paged * 20,
        ),
    ];
    text += &table(&GOALS, goals);
    text += "\nOne deploy that replaces another, boots of 240 s, a bake of 60 s and a drain of 300 s:\n\n";
    let rows = all.iter().map(|grown| {
        let deploy = &grown.deploy;
        vec![
            grown.instances.to_string(),
            deploy.transitions().to_string(),
            deploy.transitions_without_bake().to_string(),
            deploy.entered("Check Health").to_string(),
            deploy.all_calls().to_string(),
            deploy
                .called("autoscaling.DescribeAutoScalingGroups")
                .to_string(),
            deploy
                .called("autoscaling.DescribeScalingActivities")
                .to_string(),
            deploy
                .called("elasticloadbalancing.DescribeTargetHealth")
                .to_string(),
            deploy.events.to_string(),
            deploy.most_carried.to_string(),
        ]
    });
    text += &table(
        &[
            "instances",
            "state transitions",
            "without the bake's",
            "polls",
            "calls to AWS",
            "of these DescribeAutoScalingGroups",
            "DescribeScalingActivities",
            "DescribeTargetHealth",
            "events in the history (of 25,000)",
            "bytes carried from state to state (of 262,144)",
        ],
        rows,
    );
    text += "\n![Lines: calls to AWS and state transitions of a deploy, for 1, 10, 100 and 1,000 instances](performance/calls.svg)\n";
    text
}

fn counted(apps: usize) -> String {
    format!("{apps} app{}", if apps == 1 { "" } else { "s" })
}

fn at_once(found: &Found) -> String {
    let mut text = "## Many deploys at once\n\n".to_owned();
    let goals = found.limited.iter().map(|apps| {
        let what = format!(
            "{} in the same moment, with AWS's limits",
            counted(apps.deploys)
        );
        let measured = format!("{} succeed", apps.succeeded);
        let met = apps.succeeded == apps.deploys && apps.in_order;
        goal(&what, "all succeed, each in order", measured, met)
    });
    text += &table(&GOALS, goals);
    text += "\nEach app has two instances that boot in 60 s; 50 apps share a load balancer. All are uploaded in the same \
             moment. Limited are requests by the token buckets below; what finds none is refused as AWS refuses it.\n\n";
    let row = |limited: &str, apps: &AtOnce| {
        let took = Spread::of(apps.took.iter().copied());
        let throttled: u32 = apps.rates.values().map(|rate| rate.throttled).sum();
        let calls: u32 = apps.rates.values().map(|rate| rate.calls).sum();
        let otherwise = apps.otherwise.iter();
        let otherwise: Vec<String> = otherwise
            .map(|(state, count)| format!("{count} {state}"))
            .collect();
        vec![
            apps.deploys.to_string(),
            limited.to_owned(),
            apps.succeeded.to_string(),
            otherwise.join(", "),
            took.map_or_else(String::new, |took| {
                format!("{:.0} / {:.0}", took.median, took.most)
            }),
            calls.to_string(),
            throttled.to_string(),
            apps.retries.to_string(),
            apps.concurrent.to_string(),
        ]
    };
    let unlimited = found.unlimited.iter().map(|apps| row("no", apps));
    let limited = found.limited.iter().map(|apps| row("yes", apps));
    text += &table(
        &[
            "apps",
            "limits",
            "succeeded",
            "otherwise",
            "seconds to the end, median / slowest",
            "calls to AWS",
            "of these refused",
            "tasks tried again",
            "functions at one time",
        ],
        unlimited.chain(limited),
    );
    text += "\nRequests in the busiest second and on average, without limits, beside what AWS takes by default in us-east-1 \
             (a bucket of so many, and so many more each second):\n\n";
    let rows = quotas::QUOTAS.iter().map(|quota| {
        let mut row = vec![
            quota.what.to_owned(),
            format!("{} + {} a second", quota.limit.size, quota.limit.refill),
        ];
        row.extend(found.unlimited.iter().map(|apps| {
            let rate = apps
                .under_quotas
                .get(quota.what)
                .cloned()
                .unwrap_or_default();
            format!(
                "{} / {:.1}",
                rate.peak,
                f64::from(rate.calls) / apps.span.max(1.0)
            )
        }));
        row.push(quota.source.to_owned());
        row
    });
    let apps = found.unlimited.iter().map(|apps| counted(apps.deploys));
    let apps: Vec<String> = apps.collect();
    let mut head = vec!["", "AWS takes"];
    head.extend(apps.iter().map(String::as_str));
    head.push("by");
    text += &table(&head, rows);
    text
}

fn contended(found: &[Contended]) -> String {
    let mut text = "\nSeveral versions of one app in the same moment: one goes live, and the others make way.\n\n".to_owned();
    let rows = found.iter().map(|contended| {
        let ended = |state: &str| {
            contended
                .endings
                .get(state)
                .copied()
                .unwrap_or(0)
                .to_string()
        };
        let calls: u32 = contended.lock_calls.values().sum();
        vec![
            contended.uploads.to_string(),
            ended("Succeeded"),
            ended("Superseded"),
            contended.asked.to_string(),
            calls.to_string(),
            format!("{:.0}", contended.took),
        ]
    });
    text += &table(
        &[
            "uploads",
            "succeeded",
            "superseded",
            "asked for the lock",
            "calls to AWS for that",
            "seconds to the end of the last",
        ],
        rows,
    );
    text
}

fn costs(found: &Found) -> String {
    let bill = &found.cost;
    let lines = bill.lines();
    let total: f64 = lines.iter().map(Line::dollars).sum();
    let odin = cost::odin(growth::BOOT.into());
    let of_odin: f64 = odin.iter().map(Line::dollars).sum();
    let mut text = "## What a deploy costs\n\n".to_owned();
    let measured = format!("{:.3} cents", total * 100.0);
    text += &table(
        &GOALS,
        [goal(
            "a deploy",
            "under half a cent",
            measured,
            total < 0.005,
        )],
    );
    let _ = write!(
        text,
        "\nBoots of {} s, a bake of {} s, a drain of {} s; us-east-1, as AWS listed it on 2026-11-26, without the free tier \
         (`tests/bench/src/deploys/prices.rs` names the pages). Auto Scaling, Elastic Load Balancing, SSM's standard parameters \
         and deliveries by SNS to functions cost nothing; logs and what is stored are not counted, nor is the second fleet. \
         Functions' time is what their calls take at the pace above, and no more.\n\n",
        growth::BOOT,
        cost::BAKE,
        cost::DRAIN
    );
    text += &bill_of(&lines);
    let _ = write!(
        text,
        "\nThe same by Odin's workflow: {} polls, and {} tries to detach. Its function counts as one here, with six calls \
         to AWS in each task.\n\n",
        peers::odin(growth::BOOT.into()).polls,
        peers::odin_retries(cost::DRAIN)
    );
    text += &bill_of(&odin);
    let _ = writeln!(
        text,
        "\nThat is {:.0} % of Odin's.",
        total * 100.0 / of_odin
    );
    text
}

fn bill_of(lines: &[Line]) -> String {
    let shown = lines.iter().filter(|line| line.count > 0.0);
    let rows = shown.map(|line| {
        let count = if line.count.fract() == 0.0 {
            format!("{:.0}", line.count)
        } else {
            format!("{:.3}", line.count)
        };
        vec![
            line.what.clone(),
            count,
            format!("{:.10}", line.price)
                .trim_end_matches('0')
                .to_owned(),
            format!("{:.7}", line.dollars()),
        ]
    });
    let total: f64 = lines.iter().map(Line::dollars).sum();
    let total = ["**together**", "", "", &format!("**{total:.7}**")].map(str::to_owned);
    table(
        &["", "count", "each, USD", "USD"],
        rows.chain([total.to_vec()]),
    )
}

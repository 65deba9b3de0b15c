//! What each function calls, whatever happens to it, is what docs/privileges.md says; `cargo xtask lint` compares that with
//! what infra/pipeline.yaml allows.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::Path;

use exuvia_simulation::fault::Schedule;
use exuvia_simulation::mended::MENDED;
use exuvia_simulation::privileges::Needs;
use exuvia_simulation::proof::{Bench, Ground, grounds};
use exuvia_simulation::scenario::SCENARIOS;
use exuvia_simulation::slack;

/// Schedules in which something is called that is not called in a scenario as it is, nor in what was mended.
const FURTHER: [&str; 11] = [
    "replace seed=1 scale:+1@d1/Announce_Start#1",
    "replace seed=1 pause:6s@d1/Shift_Traffic#1.7 scale:+1@d1/Shift_Traffic#1",
    "replace seed=1 pause:6s@d1/Shift_Traffic#1.2 upload:good@d1/Shift_Traffic#1",
    "replace seed=1 priority:11@0s",
    "rollback-in-bake seed=1 delete-rule@d1/Bake#1",
    "rollback-at-boot seed=1 kill-after@d1/Roll_Back#1.13",
    "replace seed=1 start:v1@300s",
    "replace seed=1 upload-as:readme@0s",
    "replace seed=1 upload-as:hello/9/v1.src.tar.gz@0s",
    "build seed=1 stop@b1/Look#1",
    "config-change seed=1 start:1@300s",
];

#[test]
fn the_functions_call_what_is_written_down() {
    let names = SCENARIOS.iter().map(|scenario| scenario.name);
    let grounds: BTreeMap<String, Ground> = grounds(names.clone()).unwrap();
    let bench = Bench::new().unwrap();
    let undisturbed = names.map(|name| format!("{name} seed=1"));
    let mended = MENDED.iter().map(|(_, line)| (*line).to_owned());
    let mut needs = Needs::default();
    for line in undisturbed.chain(mended).chain(FURTHER.map(str::to_owned)) {
        let schedule: Schedule = line.parse().unwrap();
        let examined = bench.examine(&grounds[&schedule.scenario], &schedule, true);
        assert!(
            examined.violations.is_empty(),
            "{line}:\n{:#?}",
            examined.violations
        );
        let reported = bench.report(&examined.outcome).unwrap();
        let lost = &reported.seen.dead_letters;
        assert!(lost.is_empty(), "{line}: {lost:?}");
        let calls = examined.outcome.seen.calls.iter();
        for call in calls.chain(&reported.seen.calls) {
            needs.add(call);
        }
    }

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for call in runtime.block_on(slack::calls()).unwrap() {
        needs.add(&call);
    }

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/privileges.md");
    let written = std::fs::read_to_string(&path).unwrap();
    let begins = written.find("## ").unwrap_or(written.len());
    let expected = format!("{}{}", &written[..begins], needs.tables());
    if written != expected {
        let found = Path::new(env!("CARGO_TARGET_TMPDIR")).join("privileges.md");
        std::fs::write(&found, expected).unwrap();
        panic!(
            "docs/privileges.md is not what the functions call. If it is meant so: cp {} docs/privileges.md",
            found.display()
        );
    }
}

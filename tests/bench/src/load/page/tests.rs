//! What is said of what was found.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::*;
use crate::load::{Course, Met, Slice};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_660_000 + second).unwrap()
}

/// Of three deploys: requests that were lost at the shift, what a `WebSocket` met while the old fleet drained, seconds of
/// overhead, and deploys that failed.
fn found(lost: u64, event: Event, overhead: i64, failed: usize) -> Found {
    let slice = |manner, second, lost| Slice {
        manner,
        began: at(second),
        ended: at(second + 5),
        statuses: BTreeMap::from([(200, 1000 - lost), (502, lost)]),
        errors: BTreeMap::new(),
        median: 2.0,
        p99: if second < 0 { 4.0 } else { 6.0 },
    };
    let slices = Manner::ALL
        .into_iter()
        .flat_map(|manner| [slice(manner, -10, 0), slice(manner, 38, lost)]);
    let met = [(Life::Limited, event), (Life::Unlimited, Event::Broken)];
    Found {
        began: at(-10),
        ended: at(200),
        processors: 2,
        lost: vec![Lost {
            scenario: Scenario::AllAtOnce,
            outcome: "SUCCEEDED".to_owned(),
            course: Course {
                uploaded: at(0),
                shifts: vec![(at(40), at(42))],
                settled: at(60),
                ended: at(100),
            },
            slices: slices.collect(),
            met: met
                .map(|(life, event)| Met {
                    life,
                    at: at(70),
                    event,
                })
                .into(),
        }],
        overhead: vec![Overhead {
            boot_seconds: 5,
            uploaded: at(0),
            created: at(1),
            healthy: at(21),
            hold_seconds: 10,
            served: at(30 + overhead),
        }],
        many: vec![Many {
            deploys: 10,
            began: at(0),
            uploaded: at(2),
            ended: at(60),
            seconds: vec![50.0; 10 - failed],
            failures: BTreeMap::from([("RolledBack: because".to_owned(), failed)]),
            answered: 600,
            passed_on: 1200,
            busy: 0.5,
        }],
    }
}

fn page(found: &Found) -> String {
    section(found).markdown
}

#[test]
fn a_goal_is_met_or_not() {
    let met = |page: &str| page.matches("| yes |").count();
    let echoed = Event::Echoed(1.0);
    for (found, number) in [
        (found(0, echoed, 2, 0), 4),
        (found(1, echoed, 2, 0), 3),
        (found(0, Event::Lost, 2, 0), 3),
        (found(0, Event::Broken, 2, 0), 3),
        (found(0, Event::Refused, 2, 0), 3),
        (found(0, echoed, 4, 0), 3),
        (found(0, echoed, 2, 1), 3),
        (found(1, Event::Lost, 4, 1), 0),
    ] {
        let page = page(&found);
        assert_eq!(met(&page), number, "{page}");
        assert_eq!(page.matches("| **no** |").count(), 4 - number, "{page}");
    }
}

#[test]
fn each_cell_is_in_its_phase() {
    let page = page(&found(3, Event::Closed, 2, 0));
    for row in [
        "| kept connections | 0 / 1,000 | 0 / 0 | 3 / 1,000 | 0 / 0 | 0 / 0 | 0 / 0 |",
        "| `WebSockets` without end | 0 / 0 | 0 / 0 | 0 / 0 | 0 / 0 | 0 / 0, 1 broken | 0 / 0 |",
        "| kept connections | 2.0 / 4.0 | | 2.0 / 6.0 | | | | 1.50 |",
        "| 5 s | 1 | 32.0 | 30.0 | 2.0 | 2.0 | 1.0 | 1.0 |",
        "| 10 | 0 | 2 s | 60 s | 10.0 | 50 s | 50 s | 10.0 | 20.0 | 50 % |",
    ] {
        assert!(page.contains(row), "{row}\n{page}");
    }
}

#[test]
fn all_rows_of_a_table_are_as_wide() {
    let page = page(&found(0, Event::Closed, 2, 1));
    let mut width = 0;
    for line in page.lines() {
        let columns = line.matches('|').count();
        if line.starts_with('|') {
            assert!(width == 0 || width == columns, "{line}\n{page}");
        }
        width = if line.starts_with('|') { columns } else { 0 };
    }
}

#[test]
fn the_plot_is_one_that_the_page_shows() {
    let section = section(&found(0, Event::Closed, 2, 0));
    let [plot] = &section.plots[..] else {
        panic!("there is one plot");
    };
    assert!(
        section
            .markdown
            .contains(&format!("](performance/{}.svg)", plot.name))
    );
    for said in [
        "<svg",
        "upload",
        "shift",
        "commit",
        "end",
        "99th percentile",
    ] {
        assert!(plot.svg.contains(said), "{said}");
    }
}

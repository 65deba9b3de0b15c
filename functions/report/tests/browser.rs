//! The pages in a real browser: see `xtask/browser/pages.mjs` for what is looked at.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{ATTACK, attacked, index, large, recorded, state_machine};
use exuvia_report::page::{Surroundings, of_index, of_report};

fn pages() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    let index = index();
    let around = Surroundings {
        index: &index,
        state_machine: state_machine(),
        bucket: "exuvia-ledger",
    };
    let write = |name: &str, page: String| {
        std::fs::write(directory.join(format!("{name}.html")), page).unwrap();
    };
    for name in ["replaced", "rolled-back", "running", "stopped", "recovery"] {
        write(name, of_report(&recorded(name), &around).unwrap());
    }
    write("large", of_report(&large(1_000), &around).unwrap());
    write("attacked", of_report(&attacked(ATTACK), &around).unwrap());
    let unbroken = "x".repeat(300);
    write(
        "unbroken",
        of_report(&attacked(&unbroken), &around).unwrap(),
    );
    write("index", of_index(&index, &around).unwrap());
    let mut hostile = index.clone();
    for entry in &mut hostile.entries {
        entry.cause = Some(ATTACK.to_owned());
        entry.by = Some(unbroken.clone());
    }
    write("index-attacked", of_index(&hostile, &around).unwrap());
    directory
}

#[test]
#[ignore = "needs a browser: cargo xtask test"]
fn the_pages_are_read_by_everybody_and_run_nothing() {
    let setting = |name: &str| {
        std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run cargo xtask test"))
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../xtask/browser/pages.mjs");
    let mut node = Command::new("node");
    node.arg(script)
        .arg(setting("EXUVIA_BROWSER_MODULES"))
        .arg(setting("EXUVIA_BROWSER"))
        .arg(pages());
    if let Ok(pictures) = std::env::var("EXUVIA_PICTURES") {
        node.arg(pictures);
    }
    let looked = node.output().expect("node cannot be run");
    let said = String::from_utf8_lossy(&looked.stdout);
    let failed = String::from_utf8_lossy(&looked.stderr);
    assert!(looked.status.success(), "{said}{failed}");
    // Ten pages, on a phone and on a desktop, light and dark.
    assert!(said.trim_end().ends_with("40 looks, 0 findings"), "{said}");
}

#[path = "../../tests/common/mod.rs"]
mod common;

use common::{ATTACK, attacked, index, large, recorded, state_machine};
use exuvia_core::report::Index;

use super::*;

fn around(index: &Index) -> Surroundings<'_> {
    Surroundings {
        index,
        state_machine: state_machine(),
        bucket: "ledger",
    }
}

fn page(report: &Report) -> String {
    let index = index();
    of_report(report, &around(&index)).unwrap()
}

/// The text of a page, a line each, without what draws it.
fn text(page: &str) -> String {
    let body = page.split_once("<body>").unwrap().1;
    let mut text = String::new();
    let mut in_tag = false;
    for letter in body.chars() {
        match letter {
            '<' => in_tag = true,
            '>' => {
                in_tag = false;
                text.push(' ');
            }
            _ if !in_tag => text.push(letter),
            _ => {}
        }
    }
    let lines = text.lines().map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.join(" ")
    });
    let lines: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
    lines.join("\n")
}

#[test]
fn what_the_pages_say() {
    let texts = ["replaced", "rolled-back", "running", "stopped", "recovery"]
        .map(|name| format!("# {name}\n{}\n", text(&page(&recorded(name)))));
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn what_the_index_says() {
    let index = index();
    insta::assert_snapshot!(text(&of_index(&index, &around(&index)).unwrap()));
}

#[test]
fn nothing_that_was_said_becomes_an_element() {
    let count = |page: &str, element: &str| page.matches(element).count();
    let (attacked_page, plain) = (page(&attacked(ATTACK)), page(&attacked("plain")));
    for element in [
        "<script", "<img", "<style", "<a ", "<td", "<svg", "<li", "<div",
    ] {
        assert_eq!(
            count(&attacked_page, element),
            count(&plain, element),
            "{element}"
        );
    }
    assert!(!attacked_page.contains("<script"));
    assert!(attacked_page.contains("&lt;script") || attacked_page.contains("&#60;script"));
}

#[test]
fn a_page_asks_for_nothing() {
    for name in ["replaced", "rolled-back", "running"] {
        let page = page(&recorded(name));
        assert!(page.contains("default-src 'none'"));
        for wanted in ["<script", "src=", "@import", "url(", "<form", "<iframe"] {
            assert!(!page.contains(wanted), "{name}: {wanted}");
        }
        // A link is followed by whoever clicks on it; the icon is in the page.
        for link in page.split("href=\"").skip(1) {
            let link = link.split('"').next().unwrap();
            let known = link.starts_with("https://us-east-1.console.aws.amazon.com/")
                || link.starts_with("data:image/svg+xml,")
                || link == "#main"
                || (!link.contains(':') && !link.contains('/'));
            assert!(known, "{link}");
        }
    }
}

#[test]
fn of_many_instances_some_are_drawn_and_the_rest_is_counted() {
    let page = page(&large(1_000));
    assert_eq!(page.matches("class=\"life\"").count(), 50);
    assert!(page.contains("and 950 more"));
    assert!(page.len() < 200_000, "{}", page.len());
}

#[test]
fn the_way_back_is_a_command_that_a_shell_takes_as_it_is() {
    let page = page(&recorded("replaced"));
    let page = page
        .replace("&#39;", "'")
        .replace("&#34;", "\"")
        .replace("&quot;", "\"");
    let wanted = "aws stepfunctions start-execution --region us-east-1 --state-machine-arn \
        arn:aws:states:us-east-1:000000000000:stateMachine:exuvia-deploy --input \
        '{\"app\":\"hello\",\"environment\":\"qa\",\"release\":1}'";
    assert!(page.contains(wanted), "{page}");
}

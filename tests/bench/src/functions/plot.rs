//! Lines over the memory sizes.

use plotters::prelude::*;

use super::figures::Time;
use super::{Found, Kind};
use crate::page::Plot;
use crate::plot::{self, LABEL, TITLE};

const EMPTY: RGBColor = RGBColor(0x80, 0x80, 0x80);
const MIDDLE: RGBColor = RGBColor(0x59, 0x9c, 0x59);
const SLOWEST: RGBColor = RGBColor(0x1f, 0x6f, 0xb2);
const DEFAULT: RGBColor = RGBColor(0xd5, 0x5e, 0x00);

/// A time of the functions beside that of the two that they are measured against.
pub(super) fn by_memory(
    found: &Found,
    name: &'static str,
    what: &str,
    time: Time,
) -> anyhow::Result<Plot> {
    let sizes = found.sizes();
    let line = |of: &dyn Fn(u64) -> Option<f64>| -> Vec<(f64, f64)> {
        let points = sizes.iter().enumerate();
        points
            .filter_map(|(place, size)| Some((at(place), of(*size)?)))
            .collect()
    };
    let slowest = |kind| move |size| found.slowest(kind, size, time).map(|(time, _)| time);
    let lines = [
        ("default SDK", DEFAULT, line(&slowest(Kind::DefaultSdk))),
        (
            "functions, the slowest",
            SLOWEST,
            line(&slowest(Kind::Function)),
        ),
        (
            "functions, the middle one",
            MIDDLE,
            line(&|size| found.middle(size, time)),
        ),
        ("empty", EMPTY, line(&slowest(Kind::Empty))),
    ];
    let points = lines.iter().flat_map(|(_, _, points)| points);
    let most = points.map(|(_, y)| *y).fold(1.0, f64::max) * 1.1;
    let svg = plot::picture(|area| {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .caption(what, TITLE)
            .x_label_area_size(36)
            .y_label_area_size(54)
            .build_cartesian_2d(-0.25..at(sizes.len()) - 0.75, 0.0..most)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(0)
            .y_labels(6)
            .y_label_formatter(&|y| format!("{y:.0}"))
            .label_style(LABEL)
            .draw()?;
        for (place, size) in sizes.iter().enumerate() {
            let (x, y) = chart.backend_coord(&(at(place), 0.0));
            area.draw(&Text::new(format!("{size} MB"), (x - 20, y + 10), LABEL))?;
        }
        for (name, color, points) in &lines {
            // Without calls there is no time of the first: a line of no points has no place in the legend either.
            if !points.is_empty() {
                plot::line(&mut chart, name, *color, points)?;
            }
        }
        plot::legend(&mut chart, SeriesLabelPosition::UpperRight)
    })?;
    Ok(Plot { name, svg })
}

fn at(place: usize) -> f64 {
    f64::from(u32::try_from(place).unwrap_or(u32::MAX))
}

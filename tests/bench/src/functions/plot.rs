//! Lines over the memory sizes.

use plotters::prelude::*;

use super::{Found, Kind, Start};
use crate::page::Plot;

/// Seen on white and on black.
const GREY: RGBColor = RGBColor(128, 128, 128);
const COLOURS: [RGBColor; 4] = [
    RGBColor(128, 128, 128),
    RGBColor(47, 158, 68),
    RGBColor(28, 126, 214),
    RGBColor(224, 103, 26),
];

/// A time of the functions beside that of the two that they are measured against. `None`, if it cannot be drawn.
pub(super) fn by_memory(
    found: &Found,
    name: &'static str,
    what: &str,
    time: fn(&Start) -> Option<f64>,
) -> Option<Plot> {
    let sizes = found.sizes();
    let line = |of: &dyn Fn(u64) -> Option<f64>| -> Vec<(f64, f64)> {
        let points = sizes.iter().enumerate();
        points
            .filter_map(|(place, size)| Some((at(place), of(*size)?)))
            .collect()
    };
    let slowest = |kind| move |size| found.slowest(kind, size, time).map(|(time, _)| time);
    let lines = [
        ("empty", line(&slowest(Kind::Empty))),
        (
            "functions, the middle one",
            line(&|size| found.middle(size, time)),
        ),
        ("functions, the slowest", line(&slowest(Kind::Function))),
        ("default SDK", line(&slowest(Kind::DefaultSdk))),
    ];
    let mut svg = String::new();
    draw(&mut svg, &sizes, what, &lines).ok()?;
    Some(Plot { name, svg })
}

fn at(place: usize) -> f64 {
    u32::try_from(place).map_or(0.0, f64::from)
}

type Line<'a> = (&'a str, Vec<(f64, f64)>);

fn draw(
    svg: &mut String,
    sizes: &[u64],
    what: &str,
    lines: &[Line<'_>],
) -> Result<(), Box<dyn std::error::Error>> {
    let points = lines.iter().flat_map(|(_, points)| points);
    let most = points.map(|(_, y)| *y).fold(1.0, f64::max) * 1.1;
    let root = SVGBackend::with_string(svg, (720, 360)).into_drawing_area();
    let text = ("sans-serif", 14).into_font().color(&GREY);
    let mut chart = ChartBuilder::on(&root)
        .margin(12)
        .caption(what, text.clone())
        .x_label_area_size(36)
        .y_label_area_size(56)
        .build_cartesian_2d(-0.25..at(sizes.len()) - 0.75, 0.0..most)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(GREY.mix(0.3))
        .light_line_style(TRANSPARENT)
        .axis_style(GREY)
        .label_style(text.clone())
        .x_labels(0)
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()?;
    for (place, size) in sizes.iter().enumerate() {
        let label = Text::new(
            format!("{size} MB"),
            (at(place), -most * 0.03),
            text.clone(),
        );
        chart.plotting_area().draw(&label)?;
    }
    for ((name, points), colour) in lines.iter().zip(COLOURS) {
        let style = colour.stroke_width(2);
        chart
            .draw_series(LineSeries::new(points.iter().copied(), style).point_size(3))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
    }
    chart
        .configure_series_labels()
        .label_font(text)
        .background_style(TRANSPARENT)
        .border_style(TRANSPARENT)
        .position(SeriesLabelPosition::UpperRight)
        .draw()?;
    root.present()?;
    drop(chart);
    drop(root);
    Ok(())
}

//! The time of an answer in the course of a deploy.

use plotters::prelude::*;

use crate::load::{Lost, Manner};

/// Legible on white and on black.
const TEXT: RGBColor = RGBColor(128, 128, 128);
const MEDIAN: RGBColor = RGBColor(56, 132, 216);
const P99: RGBColor = RGBColor(222, 110, 40);

/// Of requests on kept connections. None if there were none, or it cannot be drawn.
pub(super) fn latency(lost: &Lost) -> Option<String> {
    let course = &lost.course;
    let second = |at: jiff::Timestamp| at.duration_since(course.uploaded).as_secs_f64();
    let slices = lost
        .slices
        .iter()
        .filter(|slice| slice.manner == Manner::KeptAlive);
    let points: Vec<(f64, f64, f64)> = slices
        .map(|slice| (second(slice.began), slice.median, slice.p99))
        .collect();
    let (first, end) = (points.first()?.0, points.last()?.0);
    let most = points.iter().map(|(_, _, p99)| *p99).fold(1.0, f64::max) * 1.15;
    let mut moments = vec![(0.0, "upload")];
    moments.extend(course.shifts.iter().map(|(at, _)| (second(*at), "shift")));
    moments.push((second(course.settled), "commit"));
    moments.push((second(course.ended), "end"));

    let mut svg = String::new();
    draw(&mut svg, (first, end), most, &points, &moments).ok()?;
    Some(svg)
}

fn draw(
    svg: &mut String,
    (first, last): (f64, f64),
    most: f64,
    points: &[(f64, f64, f64)],
    moments: &[(f64, &str)],
) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(svg, (800, 320)).into_drawing_area();
    let text = |size: u32| ("sans-serif", size).into_font().color(&TEXT);
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(first..last.max(first + 1.0), 0.0..most)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(TEXT.mix(0.25))
        .light_line_style(TRANSPARENT)
        .axis_style(TEXT)
        .label_style(text(13))
        .axis_desc_style(text(13))
        .x_desc("seconds after the upload")
        .y_desc("milliseconds")
        .draw()?;
    for (at, name) in moments {
        let line = [(*at, 0.0), (*at, most)];
        chart.draw_series(LineSeries::new(line, TEXT.mix(0.6)))?;
        chart.draw_series([Text::new((*name).to_owned(), (*at, most), text(12))])?;
    }
    let median = points.iter().map(|(at, median, _)| (*at, *median));
    chart
        .draw_series(LineSeries::new(median, MEDIAN.stroke_width(2)))?
        .label("median")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], MEDIAN.stroke_width(2)));
    let p99 = points.iter().map(|(at, _, p99)| (*at, *p99));
    chart
        .draw_series(LineSeries::new(p99, P99.stroke_width(2)))?
        .label("99th percentile")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], P99.stroke_width(2)));
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::MiddleRight)
        .label_font(text(13))
        .draw()?;
    area.present()?;
    Ok(())
}

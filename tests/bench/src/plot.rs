//! What all pictures have in common: on white, so that they can be read on any page.

use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::coord::ranged1d::Ranged;
use plotters::prelude::*;

pub(crate) const SIZE: (u32, u32) = (760, 360);
pub(crate) const TITLE: (&str, i32) = ("sans-serif", 18);
pub(crate) const LABEL: (&str, i32) = ("sans-serif", 14);

pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(crate) type Chart<'a, X, Y> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>;
pub(crate) type Drawn = Result<(), Box<dyn std::error::Error>>;

/// An image in SVG.
pub(crate) fn picture<F>(draw: F) -> anyhow::Result<String>
where
    F: for<'svg> FnOnce(&Area<'svg>) -> Drawn,
{
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    let drawn = area.fill(&WHITE).map_err(Into::into).and_then(|()| {
        draw(&area)?;
        Ok(area.present()?)
    });
    drop(area);
    drawn.map_err(|error: Box<dyn std::error::Error>| anyhow!("a plot: {error}"))?;
    Ok(svg)
}

/// A line with a mark at each point, named in the legend.
pub(crate) fn line<'a, X, Y>(
    chart: &mut Chart<'a, X, Y>,
    name: &str,
    color: RGBColor,
    points: &[(X::ValueType, Y::ValueType)],
) -> Drawn
where
    X: Ranged<ValueType: Copy + 'static> + 'a,
    Y: Ranged<ValueType: Copy + 'static> + 'a,
{
    let style = color.filled().stroke_width(2);
    let line = LineSeries::new(points.iter().copied(), style).point_size(4);
    chart
        .draw_series(line)?
        .label(name)
        .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], color.stroke_width(3)));
    Ok(())
}

/// The names of what was drawn.
pub(crate) fn legend<'a, X: Ranged + 'a, Y: Ranged + 'a>(
    chart: &mut Chart<'a, X, Y>,
    position: SeriesLabelPosition,
) -> Drawn {
    chart
        .configure_series_labels()
        .position(position)
        .background_style(WHITE)
        .border_style(BLACK.mix(0.3))
        .label_font(LABEL)
        .draw()?;
    Ok(())
}

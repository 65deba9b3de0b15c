//! The two pictures of this part.

use plotters::prelude::*;

use super::Found;
use super::page::beside;
use crate::page::Plot;
use crate::plot::{self, LABEL, TITLE};
use crate::spread::Spread;

const OURS: RGBColor = RGBColor(0x1f, 0x6f, 0xb2);
const ODIN: RGBColor = RGBColor(0xd5, 0x5e, 0x00);
const SKYLINER: RGBColor = RGBColor(0x59, 0x9c, 0x59);

pub(super) fn all(found: &Found) -> anyhow::Result<Vec<Plot>> {
    Ok(vec![
        Plot {
            name: "overhead",
            svg: overhead(found)?,
        },
        Plot {
            name: "calls",
            svg: calls(found)?,
        },
    ])
}

/// The place of the so-manieth, counted from 0.
fn from_left(index: usize) -> f64 {
    f64::from(u32::try_from(index).unwrap_or(u32::MAX))
}

/// Three bars for each boot.
fn overhead(found: &Found) -> anyhow::Result<String> {
    let groups: Vec<(u32, [f64; 3])> = found
        .overhead
        .iter()
        .map(|booting| {
            let beside = booting.deploys.iter().map(beside);
            let (mut ours, mut odin, mut skyliner) = (Vec::new(), Vec::new(), Vec::new());
            for (one, other, third) in beside {
                ours.push(one);
                odin.push(other);
                skyliner.push(third);
            }
            let median = |samples| Spread::of(samples).map_or(0.0, |spread| spread.median);
            (
                booting.seconds,
                [median(ours), median(odin), median(skyliner)],
            )
        })
        .collect();
    let most = groups.iter().flat_map(|(_, bars)| bars);
    let most = most.copied().fold(1.0, f64::max) * 1.15;
    let width = from_left(groups.len());
    plot::picture(|area| {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .caption(
                "Seconds from all instances healthy to all traffic moved, median",
                TITLE,
            )
            .x_label_area_size(36)
            .y_label_area_size(46)
            .build_cartesian_2d(0.0..width, 0.0..most)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(0)
            .y_labels(6)
            .label_style(LABEL)
            .draw()?;
        let names = [
            ("Exuvia, from the upload on", OURS),
            ("Odin", ODIN),
            ("Skyliner", SKYLINER),
        ];
        for (index, (name, color)) in names.into_iter().enumerate() {
            let bars = groups.iter().enumerate().map(|(place, (_, bars))| {
                let place = from_left(place) + 0.14 + 0.25 * from_left(index);
                Rectangle::new([(place, 0.0), (place + 0.22, bars[index])], color.filled())
            });
            chart.draw_series(bars)?.label(name).legend(move |(x, y)| {
                Rectangle::new([(x, y - 5), (x + 12, y + 5)], color.filled())
            });
            let told = groups.iter().enumerate().map(|(place, (_, bars))| {
                let place = from_left(place) + 0.17 + 0.25 * from_left(index);
                let text = format!("{:.1}", bars[index]);
                Text::new(text, (place, bars[index] + most * 0.05), LABEL)
            });
            chart.draw_series(told)?;
        }
        for (place, (seconds, _)) in groups.iter().enumerate() {
            let (x, y) = chart.backend_coord(&(from_left(place) + 0.3, 0.0));
            let text = format!("boots in {seconds} s");
            area.draw(&Text::new(text, (x, y + 10), ("sans-serif", 15)))?;
        }
        plot::legend(&mut chart, SeriesLabelPosition::UpperRight)
    })
}

/// Calls to AWS and state transitions by the number of instances.
fn calls(found: &Found) -> anyhow::Result<String> {
    let points = |of: fn(&super::growth::Grown) -> u32| {
        let points = found.growth.iter();
        points
            .map(|grown| (grown.instances, of(grown)))
            .collect::<Vec<_>>()
    };
    let all = points(|grown| grown.deploy.all_calls());
    let transitions = points(|grown| grown.deploy.transitions());
    let most = all.iter().map(|(_, calls)| *calls).max().unwrap_or(1);
    let last = all.iter().map(|(instances, _)| *instances).max();
    plot::picture(|area| {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .caption("A deploy, by its instances", TITLE)
            .x_label_area_size(44)
            .y_label_area_size(54)
            .build_cartesian_2d(
                (1..last.unwrap_or(1).max(2) + 100).log_scale(),
                0..most + most / 4,
            )?;
        chart
            .configure_mesh()
            .x_desc("instances")
            .y_labels(6)
            .label_style(LABEL)
            .draw()?;
        for (name, color, points) in [
            ("calls to AWS", OURS, all),
            ("state transitions", ODIN, transitions),
        ] {
            plot::line(&mut chart, name, color, &points)?;
            let told = points.iter().map(|(instances, count)| {
                let place = (*instances, count + most / 14);
                Text::new(count.to_string(), place, LABEL)
            });
            chart.draw_series(told)?;
        }
        plot::legend(&mut chart, SeriesLabelPosition::LowerRight)
    })
}

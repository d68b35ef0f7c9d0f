//! The files of a report: the page, and tables and figures as files of their own.

use maud::html;
use orchestrate_engine::stage::{Content as FileContent, Output, StageError};

use super::chart::{Axes, Chart, Look, round_above, ticks};
use super::histogram::{BINS, Histogram, edge};
use super::page::{self, Charts};
use super::picture::{Agreement, Size};
use super::{Content, Report, case, curve, sweep};

/// Draws the charts, lays out the page, and names all files.
pub(super) fn output(content: &Content<'_>) -> Result<Output, StageError> {
    let charts = charts(content);
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |name: String, bytes: Vec<u8>| files.push((name, bytes));
    for (index, table) in content.tables.iter().enumerate() {
        let name = format!("tables/{:02}-{}", index + 1, slug(&table.grid().heading()));
        for extension in ["csv", "md", "tex"] {
            let file = format!("table.{extension}");
            if table.item.files.iter().any(|other| other.name == file) {
                add(format!("{name}.{extension}"), table.item.read(&file)?);
            }
        }
    }
    for (name, bytes) in numbers(content, &charts)? {
        add(format!("tables/{name}.csv"), bytes);
    }
    if let Some(chart) = &charts.sweep {
        add("figures/iou-by-threshold.svg".to_owned(), chart.file());
    }
    for (class, chart) in content.study.classes.iter().zip(&charts.histograms) {
        add(format!("figures/iou-histogram-{}.svg", slug(class)), chart.file());
    }
    for (series, of_series) in &charts.curves {
        for (measure, chart) in of_series {
            add(format!("figures/{measure}-{}.svg", slug(series)), chart.file());
        }
    }
    for (index, series) in content.study.series.iter().enumerate() {
        if let Some(bytes) = cases_figure(content, index) {
            add(format!("figures/cases-{}.svg", slug(series)), bytes);
        }
    }
    for shown in content.gallery.cases.iter().filter(|shown| shown.case.pick != case::Pick::Further) {
        let folder = format!(
            "figures/cases/{}/{}-{}",
            slug(&content.study.series[shown.case.series]),
            slug(&content.study.classes[shown.case.scored.class as usize]),
            shown.case.pick.name()
        );
        add(format!("{folder}/image.png"), content.gallery.images[shown.image].png.clone());
        if let Some(heat) = &shown.heat {
            add(format!("{folder}/heatmap.png"), heat.clone());
        }
        for mask in &shown.masks {
            let label = mask.threshold.as_deref().unwrap_or("predicted");
            add(format!("{folder}/mask-{}.png", slug(label)), mask.png.clone());
        }
    }
    add("report.html".to_owned(), page::page(content, &charts).into_bytes());
    let mut seen = std::collections::HashMap::new();
    let unique = files.into_iter().map(|(name, bytes)| {
        // Two names may differ in nothing but what a file name cannot hold.
        let count = seen.entry(name.clone()).and_modify(|count| *count += 1).or_insert(1);
        let name = match (*count, name.rsplit_once('.')) {
            (1, _) | (_, None) => name,
            (count, Some((stem, extension))) => format!("{stem}-{count}.{extension}"),
        };
        (name, FileContent::Bytes(bytes))
    });
    Ok(Output { name: Report::OUTPUT.to_owned(), files: unique.collect() })
}

fn charts(content: &Content<'_>) -> Charts {
    let study = &content.study;
    let figures = sweep::figures(study);
    let sweep = sweep::chart(study, &figures, &content.params.groups(), |series| content.look(series));
    let histograms: Vec<Vec<Histogram>> =
        (0..study.classes.len()).map(|class| class_histograms(content, class as u32)).collect();
    let top = histograms.iter().flatten().flat_map(Histogram::shares).fold(0.0, f64::max);
    let of_class = |(class, histograms): (&String, &Vec<Histogram>)| histogram_chart(content, class, histograms, top);
    let charts = study.classes.iter().zip(&histograms).map(of_class).collect();
    let curves = content.series.iter().filter_map(|series| {
        let own: Vec<_> = content.trainings.iter().filter(|training| training.place.series == *series).collect();
        (!own.is_empty()).then(|| (series.clone(), curve::charts(series, &own, content.look(series))))
    });
    Charts { sweep, figures, histograms: charts, counts: histograms, curves: curves.collect() }
}

/// One histogram a series, of all its images of a class at the ranking threshold.
fn class_histograms(content: &Content<'_>, class: u32) -> Vec<Histogram> {
    let study = &content.study;
    let of_series = |series: &String| {
        let inputs = study.inputs_at(series, study.at.as_deref());
        let images = inputs.flat_map(|(_, input)| &input.images).filter(|image| image.class == class);
        Histogram::of(images.filter_map(|image| image.iou))
    };
    study.series.iter().map(of_series).collect()
}

fn histogram_chart(content: &Content<'_>, class: &str, histograms: &[Histogram], top: f64) -> Chart {
    let study = &content.study;
    let axes = Axes {
        name: format!("Relative frequency of images of class {class} by IoU, in bins of 0.05"),
        x_label: "IoU".to_owned(),
        y_label: "relative frequency".to_owned(),
        x: (0.0, 1.0),
        y: (0.0, round_above([top].into_iter(), 0.05).min(1.0)),
        x_ticks: ticks((0.0, 1.0)),
    };
    let marks = html! {
        @for (series, histogram) in study.series.iter().zip(histograms) {
            @if histogram.n() > 0 {
                @let steps: Vec<(f64, f64)> = histogram.shares().iter().enumerate()
                    .flat_map(|(bin, &share)| [(edge(bin), share), (edge(bin + 1), share)]).collect();
                g {
                    title { (series) ", n = " (histogram.n()) }
                    (axes.line(&steps, content.look(series), "step", None))
                }
            }
        }
    };
    let drawn = study.series.iter().zip(histograms).filter(|(_, histogram)| histogram.n() > 0);
    let legend = drawn.map(|(series, histogram)| (content.look(series), format!("{series} (n = {})", histogram.n())));
    Chart { axes, marks, legend: legend.collect() }
}

/// The numbers of the figures: name and CSV.
fn numbers(content: &Content<'_>, charts: &Charts) -> Result<Vec<(&'static str, Vec<u8>)>, StageError> {
    let study = &content.study;
    let mut tables = Vec::new();
    if !charts.figures.is_empty() {
        let rows = charts.figures.iter().map(|figure| {
            let sd = figure.mean.sd.map(|sd| sd.to_string()).unwrap_or_default();
            let threshold = figure.threshold.clone().unwrap_or_default();
            let (n, groups) = (figure.mean.n.to_string(), figure.mean.groups.to_string());
            vec![figure.series.clone(), threshold, figure.mean.mean.to_string(), sd, n, groups]
        });
        tables.push(("iou-by-threshold", csv(&["series", "threshold", "mean", "sd", "n", "groups"], rows)?));
        let rows = study.classes.iter().zip(&charts.counts).flat_map(|(class, histograms)| {
            study.series.iter().zip(histograms).flat_map(move |(series, histogram)| {
                let shares = histogram.shares();
                (0..BINS).map(move |bin| {
                    let edges = [edge(bin).to_string(), edge(bin + 1).to_string()];
                    let [low, high] = edges;
                    let (count, share) = (histogram.counts[bin].to_string(), shares[bin].to_string());
                    vec![class.clone(), series.clone(), low, high, count, share]
                })
            })
        });
        tables.push(("iou-histogram", csv(&["class", "series", "from", "to", "n", "share"], rows)?));
    }
    if !content.confusions.is_empty() {
        let rows = content.confusions.iter().flat_map(|matrix| {
            matrix.counts.iter().enumerate().flat_map(move |(label, row)| {
                row.iter().enumerate().map(move |(predicted, n)| {
                    let class = |index: usize| matrix.classes[index].clone();
                    vec![matrix.series.clone(), class(label), class(predicted), n.to_string()]
                })
            })
        });
        tables.push(("confusion", csv(&["series", "label", "predicted", "n"], rows)?));
    }
    Ok(tables)
}

fn csv(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Result<Vec<u8>, StageError> {
    let failed = |error: String| StageError::new(format!("cannot write CSV: {error}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header).map_err(|error| failed(error.to_string()))?;
    for row in rows {
        writer.write_record(row).map_err(|error| failed(error.to_string()))?;
    }
    writer.into_inner().map_err(|error| failed(error.to_string()))
}

/// Best, median and worst case of each class of a series: image, heatmap and masks, with their texts.
fn cases_figure(content: &Content<'_>, series: usize) -> Option<Vec<u8>> {
    let cases: Vec<_> = content
        .gallery
        .cases
        .iter()
        .filter(|shown| shown.case.series == series && shown.case.pick != case::Pick::Further)
        .collect();
    let panels = 2 + cases.iter().map(|shown| shown.masks.len()).max()?;
    let (side, gap, left, line) = (110.0, 8.0, 8.0, 16.0);
    let row_height = side + 2.0 * line + 6.0;
    let width = left + panels as f64 * (side + gap);
    let legend_lines = 2.0;
    let height = cases.len() as f64 * row_height + legend_lines * line + 10.0;
    let Size { height: pixels_high, width: pixels_wide } = content.gallery.size;
    let markup = html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(width) height=(height) viewBox=(format!("0 0 {width} {height}"))
            font-family="sans-serif" font-size="11" fill="#222222" {
            title { "Best, median and worst case of each class, " (content.study.series[series]) }
            rect width="100%" height="100%" fill="#ffffff" {}
            @for (row, shown) in cases.iter().enumerate() {
                @let y = row as f64 * row_height;
                @let image = &content.gallery.images[shown.image];
                @let x = |panel: usize| left + panel as f64 * (side + gap);
                text x=(left) y=(y + 12.0) font-weight="bold" {
                    (content.study.classes[shown.case.scored.class as usize]) ", " (shown.case.pick.name())
                    (format!(" of {}: IoU {:.3}", shown.case.ranked, shown.case.iou))
                }
                image x=(x(0)) y=(y + line) width=(side) height=(side) href=(page::uri(&image.png)) {}
                g transform=(format!("translate({} {}) scale({} {})", x(0), y + line, side / pixels_wide as f64, side / pixels_high as f64)) {
                    path d=(image.outline) fill="none" stroke="#00e5ff" stroke-width=(pixels_wide as f64 / 110.0) {}
                }
                text x=(x(0)) y=(y + line + side + 12.0) { "image, tumour" }
                @if let Some(heat) = &shown.heat {
                    image x=(x(1)) y=(y + line) width=(side) height=(side) href=(page::uri(heat)) {}
                    text x=(x(1)) y=(y + line + side + 12.0) { "heatmap" }
                }
                @for (index, mask) in shown.masks.iter().enumerate() {
                    image x=(x(index + 2)) y=(y + line) width=(side) height=(side) style="image-rendering:pixelated" href=(page::uri(&mask.png)) {}
                    text x=(x(index + 2)) y=(y + line + side + 12.0) { (page::cases::caption(mask)) }
                }
            }
            @for (index, agreement) in Agreement::ALL.into_iter().enumerate() {
                @let x = left + (index % 2) as f64 * 240.0;
                @let y = height - legend_lines * line + (index / 2) as f64 * line - 4.0;
                rect x=(x) y=(y) width="11" height="11" fill=(page::hex(agreement.colour())) stroke="#888888" {}
                text x=(x + 16.0) y=(y + 9.5) { (agreement.meaning()) }
            }
        }
    };
    Some((markup.into_string() + "\n").into_bytes())
}

/// A text as part of a file name: lower-case letters, digits and hyphens.
pub(super) fn slug(text: &str) -> String {
    let mut slug = String::new();
    for letter in text.chars().flat_map(char::to_lowercase) {
        match letter {
            letter if letter.is_ascii_alphanumeric() => slug.push(letter),
            _ if slug.ends_with('-') || slug.is_empty() => {}
            _ => slug.push('-'),
        }
    }
    let slug: String = slug.trim_matches('-').chars().take(60).collect();
    if slug.is_empty() { "unnamed".to_owned() } else { slug }
}

impl Content<'_> {
    /// What a series looks like in all charts.
    pub(super) fn look(&self, series: &str) -> Look {
        Look(self.series.iter().position(|other| other == series).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::slug;

    #[test]
    fn names_of_files_are_safe_whatever_the_label() {
        let cases = [
            ("Table 3. mIoU by threshold", "table-3-miou-by-threshold"),
            ("../../etc/<passwd>", "etc-passwd"),
            ("..", "unnamed"),
            ("U-Net (VGG-16)", "u-net-vgg-16"),
            ("ü", "unnamed"),
        ];
        for (text, expected) in cases {
            assert_eq!(slug(text), expected, "{text}");
        }
    }
}

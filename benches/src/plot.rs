//! A bar chart of ratios as SVG: one bar per program, to the left of the line if ours is faster.

use std::fmt::Write as _;

const ROW: f64 = 16.0;
const LABEL: f64 = 110.0;
const WIDTH: f64 = 640.0;
const TOP: f64 = 30.0;
const COLORS: [&str; 2] = ["#2a7a4b", "#b4552d"];

/// Draws the bars, the smallest ratio first. The scale is logarithmic, so that 0.5 and 2 look equally far.
pub fn bars(ratios: &[(String, f64)]) -> String {
    let mut ratios = ratios.to_vec();
    ratios.sort_by(|a, b| a.1.total_cmp(&b.1));
    let farthest = ratios.iter().map(|(_, ratio)| ratio.log2().abs()).fold(0.0, f64::max);
    // The ends are a power of √2.
    let end = ((farthest * 2.0).ceil() / 2.0).max(0.5);
    let x = |ratio: f64| LABEL + (WIDTH - LABEL - 40.0) * (ratio.log2() + end) / (2.0 * end);

    let height = TOP + ROW * ratios.len() as f64 + 10.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LABEL}\" y=\"12\">user CPU time, aot / wasmtime (left of 1: aot is faster)</text>\n"
    );
    let mut mark = |ratio: f64, color: &str| {
        let at = x(ratio);
        writeln!(
            svg,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{:.0}\" stroke=\"{color}\"/>\
             <text x=\"{at:.1}\" y=\"26\" text-anchor=\"middle\" fill=\"#666\">{ratio:.2}</text>",
            height - 10.0
        )
    };
    let steps = (end * 2.0) as i32;
    for step in (-steps..=steps).filter(|step| *step != 0) {
        let _infallible = mark(2_f64.powf(f64::from(step) / 2.0), "#ddd");
    }
    let _infallible = mark(1.0, "#333");
    for (row, (name, ratio)) in ratios.iter().enumerate() {
        let y = TOP + ROW * row as f64;
        let (left, right) = (x(ratio.min(1.0)), x(ratio.max(1.0)));
        let color = COLORS[usize::from(*ratio > 1.0)];
        let _infallible = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{name}</text>\
             <rect x=\"{left:.1}\" y=\"{:.0}\" width=\"{:.1}\" height=\"{:.0}\" fill=\"{color}\">\
             <title>{name}: {ratio:.2}</title></rect>",
            LABEL - 8.0,
            y + 12.0,
            y + 3.0,
            right - left,
            ROW - 5.0,
        );
    }
    svg + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bar_per_program() {
        let svg = bars(&[("fib".to_owned(), 1.2), ("sha256".to_owned(), 0.5)]);
        assert_eq!(svg.matches("<title>").count(), 2);
        assert!(svg.find("sha256").unwrap() < svg.find("fib").unwrap());
        assert!(bars(&[]).ends_with("</svg>\n"));
    }
}

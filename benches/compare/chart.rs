//! Bar charts as one SVG, written by hand so that it needs nothing and reads well in light and dark.

use std::fmt::Write as _;

use crate::table::whole;

const WIDTH: usize = 760;
const LABEL: usize = 210;
const BAR: usize = 430;
const LINE: usize = 26;
const HEAD: usize = 44;
const GAP: usize = 18;

/// Horizontal bars under a title.
pub(crate) struct Chart {
    title: String,
    unit: String,
    bars: Vec<(String, f64)>,
}

impl Chart {
    /// An empty chart; `unit` stands behind each figure.
    pub(crate) fn new(title: &str, unit: &str) -> Self {
        Self { title: title.to_owned(), unit: unit.to_owned(), bars: Vec::new() }
    }

    /// Adds a bar. Markdown emphasis in the label is dropped.
    pub(crate) fn bar(&mut self, label: &str, value: f64) {
        self.bars.push((label.replace(['*', '`'], ""), value));
    }

    fn height(&self) -> usize {
        HEAD + self.bars.len() * LINE + GAP
    }

    fn draw(&self, top: usize, svg: &mut String) {
        let longest = self.bars.iter().map(|(_, value)| *value).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
        // Writing to a String cannot fail.
        let _ok =
            writeln!(svg, r#"<text class="title" x="12" y="{}">{}</text>"#, top + 28, escape(&self.title));
        for (index, (label, value)) in self.bars.iter().enumerate() {
            let y = top + HEAD + index * LINE;
            let length = (value.max(0.0) / longest * BAR as f64).max(1.0);
            let class = if label == "Vestibule" { "ours" } else { "peer" };
            let figure =
                if *value >= 100.0 || value.fract() == 0.0 { whole(*value) } else { format!("{value:.1}") };
            let middle = y + 15;
            let end = LABEL as f64 + length + 8.0;
            let _ok = writeln!(
                svg,
                r#"<text class="label" x="{}" y="{middle}">{}</text>
<rect class="{class}" x="{LABEL}" y="{y}" width="{length:.1}" height="20" rx="2"/>
<text class="figure" x="{end:.1}" y="{middle}">{figure} {}</text>"#,
                LABEL - 10,
                escape(label),
                escape(&self.unit)
            );
        }
    }
}

/// All charts below each other, with `caption` under them.
pub(crate) fn svg(charts: &[Chart], caption: &str) -> String {
    let height = charts.iter().map(Chart::height).sum::<usize>() + 30;
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">
<title>Vestibule beside nginx, HAProxy and Caddy</title>
<style>
text {{ font: 13px system-ui, sans-serif; fill: #24292f }}
.title {{ font-weight: 600; font-size: 15px }}
.label {{ text-anchor: end }}
.caption {{ font-size: 11px; fill: #57606a }}
.peer {{ fill: #afb8c1 }}
.ours {{ fill: #0969da }}
@media (prefers-color-scheme: dark) {{
text {{ fill: #e6edf3 }}
.caption {{ fill: #8b949e }}
.peer {{ fill: #484f58 }}
.ours {{ fill: #58a6ff }}
}}
</style>
"#
    );
    let mut top = 0;
    for chart in charts {
        chart.draw(top, &mut svg);
        top += chart.height();
    }
    let _ok = writeln!(svg, r#"<text class="caption" x="12" y="{}">{}</text>"#, top + 14, escape(caption));
    svg.push_str("</svg>\n");
    svg
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

//! All applications in a table, one to a line, and below it what is wrong with them.

use vestibule_process::{Phase, Status, Wish};

use super::measure::{clean, size, span};

/// Lines of output that are shown of a failure.
const MOST_OUTPUT: usize = 5;

const HEADING: [&str; 11] = [
    "NAME",
    "STATE",
    "PID",
    "SERVER",
    "SINCE",
    "MEMORY",
    "CPU",
    "WORKERS",
    "IN FLIGHT",
    "WAITING",
    "RELEASE",
];

/// The table, at `now` in seconds since 1970.
pub(super) fn of(all: &[Status], now: u64) -> String {
    let mut rows = vec![HEADING.map(str::to_owned)];
    rows.extend(all.iter().map(|status| row(status, now)));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADING.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    for status in all {
        text.push_str(&trouble(status, now));
    }
    text
}

fn row(status: &Status, now: u64) -> [String; HEADING.len()] {
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let runs = status.pid.is_some();
    [
        clean(&status.name),
        state(status),
        or_dash(status.pid.map(|pid| pid.to_string())),
        or_dash(status.server.as_deref().map(clean)),
        span(now.saturating_sub(status.since)),
        or_dash(status.memory.map(size)),
        or_dash(status.cpu.map(|percent| format!("{percent} %"))),
        or_dash((!status.workers.is_empty()).then(|| status.workers.len().to_string())),
        or_dash(runs.then(|| status.in_flight.to_string())),
        status.waiting.to_string(),
        or_dash(release(status)),
    ]
}

/// What it does, and where that is not plain from it, what is wanted.
pub(super) fn state(status: &Status) -> String {
    let phase = status.phase.as_str();
    match (status.wish, status.phase) {
        (Wish::Alone, _) => format!("{phase}, unmonitored"),
        (Wish::Up, Phase::Down) => format!("{phase}, should be up"),
        (Wish::Down, Phase::Up) => format!("{phase}, should be down"),
        _ => phase.to_owned(),
    }
}

/// Its revision, or else the last part of its directory.
fn release(status: &Status) -> Option<String> {
    const MOST: usize = 14;
    let release = status.release.as_ref()?;
    let name = match &release.revision {
        Some(revision) => clean(revision).chars().take(MOST).collect(),
        None => clean(&release.directory.file_name()?.to_string_lossy()),
    };
    Some(name)
}

/// What is wrong, or was lately: nothing where all is well.
fn trouble(status: &Status, now: u64) -> String {
    let mut text = String::new();
    let name = clean(&status.name);
    if let Some(failure) = &status.last_failure {
        let ago = span(now.saturating_sub(failure.when));
        text.push_str(&format!("\n{name} failed {ago} ago: {}\n", clean(&failure.words)));
        // Of one that has recovered, the words are enough.
        let is_over = status.phase == Phase::Up;
        let skipped = failure.output.len().saturating_sub(if is_over { 0 } else { MOST_OUTPUT });
        for line in failure.output.iter().skip(skipped) {
            text.push_str(&format!("  | {}\n", clean(line)));
        }
    }
    if let Some(next) = status.next_try {
        text.push_str(&format!("{name}: next try in {}\n", span(next.saturating_sub(now))));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use vestibule_process::{Failure, Release, Worker};

    use super::*;

    fn up() -> Status {
        let mut status = Status::new("app", true, Wish::Up);
        status.phase = Phase::Up;
        status.pid = Some(4711);
        status.server = Some("puma".to_owned());
        status.since = 1000;
        status.memory = Some(210 << 20);
        status.cpu = Some(3);
        status.workers = vec![Worker { pid: 4712, memory: None }, Worker { pid: 4713, memory: None }];
        status.in_flight = 2;
        let directory = PathBuf::from("/srv/app/releases/20261122");
        status.release = Some(Release { directory, revision: None });
        status
    }

    #[test]
    fn the_columns_stand_below_each_other() {
        let mut other = Status::new("background", true, Wish::Down);
        other.since = 4000;
        let text = of(&[up(), other], 4600);
        assert_eq!(
            text,
            "NAME        STATE  PID   SERVER  SINCE      MEMORY   CPU  WORKERS  IN FLIGHT  WAITING  RELEASE\n\
             app         up     4711  puma    1 h 0 min  210 MiB  3 %  2        2          0        20261122\n\
             background  down   -     -       10 min     -        -    -        -          0        -\n"
        );
    }

    #[test]
    fn what_keeps_failing_shows_its_last_words_and_its_next_try() {
        let mut status = up();
        status.phase = Phase::Waiting;
        status.next_try = Some(1012);
        let output = (0..20).map(|number| format!("line {number}\x1b[0m")).collect();
        status.last_failure =
            Some(Failure { when: 940, words: "it ended with 1".to_owned(), release: None, output });
        let text = of(&[status.clone()], 1000);
        assert!(text.contains("\napp failed 1 min ago: it ended with 1\n"), "{text}");
        assert!(text.contains("  | line 15\u{fffd}[0m\n") && !text.contains("line 14"), "{text}");
        assert!(text.ends_with("line 19\u{fffd}[0m\napp: next try in 12 s\n"), "{text}");
        status.phase = Phase::Up;
        let text = of(&[status], 1000);
        assert!(text.contains("it ended with 1") && !text.contains("line"), "{text}");
    }

    #[test]
    fn the_state_tells_what_is_wanted_where_that_is_something_else() {
        for (phase, wish, told) in [
            (Phase::Up, Wish::Up, "up"),
            (Phase::Down, Wish::Down, "down"),
            (Phase::Down, Wish::Up, "down, should be up"),
            (Phase::Up, Wish::Alone, "up, unmonitored"),
            (Phase::Waiting, Wish::Up, "waiting"),
            (Phase::Restarting, Wish::Up, "restarting"),
        ] {
            let mut status = Status::new("app", true, wish);
            status.phase = phase;
            assert_eq!(state(&status), told);
        }
    }
}

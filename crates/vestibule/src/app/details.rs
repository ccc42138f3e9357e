//! All that is known of one application.

use std::fmt::Write as _;

use vestibule_process::{Release, Status, Wish, Worker};

use super::measure::{clean, size, span, stamp};
use super::table;

/// A block of lines, at `now` in seconds since 1970.
pub(super) fn of(status: &Status, now: u64) -> String {
    let mut text = format!("{}\n", clean(&status.name));
    let mut line = |key: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {key:12}  {value}");
    };
    let watched = if status.wish == Wish::Up { ", watched" } else { "" };
    let since = span(now.saturating_sub(status.since));
    line("state", format!("{} for {since} (since {}){watched}", table::state(status), stamp(status.since)));
    if let Some(pid) = status.pid {
        let whose = if status.is_owned { "started by Vestibule" } else { "adopted" };
        line("pid", format!("{pid}, {whose}"));
    }
    if let Some(server) = &status.server {
        line("server", clean(server));
    }
    for (number, worker) in status.workers.iter().enumerate() {
        line(if number == 0 { "workers" } else { "" }, worker_line(worker));
    }
    if let Some(memory) = status.memory {
        let kind =
            if status.memory_is_pss { "shared pages counted once" } else { "shared pages counted for each" };
        line("memory", format!("{} ({kind})", size(memory)));
    }
    if let Some(cpu) = status.cpu {
        line("cpu", format!("{cpu} % of one core"));
    }
    line("requests", format!("{} in flight, {} waiting", status.in_flight, status.waiting));
    if let Some(release) = &status.release {
        line("release", release_line(release));
    }
    line("starts", status.starts.to_string());
    if let Some(next) = status.next_try {
        line("next try", format!("in {}", span(next.saturating_sub(now))));
    }
    if let Some(failure) = &status.last_failure {
        let ago = span(now.saturating_sub(failure.when));
        line("last failure", format!("{ago} ago ({}): {}", stamp(failure.when), clean(&failure.words)));
        for said in &failure.output {
            line("", format!("| {}", clean(said)));
        }
    }
    for (number, event) in status.events.iter().enumerate() {
        let key = if number == 0 { "events" } else { "" };
        line(key, format!("{} {}", stamp(event.when), clean(&event.words)));
    }
    text
}

fn worker_line(worker: &Worker) -> String {
    let memory = worker.memory.map(|memory| format!(", {}", size(memory))).unwrap_or_default();
    format!("{}{memory}", worker.pid)
}

fn release_line(release: &Release) -> String {
    let directory = clean(&release.directory.display().to_string());
    match &release.revision {
        Some(revision) => format!("{directory}, revision {}", clean(revision)),
        None => directory,
    }
}

#[cfg(test)]
mod tests {
    use vestibule_process::{Failure, Phase};

    use super::*;

    #[test]
    fn all_that_is_known_is_told() {
        let mut status = Status::new("app", false, Wish::Up);
        status.phase = Phase::Waiting;
        status.pid = Some(4711);
        status.server = Some("unicorn".to_owned());
        status.since = 1_700_000_000;
        status.workers = vec![Worker { pid: 4712, memory: Some(80 << 20) }];
        status.memory = Some(200 << 20);
        status.memory_is_pss = false;
        status.cpu = Some(12);
        status.starts = 3;
        status.in_flight = 2;
        status.waiting = 7;
        status.next_try = Some(1_700_000_130);
        let release =
            Release { directory: "/srv/app/releases/7".into(), revision: Some("0badcafe".to_owned()) };
        status.release = Some(release.clone());
        let failure = Failure {
            when: 1_700_000_060,
            words: "it does not answer".to_owned(),
            release: Some(release),
            output: vec!["SyntaxError".to_owned()],
        };
        status.last_failure = Some(failure);
        status.record("started".to_owned());
        let text = of(&status, 1_700_000_120);
        for told in [
            "waiting for 2 min (since 2023-11-14T22:13:20Z), watched",
            "4711, adopted",
            "unicorn",
            "4712, 80 MiB",
            "200 MiB (shared pages counted for each)",
            "12 % of one core",
            "2 in flight, 7 waiting",
            "/srv/app/releases/7, revision 0badcafe",
            "in 10 s",
            "1 min ago (2023-11-14T22:14:20Z): it does not answer",
            "| SyntaxError",
            "Z started",
        ] {
            assert!(text.contains(told), "no {told:?} in:\n{text}");
        }
    }
}

//! What happened to applications and what they said, in one order.

use std::collections::VecDeque;

use vestibule_process::{Event, Handle};

use super::protocol::{Entry, MOST_LINES, Source};

/// A reader of the logs of some applications, who knows what was read already.
pub(super) struct Journal {
    sources: Vec<Reader>,
}

struct Reader {
    handle: Handle,
    name: String,
    events: VecDeque<Event>,
    /// The number of the last line of output.
    last: Option<u64>,
}

impl Journal {
    pub(super) fn new(handles: &[Handle]) -> Self {
        let sources = handles.iter().map(|handle| Reader {
            handle: handle.clone(),
            name: handle.status().name,
            events: VecDeque::new(),
            last: None,
        });
        Journal { sources: sources.collect() }
    }

    /// The last `most` entries, oldest first.
    pub(super) async fn past(&mut self, most: usize) -> Vec<Entry> {
        let mut entries = self.read(most.max(1)).await;
        entries.split_off(entries.len().saturating_sub(most))
    }

    /// What came since the last reading, oldest first.
    pub(super) async fn news(&mut self) -> Vec<Entry> {
        self.read(MOST_LINES as usize).await
    }

    async fn read(&mut self, most: usize) -> Vec<Entry> {
        let mut entries = Vec::new();
        for source in &mut self.sources {
            let events = source.handle.status().events;
            let seen = overlap(&source.events, &events);
            for event in events.iter().skip(seen) {
                entries.push(source.entry(event.when, Source::Event, event.words.clone()));
            }
            source.events = events;
            let known = source.last;
            for line in source.handle.last_lines(most).await {
                if known.is_none_or(|last| line.number > last) {
                    source.last = Some(line.number);
                    entries.push(source.entry(line.when, Source::Output, line.text));
                }
            }
        }
        // Stable: within a second, what happened to an application stands before what it said, and each in its own order.
        entries.sort_by_key(|entry| entry.when);
        entries
    }
}

impl Reader {
    fn entry(&self, when: u64, source: Source, words: String) -> Entry {
        Entry { when, name: self.name.clone(), source, words }
    }
}

/// How many at the front of `new` stand at the end of `old` already: events come at the end, and go at the front.
fn overlap(old: &VecDeque<Event>, new: &VecDeque<Event>) -> usize {
    (0..=old.len())
        .find(|&gone| {
            old.len() - gone <= new.len() && old.iter().skip(gone).eq(new.iter().take(old.len() - gone))
        })
        .map_or(0, |gone| old.len() - gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(words: &[&str]) -> VecDeque<Event> {
        words.iter().map(|words| Event { when: 1, words: (*words).to_owned() }).collect()
    }

    #[test]
    fn only_what_was_not_seen_is_new() {
        for (old, new, seen) in [
            (&[][..], &["a", "b"][..], 0),
            (&["a", "b"], &["a", "b"], 2),
            (&["a", "b"], &["a", "b", "c"], 2),
            (&["a", "b"], &["b", "c"], 1),
            (&["a", "b"], &["c", "d"], 0),
            (&["a", "b", "a"], &["b", "a", "b", "a"], 2),
            (&["a"], &[], 0),
        ] {
            assert_eq!(overlap(&events(old), &events(new)), seen, "{old:?} {new:?}");
        }
    }
}

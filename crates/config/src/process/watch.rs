//! What is watched: `memory`, `cpu`, `answer`, `cycle` and `flapping` of `[process.NAME]`

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeValue;

use super::{AnswerCheck, CpuCheck, Cycle, Flapping, MemoryCheck, Times};
use crate::document::{Found, Section};
use crate::problem::Problem;
use crate::value::{self, describe};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Between two samples: a sample of the memory takes milliseconds.
const EVERY: RangeInclusive<Duration> = Duration::from_millis(100)..=DAY;
/// The longest memory of samples.
const MOST_TIMES: u64 = 100;
/// Less than any Ruby needs is a slip of the unit.
const MEMORY: RangeInclusive<u64> = 1 << 20..=1 << 50;
/// Percent of one core: a hundred of 1,024 of them.
const CPU: RangeInclusive<u64> = 1..=102_400;

/// `memory = "1 GiB"`, or a table.
pub(super) fn memory(section: &Section<'_>) -> Option<MemoryCheck> {
    let of = |above| MemoryCheck { above, every: Duration::from_secs(10), times: Times { bad: 1, of: 1 } };
    let short = |value: &DeValue<'_>| value::size(MEMORY)(value).map(of);
    let found = section.short_or_table("memory", "in `memory` of [process.NAME]", short, |table| {
        let above = table.read("above", value::size(MEMORY));
        let default = of(0);
        let every = table.or("every", default.every, value::duration_within(EVERY));
        let times = table.or("times", default.times, times);
        needs_above(&table, "memory = \"1 GiB\"");
        table.finish();
        above.map(|above| MemoryCheck { above: above.value, every, times })
    });
    found.map(|found| found.value)
}

/// `cpu = 90`, or a table.
pub(super) fn cpu(section: &Section<'_>) -> Option<CpuCheck> {
    let of = |above| CpuCheck { above, every: Duration::from_secs(10), times: Times::default() };
    let short = |value: &DeValue<'_>| percent(value).map(of);
    let found = section.short_or_table("cpu", "in `cpu` of [process.NAME]", short, |table| {
        let above = table.read("above", percent);
        let default = of(0);
        let every = table.or("every", default.every, value::duration_within(EVERY));
        let times = table.or("times", default.times, times);
        needs_above(&table, "cpu = 90");
        table.finish();
        above.map(|above| CpuCheck { above: above.value, every, times })
    });
    found.map(|found| found.value)
}

/// `answer = false`, `answer = true`, or a table. The inner `None` is `false`.
pub(super) fn answer(section: &Section<'_>) -> Option<Found<Option<AnswerCheck>>> {
    let short = |value: &DeValue<'_>| {
        let wanted = value.as_bool().ok_or_else(|| {
            Problem::new(format!("expected a table, true or false, found {}", describe(value)))
                .instead("write answer = { within = \"10s\", every = \"5s\" }, or answer = false")
        })?;
        Ok(wanted.then(AnswerCheck::default))
    };
    section.short_or_table("answer", "in `answer` of [process.NAME]", short, |table| {
        let default = AnswerCheck::default();
        let check = AnswerCheck {
            within: table.or("within", default.within, value::duration),
            every: table.or("every", default.every, value::duration_within(EVERY)),
            times: table.or("times", default.times, times),
        };
        table.finish();
        Some(Some(check))
    })
}

/// A restart every so often: by age, by requests, or by what comes first.
pub(super) fn cycle(section: &Section<'_>, has_upstream: bool) -> Option<Cycle> {
    let table = section.section("cycle", "in `cycle` of [process.NAME]");
    let age =
        table.read("age", value::duration_within(Duration::from_secs(1)..=Duration::from_secs(8760 * 3600)));
    let requests = table.read("requests", value::integer(1..=1_000_000_000_000));
    let jitter = table.or("jitter", 10, value::integer(0..=100));
    if let Some(requests) = requests.as_ref().filter(|_| !has_upstream) {
        let problem = Problem::new("a process in the background answers no requests");
        table.report(requests.span.clone(), problem.instead("write `age`, or name its `upstream`"));
    }
    if table.lacks("age") && table.lacks("requests") {
        let problem = Problem::new("`cycle` does not say when");
        table.report(
            table.span.clone(),
            problem.instead("write its `age`, such as \"12h\", or its `requests`"),
        );
    }
    table.finish();
    let cycle =
        Cycle { age: age.map(|found| found.value), requests: requests.map(|found| found.value), jitter };
    (cycle.age.is_some() || cycle.requests.is_some()).then_some(cycle)
}

pub(super) fn flapping(section: &Section<'_>) -> Flapping {
    let table = section.section("flapping", "in `flapping` of [process.NAME]");
    let default = Flapping::default();
    let flapping = Flapping {
        times: table.or("times", default.times, value::integer(1..=1000)),
        within: table.or("within", default.within, value::duration_within(Duration::from_secs(1)..=DAY)),
        most: table.or("most", default.most, value::duration_within(Duration::from_secs(1)..=DAY)),
    };
    table.finish();
    flapping
}

fn needs_above(table: &Section<'_>, short: &str) {
    // bluepill's name for it is an unknown key, which has an error of its own.
    if table.lacks("above") && !table.has("below") {
        let problem = Problem::new("nothing says how much is too much");
        table.report(table.span.clone(), problem.instead(format!("write its `above`, or shorter {short}")));
    }
}

fn percent(value: &DeValue<'_>) -> Result<u32, Problem> {
    value::integer(CPU)(value).map_err(|problem| match value {
        DeValue::String(_) | DeValue::Float(_) => Problem::new(format!("expected a number of percent, found {}", describe(value)))
            .instead("write the percent of one core as a whole number without quotes: 90, or 250 for two and a half cores"),
        _ => problem,
    })
}

/// `3`, or `[3, 5]`.
fn times(value: &DeValue<'_>) -> Result<Times, Problem> {
    let wrong = || {
        Problem::new(format!("expected a number of samples, or two of them, found {}", describe(value)))
            .instead("write [3, 5] for three bad samples of the last five, or 3 for three in a row")
    };
    let number = |value: &DeValue<'_>| value::integer::<u32>(1..=MOST_TIMES)(value);
    match value {
        DeValue::Integer(_) => number(value).map(|times| Times { bad: times, of: times }),
        DeValue::Array(array) => match &array[..] {
            [bad, of] => {
                let times = Times { bad: number(bad.get_ref())?, of: number(of.get_ref())? };
                if times.bad > times.of {
                    return Err(Problem::new(format!(
                        "{} of {} samples can never be bad",
                        times.bad, times.of
                    ))
                    .instead(format!("write [{}, {}]", times.of, times.bad)));
                }
                Ok(times)
            }
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    }
}

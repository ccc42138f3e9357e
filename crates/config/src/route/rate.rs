//! `rate`

use std::num::NonZeroU32;
use std::time::Duration;

use toml::de::DeValue;

use super::name;
use crate::document::{Reader, Section, Written};
use crate::model::{Rate, RateKey};
use crate::problem::Problem;
use crate::value::{self, describe};

const KIND: &str = "in `rate` of [[route]]";

/// Most requests of a rate, and at once.
const MOST: u32 = 1_000_000;

/// The longest time that a rate is over.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// One, or a list of them.
pub(super) fn read(section: &Section<'_>) -> Vec<Rate> {
    let reader = section.reader();
    let Some(written) = section.value("rate") else {
        table(Section::absent(reader, KIND));
        return Vec::new();
    };
    match written.get_ref() {
        DeValue::Array(array) if array.is_empty() => {
            reader
                .report(written.span(), Problem::new("there is no rate in the list").instead("leave it out"));
            Vec::new()
        }
        DeValue::Array(array) => array.iter().filter_map(|written| one(reader, written)).collect(),
        _ => one(reader, written).into_iter().collect(),
    }
}

fn one(reader: &Reader, written: Written<'_>) -> Option<Rate> {
    if let DeValue::Table(keys) = written.get_ref() {
        return table(Section::new(reader, KIND, keys, written.span()));
    }
    match short(written.get_ref()) {
        Ok(rate) => Some(rate),
        Err(problem) => {
            reader.report(written.span(), problem);
            None
        }
    }
}

fn table(section: Section<'_>) -> Option<Rate> {
    let count = || value::integer::<u32>(1..=u64::from(MOST));
    let requests = section.read("requests", count());
    let per = section.or("per", Duration::from_secs(1), per);
    let burst = section.read("burst", count());
    let by = section.or("by", RateKey::Client, by);
    if section.lacks("requests") {
        let problem = Problem::new("this rate does not say how many requests");
        section.report(section.span.clone(), problem.instead("write requests = 10, per = \"1s\""));
    }
    section.finish();
    let requests = NonZeroU32::new(requests?.value)?;
    let burst = burst.and_then(|burst| NonZeroU32::new(burst.value)).unwrap_or(requests);
    Some(Rate { requests, per, burst, by })
}

fn per(value: &DeValue<'_>) -> Result<Duration, Problem> {
    value::duration_within(Duration::from_millis(1)..=LONGEST)(value)
}

/// `"10/s"`, `"100/m"`, `"5/10s"`
fn short(value: &DeValue<'_>) -> Result<Rate, Problem> {
    const INSTEAD: &str =
        "write it as \"10/s\", \"100/m\" or \"5/10s\", or as { requests = 10, per = \"1s\" }";
    let wrong = || Problem::new(format!("{} is not a rate", describe(value))).instead(INSTEAD);
    let (requests, time) = value.as_str().and_then(|text| text.split_once('/')).ok_or_else(wrong)?;
    let requests = requests.trim().strip_suffix('r').unwrap_or(requests.trim());
    let requests =
        requests.trim().parse::<NonZeroU32>().ok().filter(|count| count.get() <= MOST).ok_or_else(wrong)?;
    let time = time.trim();
    let one =
        if time.starts_with(|c: char| c.is_ascii_digit()) { time.to_owned() } else { format!("1{time}") };
    let per = per(&DeValue::String(one.into())).map_err(|_| wrong())?;
    Ok(Rate { requests, per, burst: requests, by: RateKey::Client })
}

fn by(value: &DeValue<'_>) -> Result<RateKey, Problem> {
    const INSTEAD: &str = "write \"client\", \"all\" or \"field:X-Api-Key\"";
    match value::text(value, "client")? {
        "client" => Ok(RateKey::Client),
        "all" => Ok(RateKey::All),
        text => match text.split_once(':') {
            Some(("field", field)) => {
                name::field(field.trim()).map(|name| RateKey::Field(name.to_ascii_lowercase()))
            }
            Some(("header", field)) => Err(Problem::new(format!("{text:?} is not known here"))
                .instead(format!("write \"field:{field}\""))),
            _ => Err(Problem::new(format!("{text:?} is not known here")).instead(INSTEAD)),
        },
    }
}

//! What files cost, and compression: one worker pinned to core 1, clients and application on core 0.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::{Options, Report, need_two_cores};
use crate::backend::Backend;
use crate::chart::Chart;
use crate::client;
use crate::nginx;
use crate::program::{Launch, Program};
use crate::stats::{Ratios, median};
use crate::table::{Table, whole};
use crate::wrk::Wrk;

const CONNECTIONS: usize = 64;
const PROXY_CORE: usize = 1;
const LOAD_CORE: usize = 0;
/// How many small files there are.
const SMALL: usize = 1000;
/// Bytes of the large one, and how often it is taken in a round.
const LARGE: (usize, usize) = (100_000_000, 5);

/// Who serves; ratios are to the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Server {
    /// As most sites have it: `sendfile on`.
    Nginx,
    /// With `open_file_cache`, which keeps descriptors.
    NginxWithCache,
    Vestibule,
}

const SERVERS: [Server; 3] = [Server::Nginx, Server::NginxWithCache, Server::Vestibule];

impl Server {
    fn title(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::NginxWithCache => "nginx, `open_file_cache`",
            Self::Vestibule => "**Vestibule**",
        }
    }

    fn family(self) -> &'static str {
        if self == Self::Vestibule { "vestibule" } else { "nginx" }
    }
}

/// What is asked for, in the order of the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    TwoKb,
    HundredKb,
    HundredMb,
    Small,
    GzipFile,
    GzipPage,
}

const ALL: [(Work, &str); 6] = [
    (Work::TwoKb, "2 KB"),
    (Work::HundredKb, "100 KB"),
    (Work::HundredMb, "100 MB, per GB"),
    (Work::Small, "1,000 files of 2 KB"),
    (Work::GzipFile, "gzip of a file of 50 KB"),
    (Work::GzipPage, "gzip of a page of 50 KB"),
];

struct Round {
    /// Per second: requests, or GB.
    rate: f64,
    /// Microseconds of CPU time for each of them.
    cost: f64,
}

struct Series {
    server: Server,
    program: Program,
    address: SocketAddr,
    rounds: [Vec<Round>; ALL.len()],
    _directory: TempDir,
}

/// What is served.
struct Site {
    directory: TempDir,
    /// Asks for the small files one after the other.
    script: PathBuf,
}

impl Site {
    fn make() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let root = directory.path().join("public");
        fs::create_dir_all(root.join("small"))?;
        let mut words = Words(1);
        fs::write(root.join("2.html"), words.page(2_000))?;
        // No type that is compressed: what is measured is the sending.
        fs::write(root.join("100.bin"), words.page(100_000))?;
        fs::write(root.join("50.html"), words.page(50_000))?;
        fs::write(root.join("large.bin"), vec![b'x'; LARGE.0])?;
        for number in 0..SMALL {
            fs::write(root.join(format!("small/{number}.bin")), words.page(2_000))?;
        }
        let script = directory.path().join("small.lua");
        let text = format!(
            "local n = 0\nrequest = function()\n  n = (n + 1) % {SMALL}\n  return wrk.format(nil, \"/small/\" .. n .. \".bin\")\nend\n"
        );
        fs::write(&script, text)?;
        Ok(Self { directory, script })
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("public")
    }
}

/// Text that compresses as pages do: words drawn at random, some more often than others, in tags that repeat.
struct Words(u64);

impl Words {
    fn next(&mut self, below: u64) -> u64 {
        // Knuth's MMIX generator: the same pages in every run.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn page(&mut self, bytes: usize) -> String {
        let mut page =
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head><title>Orders</title></head>\n<body>\n".to_owned();
        while page.len() < bytes {
            let (id, price) = (self.next(100_000), self.next(10_000));
            let _ = write!(page, "<tr class=\"order\" id=\"order_{id}\"><td><a href=\"/orders/{id}\">");
            for _ in 0..3 + self.next(8) {
                // Two draws: low numbers are more frequent, as frequent words are.
                let word = self.next(2_000).min(self.next(2_000));
                let _ = write!(
                    page,
                    "{}{} ",
                    SYLLABLES[(word % 20) as usize],
                    SYLLABLES[(word / 20 % 20) as usize]
                );
            }
            let _ =
                writeln!(page, "</a></td><td class=\"price\">{}.{:02}</td></tr>", price / 100, price % 100);
        }
        page.truncate(bytes);
        page
    }
}

const SYLLABLES: [&str; 20] = [
    "an", "ber", "con", "der", "ent", "for", "ger", "hal", "ing", "jo", "ker", "lan", "men", "nor", "ou",
    "per", "qua", "res", "ste", "tion",
];

/// Runs the suite.
pub(crate) fn run(options: &Options, cores: usize) -> Result<Report> {
    need_two_cores(cores)?;
    let site = Site::make()?;
    let backend = Backend::with_pages(Some(LOAD_CORE), &site.root())?;
    let mut all = Vec::new();
    for server in SERVERS {
        if options.allows(server.family()) {
            all.push(start(server, &site.root(), backend.socket())?);
        }
    }
    for series in &all {
        check(series)?;
    }
    for number in 0..options.rounds(7) {
        for (index, (work, name)) in ALL.into_iter().enumerate() {
            // Another one begins each round, so that nobody always runs after the same one.
            let first = number % all.len().max(1);
            let (before, after) = all.split_at_mut(first);
            for series in after.iter_mut().chain(before) {
                let round = measure(series, work, &site, options)
                    .with_context(|| format!("{name} with {}", series.server.title()))?;
                eprintln!(
                    "round {number}: {name:24} {:26} {:9.1}/s {:9.1} µs",
                    series.server.title(),
                    round.rate,
                    round.cost
                );
                series.rounds[index].push(round);
            }
        }
    }
    Ok(report(&all))
}

fn start(server: Server, root: &Path, pages: &Path) -> Result<Series> {
    let directory = tempfile::tempdir()?;
    let address = client::free_address()?;
    let (root, pages) = (root.display(), pages.display());
    let launch = match server {
        Server::Nginx | Server::NginxWithCache => {
            let cache = match server {
                Server::NginxWithCache => "open_file_cache max=4000 inactive=60s; open_file_cache_valid 1s;",
                _ => "",
            };
            let http = format!(
                "types {{ text/html html; }} default_type application/octet-stream;
sendfile on; tcp_nopush on; {cache}
gzip on; gzip_proxied any; gzip_vary on;
upstream app {{ server unix:{pages}; keepalive 64; keepalive_requests 1000000000; }}
server {{
    listen {address} backlog=4096;
    location / {{ root {root}; }}
    location /pages/ {{
        proxy_pass http://app/; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Accept-Encoding \"\";
    }}
}}"
            );
            Launch::new("nginx", directory.path()).args(nginx::prepare(directory.path(), Some(1), &http)?)
        }
        Server::Vestibule => {
            let text = format!(
                "workers = 1
[[listen]]
address = \"{address}\"
[upstream.app]
address = \"unix:{pages}\"
in_flight = 64
[[route]]
files = \"{root}\"
[[route]]
path = \"/pages/*\"
strip = \"/pages\"
upstream = \"app\"
compress = {{ codings = [\"gzip\"] }}
fields.request.remove = [\"Accept-Encoding\"]
[limits]
connections_per_address = 16384
requests_per_connection = 1000000000
[log]
access = \"off\"
"
            );
            let file = directory.path().join("vestibule.toml");
            fs::write(&file, text)?;
            let launch = Launch::new(env!("CARGO_BIN_EXE_vestibule"), directory.path());
            let control = directory.path().join("control.sock");
            launch.args(["serve", "--config"]).args([file]).env("VESTIBULE_CONTROL", control)
        }
    };
    let mut program = launch.core(Some(PROXY_CORE)).start()?;
    program.wait_until(Duration::from_secs(15), || client::answers_at(address, "/2.html"))?;
    Ok(Series { server, program, address, rounds: Default::default(), _directory: directory })
}

/// Whether it does what is measured at all: a page that is not compressed would cost little.
fn check(series: &Series) -> Result<()> {
    for path in ["/50.html", "/pages/50.html"] {
        let url = format!("http://{}{path}", series.address);
        let launch = Launch::new("curl", Path::new("/")).args([
            "-sS",
            "-H",
            "Accept-Encoding: gzip",
            "-o",
            "/dev/null",
        ]);
        let output = launch.args(["-w", "%{http_code} %{size_download}", &url]).command()?.output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let size = text.strip_prefix("200 ").and_then(|size| size.parse::<u64>().ok());
        if size.is_none_or(|size| size >= 30_000) {
            bail!("{} does not compress {path}: {text}", series.server.title());
        }
        eprintln!("{:26} {path:16} {} bytes", series.server.title(), size.unwrap_or_default());
    }
    Ok(())
}

fn measure(series: &Series, work: Work, site: &Site, options: &Options) -> Result<Round> {
    let used = || series.program.tree()?.cpu_of_ended_too();
    let before = used()?;
    let start = Instant::now();
    let wrk = || Wrk::new(series.address, CONNECTIONS, options.seconds(2)).core(Some(LOAD_CORE));
    let run = match work {
        Work::TwoKb => wrk().path("/2.html").run()?,
        Work::HundredKb => wrk().path("/100.bin").run()?,
        Work::Small => wrk().script(&site.script).run()?,
        Work::GzipFile => wrk().path("/50.html").header("Accept-Encoding: gzip").run()?,
        Work::GzipPage => wrk().path("/pages/50.html").header("Accept-Encoding: gzip").run()?,
        Work::HundredMb => {
            let url = format!("http://{}/large.bin", series.address);
            for _ in 0..LARGE.1 {
                let launch = Launch::new("curl", Path::new("/")).args(["-sS", "-o", "/dev/null", "-f", &url]);
                let output = launch.core(Some(LOAD_CORE)).command()?.output().context("cannot run curl")?;
                if !output.status.success() {
                    bail!("curl failed: {}", String::from_utf8_lossy(&output.stderr));
                }
            }
            let gigabytes = (LARGE.0 * LARGE.1) as f64 / 1e9;
            let rate = gigabytes / start.elapsed().as_secs_f64();
            return Ok(Round { rate, cost: used()?.saturating_sub(before).as_secs_f64() * 1e6 / gigabytes });
        }
    };
    if run.failed > 0 {
        bail!("{} requests of wrk failed", run.failed);
    }
    let used = used()?.saturating_sub(before).as_secs_f64();
    Ok(Round { rate: run.rate, cost: used * 1e6 / run.requests.max(1) as f64 })
}

fn report(all: &[Series]) -> Report {
    let note = format!(
        "One worker on a core of its own, clients and application together on the other one; wrk with {CONNECTIONS} connections, \
         the 100 MB with curl, {} times in a round. `sendfile` and `tcp_nopush` are on in nginx, gzip at its default level, 1. A file \
         is compressed once by Vestibule, and each time by nginx; a page comes from an application and is compressed each time by \
         both. Requests (GB) per second · CPU µs of the server for each · that as a multiple of nginx's, the median of each round's, in \
         parentheses the middle half of the rounds.",
        LARGE.1
    );
    let [first, second, third, fourth, fifth, sixth] = ALL.map(|(_, name)| name);
    let headers = ["", first, second, third, fourth, fifth, sixth];
    let mut table = Table::new("Files and compression", &note, headers);
    let mut chart = Chart::new("A file of 2 KB: CPU per request, less is better", "µs");
    let nginx = all.iter().find(|series| series.server == Server::Nginx);
    let costs = |series: &Series, index: usize| {
        series.rounds[index].iter().map(|round| round.cost).collect::<Vec<_>>().into_iter()
    };
    for series in all {
        let cell = |index: usize| {
            let rate = median(series.rounds[index].iter().map(|round| round.rate));
            let rate = if rate < 100.0 { format!("{rate:.1}") } else { whole(rate) };
            let figures = format!("{rate} · {:.1}", median(costs(series, index)));
            // Without nginx in the run there is nothing to divide by.
            nginx.map_or(figures.clone(), |nginx| {
                let ratios = Ratios::new(costs(series, index), costs(nginx, index));
                let (low, high) = ratios.middle_half();
                format!("{figures} · {:.2} ({low:.2}–{high:.2})", ratios.median())
            })
        };
        let name = series.server.title().to_owned();
        chart.bar(&name, median(costs(series, 0)));
        table.row(std::iter::once(name).chain((0..ALL.len()).map(cell)));
    }
    Report { table, charts: vec![chart] }
}

//! The top level, and the tables that stand once.

use super::Shape::{
    Any, Boolean, Duration, Filled, Integer, List, Named, Numbers, OneOf, Only, Pattern, Size, Text,
};
use super::listen::LISTEN;
use super::process::PROCESS;
use super::route::{COMPRESS_OF_ALL, ROUTE};
use super::upstream::UPSTREAM;
use super::{Shape, Table, key, or, table};
use crate::error_page::STATUSES;

const ADDRESS_OR_NETWORK: Shape = Text;

pub(super) static TOP: Table = table(
    "at the top level",
    &[
        key(
            "include",
            List(&Text),
            "Further files, by name or by pattern (\"sites/*.toml\"), from the directory of this one. What they say is as if it stood here.",
        ),
        key("workers", Integer(1, 1024), "Threads that serve traffic. Default: one per core."),
        or(
            "trusted_proxies",
            "[]",
            List(&ADDRESS_OR_NETWORK),
            "Proxies in front of us, as networks or addresses: only their X-Forwarded-* and X-Request-Id are believed.",
        ),
        key(
            "listen",
            List(&Shape::Table(&LISTEN)),
            "Where the public comes in: one [[listen]] for each address.",
        ),
        key("upstream", Named(&Shape::Table(&UPSTREAM)), "The applications: [upstream.NAME] for each."),
        key("dns", Shape::Table(&DNS), "How names of servers are looked up."),
        key(
            "route",
            List(&Shape::Table(&ROUTE)),
            "Which requests go where: one [[route]] for each. The most specific one wins, wherever it stands.",
        ),
        key(
            "process",
            Named(&Shape::Table(&PROCESS)),
            "The applications as the operating system sees them: who starts, stops, restarts and watches them.",
        ),
        key("control", Shape::Table(&CONTROL), "How the running Vestibule is told what to do."),
        key("reload", Shape::Table(&RELOAD), "How a new configuration is taken."),
        key("limits", Shape::Table(&LIMITS), "What one client may use."),
        key("buffer", Shape::Table(&BUFFER), "How bodies are kept while a client is slow."),
        key("disk", Shape::Table(&DISK), "Where bodies go that memory does not take."),
        key("fields", Shape::Table(&FIELDS), "What is added to the fields of a request, and what may pass."),
        key(
            "compress",
            COMPRESS_OF_ALL,
            "Which answers of applications are compressed, on routes that say nothing else. Default: none.",
        ),
        key(
            "error_pages",
            Shape::Numbered(STATUSES, &Any(&[Text, Filled(&Text)])),
            "Your own pages for the statuses that Vestibule answers with itself: 503 = \"/srv/app/public/503.html\".",
        ),
        key("log", Shape::Table(&LOG), "The access log: one entry per request."),
    ],
);

static DNS: Table = table(
    "in [dns]",
    &[
        or(
            "servers",
            "[]",
            List(&Text),
            "Who is asked: IP addresses, with a port if it is not 53. Default: whom the system asks.",
        ),
        or("timeout", "\"5s\"", Duration, "The longest that one question may take."),
        or(
            "least_ttl",
            "\"1s\"",
            Duration,
            "The shortest time between two questions for a name, whatever its TTL says.",
        ),
        or(
            "most_ttl",
            "\"5m\"",
            Duration,
            "The longest time between two questions for a name, whatever its TTL says.",
        ),
    ],
);

static CONTROL: Table = table(
    "in [control]",
    &[key(
        "socket",
        Text,
        "The control socket. Default: what VESTIBULE_CONTROL says, else /run/vestibule/control.sock, else control.sock in /tmp/vestibule-UID.",
    )],
);

static RELOAD: Table = table(
    "in [reload]",
    &[or("watch", "false", Boolean, "Whether the configuration is read anew when one of its files changes.")],
);

static LIMITS: Table = table(
    "in [limits]",
    &[
        or("head", "\"64 KiB\"", Size, "The largest head of a request: then 431."),
        or("fields", "100", Integer(1, 1000), "The most fields of a request's head: then 431."),
        or("body", "\"1 GiB\"", Size, "The largest request body: then 413."),
        or(
            "request_timeout",
            "\"30s\"",
            Duration,
            "The longest that a client may take to send a head, or be silent inside a body: then 408.",
        ),
        or(
            "idle_timeout",
            "\"75s\"",
            Duration,
            "The longest that a connection may be idle between two requests.",
        ),
        or("send_timeout", "\"60s\"", Duration, "The longest that a client may take nothing of its answer."),
        or(
            "receive_rate",
            "\"500 B\"",
            Size,
            "The least that a client sends of a body, in bytes per second, once `request_timeout` is over: then 408.",
        ),
        or(
            "send_rate",
            "\"500 B\"",
            Size,
            "The least that a client takes of an answer, in bytes per second, over each `send_timeout`.",
        ),
        or("connections", "16384", Integer(1, 1_000_000), "The most client connections in all: then 503."),
        or(
            "connections_per_address",
            "1024",
            Integer(1, 1_000_000),
            "The most connections of one address, or of one /64 in IPv6: then 429.",
        ),
        or(
            "requests_per_connection",
            "10000",
            Integer(1, 1_000_000_000),
            "Requests after which a connection is closed.",
        ),
        or("handshake_timeout", "\"10s\"", Duration, "The longest that a TLS handshake may take."),
        or(
            "http2_streams",
            "100",
            Integer(1, 1000),
            "The most requests under way at once on an HTTP/2 connection.",
        ),
    ],
);

const REQUEST: &str = "Whether request bodies are read whole before the application is asked.";
const RESPONSE: &str = "Whether answers are taken as fast as the application writes them.";
const MEMORY: &str = "The most of one body that is kept in memory; what is longer goes to disk.";
const MOST_ON_DISK: &str =
    "The most of one answer that is kept on disk; above it the application waits for the client.";

static BUFFER: Table = table(
    "in [buffer]",
    &[
        or("request", "true", Boolean, REQUEST),
        or("response", "true", Boolean, RESPONSE),
        or("memory", "\"64 KiB\"", Size, MEMORY),
        or("disk", "\"1 GiB\"", Size, MOST_ON_DISK),
    ],
);

pub(super) static ROUTE_BUFFER: Table = table(
    "in `buffer` of [[route]]",
    &[
        key("request", Boolean, REQUEST),
        key("response", Boolean, RESPONSE),
        key("memory", Size, MEMORY),
        key("disk", Size, MOST_ON_DISK),
    ],
);

static DISK: Table = table(
    "in [disk]",
    &[
        or(
            "directory",
            "\"/var/tmp\"",
            Text,
            "A directory of a real disk, for temporary files that have no name.",
        ),
        or("most", "\"8 GiB\"", Size, "The most of all bodies together; \"0 B\" writes nothing to disk."),
    ],
);

static FIELDS: Table = table(
    "in [fields]",
    &[
        or(
            "via",
            "\"vestibule\"",
            Any(&[Pattern("^[A-Za-z0-9!#$%&'*+.^_`|~-]{0,64}$"), Only(false)]),
            "Our name in the Via field that the application gets; false for none.",
        ),
        or(
            "forwarded",
            "false",
            Boolean,
            "Whether the application gets Forwarded (RFC 7239) beside X-Forwarded-*.",
        ),
        or("underscores", "false", Boolean, "Whether fields with an underscore in their name pass."),
    ],
);

static LOG: Table = table(
    "in [log]",
    &[
        or(
            "access",
            "\"auto\"",
            OneOf(&["auto", "json", "line", "combined", "off"]),
            "The form of the access log; \"auto\" is \"line\" on a terminal and \"json\" elsewhere.",
        ),
        or(
            "output",
            "\"stdout\"",
            Text,
            "\"stdout\", or the path of a file, which is opened anew on SIGUSR1.",
        ),
    ],
);

/// Statuses of a redirect.
pub(super) const REDIRECTS: Shape = Numbers(&[301, 302, 303, 307, 308]);

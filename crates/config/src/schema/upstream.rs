//! `[upstream.NAME]`

use super::Shape::{Any, Boolean, Duration, Filled, Integer, OneOf, Pattern, Size, Text};
use super::{Shape, Table, key, needs, or, table};

pub(super) static UPSTREAM: Table = table(
    "in [upstream.NAME]",
    &[
        or(
            "address",
            "\"unix:/tmp/web_server.sock\"",
            Text,
            "Where it listens: unix:/path, host:port, or srv:NAME for what the DNS says of a service.",
        ),
        key(
            "addresses",
            Filled(&Any(&[Text, Shape::Table(&MEMBER)])),
            "Where several servers of one application listen, its members: an address alone, or with what it is to get.",
        ),
        key(
            "balance",
            Pattern("^(least|random|hash:(client|path|field:.+|cookie:.+))$"),
            "Which member gets a request: \"least\", \"random\", \"hash:client\", \"hash:path\", \"hash:field:NAME\" or \"hash:cookie:NAME\". Default: \"least\".",
        ),
        key("slow_start", Duration, "How long a member that came back gets fewer requests. Default: \"0s\"."),
        or(
            "pid_file",
            "\"/tmp/web_server.pid\"",
            Text,
            "Where it writes its PID. The default belongs to the default address.",
        ),
        or(
            "server",
            "\"auto\"",
            OneOf(&["auto", "puma", "unicorn", "thin", "passenger"]),
            "Which Rack server it is; \"auto\" recognises it by the process that holds the socket.",
        ),
        or(
            "in_flight",
            "\"auto\"",
            Any(&[OneOf(&["auto"]), Integer(1, 1_000_000)]),
            "Most requests that it gets at once, over all workers; \"auto\" finds how many it can really run.",
        ),
        key("hold", Shape::Table(&HOLD), "What happens while it cannot take a request: the request is held."),
        key(
            "health",
            Shape::Table(&HEALTH),
            "A probe that asks it how it is. Without a `path` there is none.",
        ),
        key("drain", Shape::Table(&DRAIN), "What happens to requests in flight when we are stopped."),
        key("timeout", Shape::Table(&TIMEOUT), "Time limits of one attempt."),
        key("maintenance", Text, "While this file exists, requests are answered 503 with what is in it."),
    ],
);

static MEMBER: Table = needs(
    &["address"],
    table(
        "in `addresses` of [upstream.NAME]",
        &[
            key("address", Text, "Where it listens."),
            or("weight", "1", Integer(1, 1000), "How much it gets beside the others."),
            or("backup", "false", Boolean, "Whether it gets requests only while all others are away or ill."),
            key(
                "slow_start",
                Duration,
                "How long it gets fewer requests after it came back. Default: what the upstream says.",
            ),
        ],
    ),
);

static HOLD: Table = table(
    "in `hold` of [upstream.NAME]",
    &[
        or("timeout", "\"30s\"", Duration, "The longest that a request is held."),
        or(
            "requests",
            "10000",
            Integer(0, 1_000_000),
            "The most requests that wait at once; 0 lets none wait.",
        ),
        or("memory", "\"64 MiB\"", Size, "The most memory that held requests take together."),
    ],
);

static HEALTH: Table = table(
    "in `health` of [upstream.NAME]",
    &[
        key("path", Text, "The path that is asked, such as \"/up\"."),
        or("interval", "\"1s\"", Duration, "From the start of one probe to the start of the next."),
        or("timeout", "\"5s\"", Duration, "The longest that a probe may take."),
        or("rise", "1", Integer(1, 1000), "Good probes in a row that make it healthy."),
        or("fall", "3", Integer(1, 1000), "Bad probes in a row that make it unhealthy."),
        or("host", "\"localhost\"", Text, "What the probe sends as Host."),
        or("proto", "\"https\"", OneOf(&["http", "https"]), "What the probe sends as X-Forwarded-Proto."),
    ],
);

static DRAIN: Table = table(
    "in `drain` of [upstream.NAME]",
    &[or(
        "timeout",
        "\"30s\"",
        Duration,
        "How long requests in flight may take to finish when we are stopped; \"0s\" cuts them at once.",
    )],
);

static TIMEOUT: Table = table(
    "in `timeout` of [upstream.NAME]",
    &[
        or("connect", "\"5s\"", Duration, "The longest that a TCP connect may take."),
        or(
            "response",
            "\"60s\"",
            Duration,
            "The longest from the request sent to the first byte of the answer: then 504.",
        ),
        or("idle", "\"300s\"", Duration, "The longest silence inside an answer."),
        or(
            "tunnel",
            "\"1h\"",
            Duration,
            "The longest silence, both ways, in a WebSocket or another protocol that a connection changed to.",
        ),
    ],
);

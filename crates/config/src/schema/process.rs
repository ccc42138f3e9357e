//! `[process.NAME]`

use super::Shape::{Any, Boolean, Duration, Integer, List, Literal, Named, OneOf, Pair, Size, Text};
use super::{Shape, Table, key, needs, or, table};

const COMMAND: Shape = List(&Literal);
const SIGNAL: Shape = Text;
const TIMES: Shape = Any(&[Integer(1, 100), Pair(&Integer(1, 100))]);

pub(super) static PROCESS: Table = table(
    "in [process.NAME]",
    &[
        key("upstream", Text, "The upstream whose requests it answers, where that has another name."),
        key(
            "command",
            COMMAND,
            "The program and its arguments, word by word, in the foreground; {socket}, {pid_file}, {name} and {directory} are filled in.",
        ),
        key("start_command", COMMAND, "What makes another program start it, and ends by itself."),
        key("directory", Text, "Where it runs; looked up at each start."),
        key("user", Any(&[Text, Integer(0, 4_294_967_294)]), "As whom it runs, by name or number."),
        key(
            "group",
            Any(&[Text, Integer(0, 4_294_967_294)]),
            "Its group, by name or number. Default: that of the user.",
        ),
        key(
            "environment",
            Named(&Any(&[Literal, Integer(0, 9_223_372_036_854_775_807), Boolean])),
            "Variables that it has beside those of Vestibule.",
        ),
        or("output", "\"log\"", Text, "Where its output goes: \"log\", into ours, or to the end of a file."),
        key("limits", Shape::Table(&LIMITS), "What each of its processes may use (setrlimit)."),
        or("instances", "1", Integer(1, 64), "How many of it run; more than one only without an upstream."),
        key("pid_file", Text, "Where it writes its PID. Default: where its upstream says."),
        key(
            "start",
            Boolean,
            "Whether it is started with Vestibule if it does not run then. Default: true where something says how.",
        ),
        key(
            "on_exit",
            OneOf(&["stop", "leave"]),
            "What becomes of it when Vestibule ends. Default: \"stop\" with a `command`, else \"leave\".",
        ),
        or("start_timeout", "\"60s\"", Duration, "The longest from its start to its first answer over HTTP."),
        key(
            "stop_sequence",
            List(&Any(&[Text, Integer(0, 3600)])),
            "How it is stopped: signals, and how long each is given, such as [\"TERM\", \"30s\", \"KILL\"].",
        ),
        or(
            "restart",
            "\"auto\"",
            OneOf(&["auto", "signal", "command", "stop-start", "replace"]),
            "How it is restarted.",
        ),
        key("restart_signal", SIGNAL, "The signal on which the server restarts itself."),
        key("restart_command", COMMAND, "The command that restarts it."),
        key(
            "memory",
            Any(&[Size, Shape::Table(&MEMORY)]),
            "The memory of all its processes above which it is restarted.",
        ),
        key(
            "cpu",
            Any(&[Integer(1, 102_400), Shape::Table(&CPU)]),
            "The percent of one core above which it is restarted.",
        ),
        key("answer", Any(&[Boolean, Shape::Table(&ANSWER)]), "How soon it answers."),
        key("cycle", Shape::Table(&CYCLE), "It is restarted every so often."),
        key(
            "flapping",
            Shape::Table(&FLAPPING),
            "When its deaths are too many: pauses before the next start grow.",
        ),
        key("alert", COMMAND, "A command that is run when something happens that somebody should know."),
    ],
);

static LIMITS: Table = table(
    "in `limits` of [process.NAME]",
    &[
        key("open_files", Integer(16, 1 << 30), "Open files."),
        key("processes", Integer(1, 1 << 30), "Processes of the user."),
        key("memory", Size, "Address space."),
        key("core", Size, "Core files."),
    ],
);

const EVERY: &str = "Between two samples.";
const BAD: &str = "How many bad samples of how many: [3, 5], or 3 for three in a row.";

static MEMORY: Table = needs(
    &["above"],
    table(
        "in `memory` of [process.NAME]",
        &[
            key("above", Size, "What may not be passed."),
            or("every", "\"10s\"", Duration, EVERY),
            or("times", "[1, 1]", TIMES, BAD),
        ],
    ),
);

static CPU: Table = needs(
    &["above"],
    table(
        "in `cpu` of [process.NAME]",
        &[
            key("above", Integer(1, 102_400), "What may not be passed, in percent of one core."),
            or("every", "\"10s\"", Duration, EVERY),
            or("times", "[3, 5]", TIMES, BAD),
        ],
    ),
);

static ANSWER: Table = table(
    "in `answer` of [process.NAME]",
    &[
        or("within", "\"10s\"", Duration, "The longest that it may take."),
        or("every", "\"5s\"", Duration, "Between two requests."),
        or("times", "[3, 5]", TIMES, BAD),
    ],
);

static CYCLE: Table = table(
    "in `cycle` of [process.NAME]",
    &[
        key("age", Duration, "It is restarted at this age."),
        key("requests", Integer(1, 1_000_000_000_000), "It is restarted after so many answers."),
        or("jitter", "10", Integer(0, 100), "Percent by which each is lengthened at random."),
    ],
);

static FLAPPING: Table = table(
    "in `flapping` of [process.NAME]",
    &[
        or("times", "5", Integer(1, 1000), "So many deaths or failed starts,"),
        or("within", "\"60s\"", Duration, "in so long, are flapping."),
        or("most", "\"5m\"", Duration, "The longest pause."),
    ],
);

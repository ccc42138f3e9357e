//! `[[route]]`, and `[compress]`

use super::Shape::{Any, Boolean, Duration, Filled, Integer, List, Named, OneOf, Only, Size, Template, Text};
use super::top::{REDIRECTS, ROUTE_BUFFER};
use super::{Key, Shape, Table, key, needs, or, table};

/// One text, or a list of them.
const ONE_OR_MORE: Shape = Any(&[Text, Filled(&Text)]);
/// A condition on a value by name: exact, `"~ regex"`, or whether it is there.
const CONDITIONS: Shape = Named(&Any(&[Text, Boolean]));
const CODING: Shape = OneOf(&["br", "zstd", "gzip"]);
const CODINGS: Shape = Any(&[CODING, Filled(&CODING)]);
const STEP: Shape = OneOf(&["files", "upstream", "upstreams", "redirect", "respond"]);

pub(super) static ROUTE: Table = table(
    super::ROUTE,
    &[
        key(
            "host",
            ONE_OR_MORE,
            "A name, or all names below one (\"*.example.com\"), or a list of them. Default: any host.",
        ),
        key(
            "path",
            ONE_OR_MORE,
            "One path (\"/up\"), everything below one (\"/api/*\"), a pattern (\"/*/edit\", \"/files/**/*.pdf\"), a regular expression (\"~ ^/u/(\\d+)$\"), or a list of them. Default: any path.",
        ),
        key("method", ONE_OR_MORE, "A method, or a list of them. Default: any."),
        key(
            "header",
            CONDITIONS,
            "What fields a request has: a value, \"~ regular expression\", true (it is there) or false (it is not).",
        ),
        key("query", CONDITIONS, "What its query has, decoded: as in `header`."),
        key("client", ONE_OR_MORE, "Networks or addresses that it comes from."),
        key("upstream", Text, "The upstream that answers."),
        key("upstreams", Filled(&Shape::Table(&SHARE)), "Several upstreams by weight."),
        key(
            "sticky",
            Any(&[Text, Shape::Table(&STICKY)]),
            "The cookie that brings a client to the same upstream each time.",
        ),
        key("files", Any(&[Text, Shape::Table(&FILES)]), "A directory whose files answer."),
        key(
            "redirect",
            Any(&[Template, Shape::Table(&REDIRECT)]),
            "Another address; $host, $path, $query, $uri, $scheme and what the path caught ($1, ${name}) are put in.",
        ),
        key(
            "respond",
            Any(&[Integer(200, 599), Shape::Table(&RESPOND)]),
            "An answer that is always the same.",
        ),
        key("try", Any(&[STEP, Filled(&STEP)]), "The order in which several of them are asked."),
        key("rewrite", Template, "Another path to go on with, for files and for the application."),
        key("strip", Text, "What is left out of the path's beginning."),
        key("allow", ONE_OR_MORE, "Networks that are let in; \"all\" is everybody."),
        key("deny", ONE_OR_MORE, "Networks that are not: 403. The longest prefix of both decides."),
        key("auth", Shape::Table(&AUTH), "Who has to say a name and a password (basic)."),
        key(
            "rate",
            Any(&[Text, Shape::Table(&RATE), Filled(&Any(&[Text, Shape::Table(&RATE)]))]),
            "How often they may come, such as \"10/s\": then 429.",
        ),
        key("fields", Shape::Table(&CHANGES), "Fields that are set, added and removed, both ways."),
        or("security", "false", Boolean, "Security fields for answers that have none of the same name."),
        key(
            "cors",
            Any(&[Text, Shape::Table(&CORS)]),
            "Which other sites' scripts may read the answers; \"*\" for any.",
        ),
        key("compress", COMPRESS, "Which answers are compressed, and how."),
        key(
            "buffer",
            Shape::Table(&ROUTE_BUFFER),
            "How bodies are kept, where it differs from [buffer]: key by key.",
        ),
        key("limits", Shape::Table(&LIMITS), "Limits, where they differ from [limits]."),
        key("timeout", Shape::Table(&TIMEOUT), "Time limits in place of those of the upstream."),
        key(
            "sendfile",
            Any(&[Named(&Text), Only(true)]),
            "Where files lie that the application has us send: beginnings of X-Sendfile or X-Accel-Redirect, and their directories.",
        ),
    ],
);

static SHARE: Table = needs(
    &["upstream"],
    table(
        "in `upstreams` of [[route]]",
        &[
            key("upstream", Text, "The upstream."),
            or("weight", "1", Integer(0, 1_000_000), "Its share of the requests."),
        ],
    ),
);

static STICKY: Table = needs(
    &["cookie"],
    table(
        "in `sticky` of [[route]]",
        &[
            key("cookie", Text, "The cookie's name."),
            key("age", Duration, "How long the client keeps it. Default: until it is closed."),
        ],
    ),
);

static FILES: Table = needs(
    &["root"],
    table(
        "in `files` of [[route]]",
        &[
            key("root", Text, "The directory, from the root or from the directory of this file."),
            key("strip", Text, "What of the path is left out before it is looked up."),
            or(
                "index",
                "\"index.html\"",
                Any(&[Text, Only(false)]),
                "The file of a directory, for paths that end with `/`; false for none.",
            ),
            key("fallback", ONE_OR_MORE, "What else is tried when there is no such file; $path is the path."),
            key(
                "precompressed",
                Any(&[Boolean, CODINGS]),
                "Whether FILE.br, FILE.zst, FILE.gz beside a file are sent in its place, the preferred first.",
            ),
            key("cache_control", Text, "Cache-Control of what is found."),
            key("immutable", ONE_OR_MORE, "Paths whose content never changes."),
            or(
                "links",
                "\"inside\"",
                Any(&[OneOf(&["inside", "none", "any"]), Filled(&Text)]),
                "Which symbolic links are followed: those that lead to something in the root, none, any, or those that lead into these directories.",
            ),
            key("types", Named(&Text), "Types by file ending, beside those that are known."),
            or(
                "check",
                "\"1s\"",
                Duration,
                "How long a file is believed to be what it was before it is looked at again.",
            ),
        ],
    ),
);

static REDIRECT: Table = needs(
    &["to"],
    table(
        "in `redirect` of [[route]]",
        &[
            key("to", Template, "What stands in Location."),
            or("status", "308", REDIRECTS, "301, 302, 303, 307 or 308."),
        ],
    ),
);

static RESPOND: Table = table(
    "in `respond` of [[route]]",
    &[
        or("status", "200", Integer(200, 599), "The status; 444 closes the connection without an answer."),
        key("type", Text, "Content-Type."),
        key("body", Text, "The body. Default: the error page of that status, if it is 400 or above."),
        key("body_file", Text, "A file with the body, read at the start."),
    ],
);

static AUTH: Table = table(
    "in `auth` of [[route]]",
    &[
        or("realm", "\"Restricted\"", Text, "What the browser shows."),
        key("users", Named(&Text), "Names, each with the hash of its password: bcrypt or argon2."),
        key("file", Text, "A file with such names and hashes, as htpasswd -B writes it."),
    ],
);

static RATE: Table = needs(
    &["requests"],
    table(
        "in `rate` of [[route]]",
        &[
            key("requests", Integer(1, 4_294_967_295), "So many requests,"),
            key("per", Duration, "in so long, evenly."),
            key(
                "burst",
                Integer(1, 4_294_967_295),
                "So many at once, when there was a pause. Default: `requests`.",
            ),
            or("by", "\"client\"", Text, "Who counts as one: \"client\", \"field:NAME\" or \"all\"."),
        ],
    ),
);

static CHANGES: Table = table(
    "in `fields` of [[route]]",
    &[
        key(
            "request",
            Shape::Table(&REQUEST_CHANGES),
            "Changes to the fields of a request, as the application gets it.",
        ),
        key(
            "response",
            Shape::Table(&RESPONSE_CHANGES),
            "Changes to the fields of an answer, whoever made it.",
        ),
    ],
);

const SET: Key = key("set", Named(&Template), "Fields that replace those of the same name.");
const ADD: Key =
    key("add", Named(&Any(&[Template, List(&Template)])), "Fields beside those of the same name.");
const REMOVE: Key = key("remove", ONE_OR_MORE, "Fields that are taken away.");

static REQUEST_CHANGES: Table = table("in `request` of `fields`", &[SET, ADD, REMOVE]);
static RESPONSE_CHANGES: Table = table("in `response` of `fields`", &[SET, ADD, REMOVE]);

static CORS: Table = needs(
    &["origins"],
    table(
        "in `cors` of [[route]]",
        &[
            key("origins", ONE_OR_MORE, "Origins, as browsers write them; \"*\" for any."),
            key("methods", ONE_OR_MORE, "Methods beyond GET, HEAD and POST."),
            key("fields", ONE_OR_MORE, "Fields of the request beyond those that are always allowed."),
            key(
                "expose",
                ONE_OR_MORE,
                "Fields of the answer that the script may read beyond those that it always may.",
            ),
            or("credentials", "false", Boolean, "Whether cookies may come along; not with any origin."),
            key("age", Duration, "How long a browser remembers this."),
        ],
    ),
);

const COMPRESS: Shape = Any(&[Boolean, Shape::Table(&COMPRESS_TABLE)]);
/// `[compress]`
pub(super) const COMPRESS_OF_ALL: Shape = Any(&[Boolean, Shape::Table(&COMPRESS_OF_ALL_TABLE)]);

const COMPRESSION: &[Key] = &[
    or("codings", "[\"zstd\", \"br\", \"gzip\"]", CODINGS, "The codings, the preferred first."),
    or("least", "\"1 KiB\"", Size, "The smallest body that is worth it, where its length is known."),
    key("types", ONE_OR_MORE, "Types: \"text/html\", or \"text/*\"."),
];
static COMPRESS_TABLE: Table = table("in `compress` of [[route]]", COMPRESSION);
static COMPRESS_OF_ALL_TABLE: Table = table("in [compress]", COMPRESSION);

static LIMITS: Table =
    table("in `limits` of [[route]]", &[key("body", Size, "The largest request body: then 413.")]);

static TIMEOUT: Table = table(
    "in `timeout` of [[route]]",
    &[
        key(
            "response",
            Duration,
            "The longest from the request sent to the first byte of the answer: then 504.",
        ),
        key("idle", Duration, "The longest silence inside an answer."),
        key(
            "tunnel",
            Duration,
            "The longest silence, both ways, in a WebSocket or another protocol that a connection changed to.",
        ),
    ],
);

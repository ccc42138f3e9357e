//! What `[process.NAME]` means, and what does not go together in it.

use std::time::Duration;

use super::{assert_wrong, right, wrong, wrong_once};
use crate::model::*;
use crate::process::*;

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn one(text: &str) -> Process {
    let mut processes = right(text).processes;
    assert_eq!(processes.len(), 1, "{processes:#?}");
    processes.remove(0)
}

#[test]
fn a_command_is_enough() {
    let process = one("[process.app]\ncommand = [\"puma\", \"-b\", \"unix://{socket}\"]");
    let command = words(&["puma", "-b", "unix://{socket}"]);
    assert_eq!(process, Process::owned(UpstreamId(0), &Upstream::default(), command));
    assert!(process.is_owned() && process.is_started && process.answer == Some(AnswerCheck::default()));
}

#[test]
fn without_a_command_it_is_adopted_by_its_pid_file() {
    assert_eq!(one(""), Process::adopted(UpstreamId(0), &Upstream::default()));
    assert_eq!(one("[process.app]"), Process::adopted(UpstreamId(0), &Upstream::default()));
    let process =
        one("[process.app]\nstart_command = [\"systemctl\", \"start\", \"puma\"]\npid_file = \"/run/a.pid\"");
    let expected = Process {
        start: Start::Adopted { command: Some(words(&["systemctl", "start", "puma"])) },
        pid_file: Some("/run/a.pid".into()),
        is_started: true,
        ..Process::adopted(UpstreamId(0), &Upstream::default())
    };
    assert_eq!(process, expected);
    assert!(!one("[process.app]\nstart = false").is_started);
}

#[test]
fn reads_every_key_of_a_process() {
    let process = one(r#"
        [upstream.web]
        address = "unix:/run/web.sock"
        server = "puma"
        [process.site]
        upstream = "web"
        command = ["puma"]
        directory = "/srv/app/current"
        user = "deploy"
        group = "www-data"
        environment = { RAILS_ENV = "production", PORT = 3000, A = true, URL = "unix:{socket}", N = -1 }
        output = "/var/log/app.log"
        limits = { open_files = 65536, processes = 4096, memory = "4 GiB", core = 0 }
        instances = 1
        pid_file = "/run/web.pid"
        start = false
        on_exit = "leave"
        start_timeout = "2m"
        stop_sequence = ["TERM", "30s", "kill"]
        restart = "signal"
        restart_signal = "sigusr1"
        memory = { above = "1 GiB", every = "500ms", times = [2, 4] }
        cpu = { above = 250, every = "1m", times = 3 }
        answer = { within = "3s", every = "1s", times = [1, 2] }
        cycle = { age = "12h", requests = 100000, jitter = 0 }
        flapping = { times = 3, within = "10s", most = "1h" }
        alert = ["/usr/local/bin/page", "{ x }"]
        "#);
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let expected = Process {
        name: "site".to_owned(),
        upstream: Some(UpstreamId(0)),
        server: Server::Puma,
        start: Start::Owned(words(&["puma"])),
        directory: Some("/srv/app/current".into()),
        user: Some("deploy".to_owned()),
        group: Some("www-data".to_owned()),
        environment: vec![
            variable("A", "true"),
            variable("N", "-1"),
            variable("PORT", "3000"),
            variable("RAILS_ENV", "production"),
            variable("URL", "unix:{socket}"),
        ],
        output: Output::File("/var/log/app.log".into()),
        limits: ProcessLimits {
            open_files: Some(65536),
            processes: Some(4096),
            memory: Some(4 << 30),
            core: Some(0),
        },
        instances: 1,
        pid_file: Some("/run/web.pid".into()),
        is_started: false,
        on_exit: OnExit::Leave,
        start_timeout: Duration::from_secs(120),
        stop_sequence: Some(vec![
            StopStep::Signal(Signal::Term),
            StopStep::Wait(Duration::from_secs(30)),
            StopStep::Signal(Signal::Kill),
        ]),
        restart: Restart::Signal(Signal::Usr1),
        memory: Some(MemoryCheck {
            above: 1 << 30,
            every: Duration::from_millis(500),
            times: Times { bad: 2, of: 4 },
        }),
        cpu: Some(CpuCheck { above: 250, every: Duration::from_secs(60), times: Times { bad: 3, of: 3 } }),
        answer: Some(AnswerCheck {
            within: Duration::from_secs(3),
            every: Duration::from_secs(1),
            times: Times { bad: 1, of: 2 },
        }),
        cycle: Some(Cycle { age: Some(Duration::from_secs(12 * 3600)), requests: Some(100_000), jitter: 0 }),
        flapping: Flapping { times: 3, within: Duration::from_secs(10), most: Duration::from_secs(3600) },
        alert: Some(words(&["/usr/local/bin/page", "{ x }"])),
    };
    assert_eq!(process, expected);
}

const TWO: &str = "[upstream.web]\naddress = \"unix:/a\"\npid_file = \"/a.pid\"\n[upstream.api]\naddress = \"unix:/b\"\n\
                   pid_file = \"/b.pid\"\n[[route]]\nupstream = \"web\"\n";

#[test]
fn upstreams_that_no_process_names_keep_their_own() {
    let config =
        right(&format!("{TWO}[process.jobs]\ncommand = [\"sidekiq\"]\n[process.api]\ncommand = [\"puma\"]"));
    let found: Vec<_> = config
        .processes
        .iter()
        .map(|process| (&*process.name, process.upstream, process.is_owned()))
        .collect();
    assert_eq!(
        found,
        [("jobs", None, true), ("api", Some(UpstreamId(1)), true), ("web", Some(UpstreamId(0)), false)]
    );
    assert_eq!(config.processes[0].answer, None);
    assert_eq!(config.processes[1].pid_file, Some("/b.pid".into()));
}

#[test]
fn another_name_than_the_upstreams_is_a_process_in_the_background() {
    let config = right("[process.jobs]\ncommand = [\"sidekiq\"]\ninstances = 3");
    assert_eq!(config.processes.len(), 2);
    let jobs = &config.processes[0];
    assert_eq!((jobs.upstream, jobs.instances, &jobs.pid_file), (None, 3, &None));
    assert_eq!(config.processes[1], Process::adopted(UpstreamId(0), &Upstream::default()));
    assert_wrong(
        "[process.web]\ncommand = [\"puma\", \"unix://{socket}\"]",
        (2, 20),
        "the process `web` has none",
        "`upstream`",
    );
    let environment = "[process.web]\ncommand = [\"a\"]\nenvironment = { B = \"{socket}\" }";
    assert_wrong(environment, (3, 21), "`{socket}` is the socket of an upstream", "`upstream`");
}

#[test]
fn names_the_upstream_that_was_meant() {
    let process = |key: &str| format!("{TWO}[process.x]\ncommand = [\"puma\", \"{{socket}}\"]\n{key}");
    assert_wrong(&process("upstream = \"wbe\""), (11, 12), "no upstream \"wbe\"", "write \"web\"");
    assert_wrong(&process("upstream = 1"), (11, 12), "expected text", "quotes");
    assert_wrong(&process("upstrem = \"web\""), (11, 1), "unknown key `upstrem`", "write `upstream`");
    let text = format!("{TWO}[process.api]\ncommand = [\"puma\"]\nupstream = \"web\"");
    assert_wrong(&text, (11, 12), "keep another upstream than `api`", "the name of its upstream");
}

#[test]
fn refuses_two_processes_of_one_upstream_or_pid_file() {
    let text = "[process.app]\ncommand = [\"a\"]\n[process.b]\nupstream = \"app\"\ncommand = [\"b\"]";
    assert_wrong(text, (4, 12), "process on line 1 answers the same upstream", "one socket");
    let text = "[process.a]\npid_file = \"/a.pid\"\n[process.b]\npid_file = \"/a.pid\"";
    assert_wrong(text, (3, 10), "process on line 1 has the same PID file", "another `pid_file`");
}

#[test]
fn refuses_a_process_without_a_name() {
    let problem = wrong_once("[process]\ncommand = [\"a\"]\nuser = \"b\"");
    assert!(problem.message.contains("`command` stands in [process]"), "{problem}");
    assert_wrong(
        "[process.\"a b\"]\ncommand = [\"a\"]",
        (1, 10),
        "cannot be the name of a process",
        "letters",
    );
    assert_wrong("process = 1", (1, 11), "is a table", "process = {");
}

#[test]
fn refuses_what_nobody_could_find() {
    assert_wrong("[process.jobs]", (1, 10), "how to find the process `jobs`", "`command`");
    let text = "[upstream.app]\naddress = \"127.0.0.1:3000\"\n[process.app]\nuser = \"a\"";
    assert_eq!(wrong(text).len(), 2);
    // One mistake is one error.
    assert_wrong("[process.jobs]\ncomand = [\"a\"]", (2, 1), "unknown key `comand`", "write `command`");
    assert_wrong(
        "[process.jobs]\npid-file = \"/a.pid\"",
        (2, 1),
        "unknown key `pid-file`",
        "write `pid_file`",
    );
    assert_wrong("[process.jobs]\npid_file = \"a.pid\"", (2, 12), "not absolute", "from the root");
}

#[test]
fn refuses_for_adopted_processes_what_others_decide() {
    let adopted = |key: &str| format!("[process.app]\n{key}");
    for (key, column) in [
        ("output = \"log\"", 10),
        ("limits = { core = 0 }", 10),
        ("user = \"deploy\"", 8),
        ("group = \"deploy\"", 9),
        ("directory = \"/srv\"", 13),
        ("environment = { A = \"b\" }", 15),
    ] {
        assert_wrong(
            &adopted(key),
            (2, column),
            "is for what Vestibule starts: whoever starts it",
            "`command`",
        );
        right(&adopted(&format!("{key}\nstart_command = [\"start\"]")));
        right(&adopted(&format!("{key}\ncommand = [\"puma\"]")));
        let text = adopted(&format!("{key}\nrestart_command = [\"restart\", \"{{directory}}\"]"));
        if key.starts_with("output") || key.starts_with("limits") {
            assert_wrong(&text, (2, column), "is for what Vestibule starts", "leave it out");
        } else {
            right(&text);
        }
        assert_wrong(&adopted(&format!("{key}\ncomand = [\"puma\"]")), (3, 1), "unknown key", "`command`");
    }
    assert_wrong(&adopted("start = true"), (2, 9), "nothing says how to start it", "`start_command`");
    assert_wrong(
        "[process.jobs]\npid_file = \"/a.pid\"\ninstances = 2",
        (3, 13),
        "2 instances are not possible: a PID file names one",
        "`command`",
    );
    assert_wrong(
        &adopted("command = [\"a\"]\nstart_command = [\"b\"]"),
        (3, 17),
        "exclude each other",
        "leave `start_command` out",
    );
}

#[test]
fn refuses_several_instances_where_there_is_one_of_something() {
    let text = "[process.app]\ncommand = [\"puma\"]\ninstances = 2";
    assert_wrong(text, (3, 13), "one socket is one instance", "threads or workers");
    let text = "[process.jobs]\ncommand = [\"a\"]\npid_file = \"/a.pid\"\ninstances = 2";
    assert_wrong(text, (4, 13), "a PID file names one", "leave `pid_file` out");
    assert_wrong(
        "[process.jobs]\ncommand = [\"a\"]\ninstances = 0",
        (3, 13),
        "out of bounds",
        "from 1 to 64",
    );
    right("[process.app]\ninstances = 1");
}

#[test]
fn refuses_placeholders_that_stand_for_nothing() {
    let on_a_port = "[upstream.app]\naddress = \"127.0.0.1:3000\"\n[process.app]\ncommand = [\"puma\", ";
    assert_wrong(&format!("{on_a_port}\"{{socket}}\"]"), (4, 20), "listens on a port", "127.0.0.1:3000");
    assert_wrong(&format!("{on_a_port}\"{{pid_file}}\"]"), (4, 20), "none is known", "write `pid_file`");
    right(&format!("{on_a_port}\"{{pid_file}} {{name}} {{directory}}\"]\npid_file = \"/run/a.pid\""));
    right("[process.app]\ncommand = [\"puma\", \"{pid_file}\"]");
    assert_eq!(wrong(&format!("{on_a_port}\"{{socket}}{{pid_file}}\"]")).len(), 2);
}

#[test]
fn replaces_what_it_starts_behind_a_socket() {
    let replace = "restart = \"replace\"";
    let process = one(&format!("[process.app]\ncommand = [\"puma\", \"unix://{{socket}}\"]\n{replace}"));
    assert_eq!(process.restart, Restart::Replace);
    // Where it listens may stand in its own configuration.
    right(&format!("[process.app]\ncommand = [\"puma\", \"/tmp/web_server.sock.d/x\"]\n{replace}"));

    let adopted = format!("[process.app]\n{replace}");
    assert_wrong(&adopted, (2, 11), "cannot start a second instance", "`command`");
    let background = format!("[process.jobs]\ncommand = [\"a\"]\n{replace}");
    assert_wrong(&background, (3, 11), "no socket to hand over", "another `restart`");
    let port =
        format!("[upstream.app]\naddress = \"127.0.0.1:1\"\n[process.app]\ncommand = [\"a\"]\n{replace}");
    assert_wrong(&port, (5, 11), "cannot share a port", "Unix socket");
    for (path, name) in
        [("unix:///tmp/web_server.sock?backlog=64", "`{socket}`"), ("/tmp/web_server.pid", "`{pid_file}`")]
    {
        let text = format!("[process.app]\ncommand = [\"puma\", \"{path}\"]\n{replace}");
        assert_wrong(&text, (2, 20), "both instances would use this path", name);
        let text =
            format!("[process.app]\ncommand = [\"puma\"]\nenvironment = {{ AT = \"{path}\" }}\n{replace}");
        assert_wrong(&text, (3, 22), "both instances would use this path", name);
    }
}

#[test]
fn asks_for_an_answer_where_there_is_one() {
    let answer = |text: &str| one(text).answer;
    assert_eq!(answer("[process.app]\ncommand = [\"a\"]\nanswer = false"), None);
    assert_eq!(answer("[process.app]\nanswer = true"), Some(AnswerCheck::default()));
    let within = AnswerCheck { within: Duration::from_secs(1), ..AnswerCheck::default() };
    assert_eq!(answer("[process.app]\nanswer.within = \"1s\""), Some(within));
    let background = "[process.jobs]\ncommand = [\"a\"]\n";
    assert_wrong(&format!("{background}answer = {{}}"), (3, 10), "answers nothing", "`upstream`");
    right(&format!("{background}answer = false"));
    assert_wrong(&format!("{background}cycle.requests = 5"), (3, 18), "answers no requests", "`age`");
    assert_wrong("[process.app]\nanswer = \"10s\"", (2, 10), "expected a table, true or false", "within");
}

#[test]
fn refuses_signals_that_end_a_server_instead() {
    for (server, signal, is_wrong) in [
        ("thin", "USR2", true),
        ("passenger", "usr2", true),
        ("passenger", "HUP", true),
        ("puma", "QUIT", true),
        ("thin", "HUP", false),
        ("puma", "USR2", false),
        ("unicorn", "USR2", false),
        ("auto", "USR2", false),
    ] {
        let text =
            format!("[upstream.app]\nserver = \"{server}\"\n[process.app]\nrestart_signal = \"{signal}\"");
        if is_wrong {
            assert_wrong(&text, (4, 18), "it ends it", "\"auto\"");
        } else {
            right(&text);
        }
    }
}

#[test]
fn reads_where_the_control_socket_is() {
    assert_eq!(right("").control, Control::default());
    let control = right("[control]\nsocket = \"/run/a.sock\"").control;
    assert_eq!(control.socket, Some("/run/a.sock".into()));
    let long = format!("/{}", "x".repeat(107));
    for (path, message, instead) in [
        ("control.sock", "not absolute", "/run/vestibule/control.sock"),
        ("unix:/run/a.sock", "a path, not an address", "write \"/run/a.sock\""),
        ("/run/", "a directory", "/run/vestibule/control.sock"),
        ("/tmp/web_server.sock", "the upstream `app` listens there", "a path of its own"),
        (&long, "has 108 bytes", "at most 107"),
    ] {
        assert_wrong(&format!("[control]\nsocket = \"{path}\""), (2, 10), message, instead);
    }
    let text = "[control]\nsocket = \"/run/a.sock\"\n[[listen]]\naddress = \"unix:/run/a.sock\"";
    assert_wrong(text, (2, 10), "the public comes in there", "a path of its own");
    assert_wrong("[control]\nsokcet = \"/a\"", (2, 1), "unknown key", "write `socket`");
}

//! The values of `[process.NAME]` by themselves.

use std::time::Duration;

use super::{assert_wrong, right, wrong, wrong_once};
use crate::process::*;

/// The only process of a configuration with these keys, owned.
fn with(keys: &str) -> Process {
    right(&format!("[process.app]\ncommand = [\"puma\"]\n{keys}")).processes.remove(0)
}

/// One error in the third line.
fn assert_wrong_with(keys: &str, column: usize, message: &str, instead: &str) {
    assert_wrong(&format!("[process.app]\ncommand = [\"puma\"]\n{keys}"), (3, column), message, instead);
}

#[test]
fn says_how_a_command_line_is_written_as_words() {
    for (line, instead) in [
        ("bundle exec  puma -p 3000", r#"write command = ["bundle", "exec", "puma", "-p", "3000"]"#),
        (
            "RAILS_ENV=production A=1 puma x=y",
            r#"write command = ["puma", "x=y"] and environment = { RAILS_ENV = "production", A = "1" }"#,
        ),
        ("cd /srv && exec puma", r#"write command = ["sh", "-c", "cd /srv && exec puma"], or its words"#),
        ("puma -e \\\"a b\\\"", r#"write command = ["sh", "-c", "puma -e \"a b\""]"#),
    ] {
        assert_wrong(
            &format!("[process.app]\ncommand = \"{line}\""),
            (2, 11),
            "a list of words, not one text",
            instead,
        );
    }
    assert_wrong(
        "[process.app]\nstart_command = \"systemctl start puma\"",
        (2, 17),
        "`start_command` is a list of words",
        r#"write start_command = ["systemctl", "start", "puma"]"#,
    );
}

#[test]
fn refuses_what_is_no_command() {
    for (value, column, message, instead) in [
        ("[]", 11, "there is no program to run", "leave it out"),
        ("1", 11, "a list of words, not the number 1", "[\"bundle\", \"exec\", \"puma\"]"),
        ("[\"\"]", 12, "name is empty", "the first word"),
        ("[\"puma\", \"-p\", 3000]", 26, "expected a word, found the number 3000", "numbers too"),
        ("[\"bundle exec puma\"]", 12, "is one word", "write command = [\"bundle\", \"exec\", \"puma\"]"),
        ("[\"RAILS_ENV=test\", \"puma\"]", 12, "is a variable", "environment = { RAILS_ENV = \"test\" }"),
        ("[\"puma\", \"a\\u0000b\"]", 20, "NUL", "leave it out"),
        ("[\"puma\", \"{sokcet}\"]", 20, "`{sokcet}` stands for nothing", "write `{socket}`"),
        (
            "[\"puma\", \"{port}\"]",
            20,
            "`{port}` stands for nothing",
            "one of `{socket}`, `{pid_file}`, `{name}`",
        ),
        ("[\"kill\", \"{{PID}}\"]", 20, "`{{PID}}` is not filled in", "`restart_signal`"),
        ("[\"unicorn\", \"-D\"]", 23, "into the background", "foreground"),
        (
            "[\"bundle\", \"exec\", \"/usr/bin/thin\", \"start\", \"-d\"]",
            56,
            "into the background",
            "foreground",
        ),
    ] {
        assert_wrong(&format!("[process.app]\ncommand = {value}"), (2, column), message, instead);
    }
    assert_eq!(wrong("[process.app]\ncommand = [1, 2, \"{a}\"]").len(), 3);
}

#[test]
fn takes_commands_as_they_are() {
    for command in [
        r#"["/srv/my app/bin/server"]"#,
        r#"["sh", "-c", "echo ${HOME} {1,2}"]"#,
        r#"["ruby", "-e", "5.times { puts 1 }"]"#,
        r#"["app", "{\"json\": {}}", "{{x}}", "%{time}"]"#,
        r#"["puma", "", "-d", "a=b"]"#,
    ] {
        right(&format!("[process.app]\ncommand = {command}"));
    }
    // What runs beside the application may go to the background.
    right("[process.app]\nstart_command = [\"unicorn\", \"-D\"]");
}

#[test]
fn reads_stop_sequences() {
    let wait = |seconds| StopStep::Wait(Duration::from_secs(seconds));
    let signal = StopStep::Signal;
    let bluepills =
        vec![signal(Signal::Quit), wait(30), signal(Signal::Term), wait(11), signal(Signal::Kill)];
    for (written, steps) in [
        ("[\"QUIT\", \"30s\", \"TERM\", \"11s\", \"KILL\"]", bluepills.clone()),
        ("[\"quit\", 30, \"term\", 11, \"kill\"]", bluepills),
        ("[\"SIGTERM\", \"sigcont\", \"1h\"]", vec![signal(Signal::Term), signal(Signal::Cont), wait(3600)]),
        ("[\"KILL\"]", vec![signal(Signal::Kill)]),
        // A last signal has time to be heeded.
        ("[\"INT\"]", vec![signal(Signal::Int), wait(30)]),
    ] {
        assert_eq!(with(&format!("stop_sequence = {written}")).stop_sequence, Some(steps), "{written}");
    }
    assert_eq!(with("").stop_sequence, None);
    for known in Signal::ALL.into_iter().filter(|known| *known != Signal::Kill) {
        let sequence = format!("stop_sequence = [\"{}\", 1]", known.as_str());
        assert_eq!(with(&sequence).stop_sequence, Some(vec![signal(known), wait(1)]));
    }
}

#[test]
fn refuses_what_stops_nothing() {
    for (value, column, message, instead) in [
        ("[]", 17, "nothing in it would stop", "begin it with a signal"),
        ("[\"30s\", \"KILL\"]", 18, "begins with a signal", "\"TERM\""),
        ("[30, \"KILL\"]", 18, "begins with a signal", "\"TERM\""),
        ("[\"TERM\", \"30\"]", 26, "not a duration", "\"30s\""),
        ("[\"TERM\", 0]", 26, "out of bounds", "from 1 to 3600"),
        ("[\"TERM\", 1.5]", 26, "expected a signal or a duration", "in turn"),
        ("[\"TERM\", 5, \"5s\", \"KILL\"]", 29, "two durations follow each other", "their sum"),
        ("[\"TERM\", 5, \"KILL\", \"INT\"]", 37, "nothing is left after KILL", "end with KILL"),
        ("[\"KILL\", \"5s\"]", 26, "nothing is left after KILL", "end with KILL"),
        ("[\"TERM\", \"1h\", \"QUIT\", \"1s\"]", 17, "the whole sequence takes 3601 s", "at most \"1h\""),
        ("[\"TRM\"]", 18, "\"TRM\" is not a signal", "write \"TERM\""),
        ("[\"STOP\"]", 18, "\"STOP\" is not a signal", "\"HUP\", \"INT\""),
        (
            "\"usr1, 30, kill\"",
            17,
            "is a list, not the text",
            "write stop_sequence = [\"USR1\", \"30s\", \"KILL\"]",
        ),
        ("\"TERM\"", 17, "is a list, not the text", "write stop_sequence = [\"TERM\"]"),
        ("15", 17, "is a list, not the number 15", "[\"TERM\", \"30s\", \"KILL\"]"),
    ] {
        assert_wrong_with(&format!("stop_sequence = {value}"), column, message, instead);
    }
}

#[test]
fn reads_how_it_is_restarted() {
    let command = Restart::Command(vec!["a".to_owned()]);
    for (keys, restart) in [
        ("", Restart::Auto),
        ("restart = \"auto\"", Restart::Auto),
        ("restart = \"stop-start\"", Restart::StopStart),
        ("restart = \"signal\"\nrestart_signal = \"HUP\"", Restart::Signal(Signal::Hup)),
        ("restart_signal = \"usr2\"", Restart::Signal(Signal::Usr2)),
        ("restart = \"command\"\nrestart_command = [\"a\"]", command.clone()),
        ("restart_command = [\"a\"]", command),
    ] {
        assert_eq!(with(keys).restart, restart, "{keys}");
    }
}

#[test]
fn refuses_restarts_that_contradict_themselves() {
    let (signal, command) = ("restart_signal = \"HUP\"", "restart_command = [\"a\"]");
    assert_wrong_with("restart = \"signal\"", 11, "needs `restart_signal`", "\"USR2\"");
    assert_wrong_with("restart = \"command\"", 11, "needs `restart_command`", "passenger-config");
    for kind in ["auto", "stop-start", "replace", "command"] {
        let text =
            format!("{signal}\nrestart = \"{kind}\"\n{}", if kind == "command" { command } else { "" });
        assert_wrong_with(&text, 18, "for restart = \"signal\"", &format!("instead of \"{kind}\""));
    }
    for kind in ["auto", "stop-start", "replace", "signal"] {
        let text = format!("{command}\nrestart = \"{kind}\"\n{}", if kind == "signal" { signal } else { "" });
        assert_wrong_with(&text, 19, "for restart = \"command\"", &format!("instead of \"{kind}\""));
    }
    assert_wrong_with(
        &format!("{command}\n{signal}"),
        19,
        "or by the signal on line 4",
        "leave one of them out",
    );
    assert_wrong_with("restart = \"usr2\"", 11, "not known here", "\"stop-start\"");
    assert_wrong_with("restart_signal = \"KILL\"", 18, "no application can restart itself", "stop-start");
    assert_wrong_with("restart_signal = 12", 18, "expected text", "\"USR2\"");
    // One mistake is one error.
    assert_wrong(
        "[process.app]\nrestart = \"signal\"\nrestart_signal = \"x\"",
        (3, 18),
        "not a signal",
        "\"HUP\"",
    );
    assert_wrong(
        "[process.app]\nrestart = \"signal\"\nrestart_singal = \"x\"",
        (3, 1),
        "unknown key",
        "restart_signal",
    );
    let text = "[process.app]\nstart_command = [\"a\"]\nrestart = \"command\"";
    assert_wrong(text, (3, 11), "needs `restart_command`", "write restart_command");
}

#[test]
fn reads_what_is_watched() {
    let ten = Duration::from_secs(10);
    let once = Times { bad: 1, of: 1 };
    let memory = |above| Some(MemoryCheck { above, every: ten, times: once });
    assert_eq!(with("memory = \"1 GiB\"").memory, memory(1 << 30));
    assert_eq!(with("memory = 2000000").memory, memory(2_000_000));
    assert_eq!(with("memory.above = \"1 GiB\"").memory, memory(1 << 30));
    let cpu = |above| Some(CpuCheck { above, every: ten, times: Times { bad: 3, of: 5 } });
    assert_eq!(with("cpu = 90").cpu, cpu(90));
    assert_eq!(with("cpu = { above = 400 }").cpu, cpu(400));
    assert_eq!(
        with("cycle.age = \"12h\"").cycle.map(|cycle| (cycle.requests, cycle.jitter)),
        Some((None, 10))
    );
    let process = with("");
    assert_eq!((process.memory, process.cpu, process.cycle), (None, None, None));
    assert_eq!(process.flapping, Flapping::default());
}

#[test]
fn refuses_what_cannot_be_watched() {
    for (keys, column, message, instead) in [
        ("memory = \"1 GB\"", 10, "not a size", "\"1 GiB\""),
        ("memory = 512", 10, "out of bounds", "from 1 MiB"),
        ("memory = true", 10, "expected a size", "64 MiB"),
        ("memory = { every = \"1s\" }", 10, "how much is too much", "memory = \"1 GiB\""),
        ("memory = { below = \"1 GiB\" }", 12, "unknown key `below`", "write `above`"),
        (
            "memory = { above = \"1 GiB\", every = \"10ms\" }",
            37,
            "out of bounds",
            "from \"100ms\" to \"24h\"",
        ),
        ("memory = { above = \"1 GiB\", interval = \"1s\" }", 29, "unknown key `interval`", "`every`"),
        ("cpu = \"90%\"", 7, "expected a number of percent", "90, or 250"),
        ("cpu = 0", 7, "out of bounds", "from 1 to"),
        ("cpu = {}", 7, "how much is too much", "cpu = 90"),
        ("cpu = { above = 0.9 }", 17, "expected a number of percent", "90, or 250"),
        ("cpu = { above = 9, times = [5, 3] }", 28, "5 of 3 samples can never be bad", "write [3, 5]"),
        ("cpu = { above = 9, times = [3] }", 28, "expected a number of samples", "[3, 5]"),
        ("cpu = { above = 9, times = \"3\" }", 28, "expected a number of samples", "[3, 5]"),
        ("cpu = { above = 9, times = 0 }", 28, "out of bounds", "from 1 to 100"),
        ("cpu = { above = 9, times = [1, 101] }", 28, "out of bounds", "from 1 to 100"),
        ("answer = { within = \"0s\" }", 21, "zero", "1ms"),
        ("cycle = {}", 9, "does not say when", "`age`"),
        ("cycle = { age = \"10ms\" }", 17, "out of bounds", "from \"1s\" to \"8760h\""),
        ("cycle = { requests = 0 }", 22, "out of bounds", "from 1 to"),
        ("cycle = { age = \"1h\", jitter = 101 }", 32, "out of bounds", "from 0 to 100"),
        ("cycle = \"12h\"", 9, "is a table", "cycle = {"),
        ("flapping = { times = 0 }", 22, "out of bounds", "from 1 to 1000"),
        ("flapping = { most = \"25h\" }", 21, "out of bounds", "to \"24h\""),
        ("start_timeout = \"0s\"", 17, "out of bounds", "from \"100ms\""),
    ] {
        assert_wrong_with(keys, column, message, instead);
    }
}

#[test]
fn refuses_wrong_places_accounts_and_variables() {
    for (keys, column, message, instead) in [
        ("directory = \"current\"", 13, "not absolute", "/srv/app/current"),
        ("output = \"app.log\"", 10, "no place for its output", "\"log\""),
        ("output = \"stdout\"", 10, "no place for its output", "a file from the root"),
        ("user = -1", 8, "out of bounds", "from 0 to 4294967294"),
        ("user = \"\"", 8, "is not a name", "\"deploy\""),
        ("group = \"a:b\"", 9, "is not a name", "\"deploy\""),
        ("environment = { \"A-B\" = \"c\" }", 17, "cannot be the name of a variable", "letters"),
        ("environment = { 1A = \"c\" }", 17, "cannot be the name of a variable", "a digit"),
        ("environment = { A = 1.5 }", 21, "text, not the number 1.5", "quotes"),
        ("environment = { A = 0x10 }", 21, "text, not the number", "quotes"),
        ("environment = { A = [] }", 21, "text, not a list", "quotes"),
        ("environment = { A = \"{scoket}\" }", 21, "`{scoket}` stands for nothing", "`{socket}`"),
        ("environment = { A = \"\\u0000\" }", 21, "NUL", "leave it out"),
        ("environment = [\"A=b\"]", 15, "is a table", "environment = {"),
        ("limits = { open_files = 1 }", 25, "out of bounds", "from 16 to"),
        ("limits = { memory = \"1 kB\" }", 21, "not a size", "\"1 KiB\""),
        (
            "limits = { nofile = 1 }",
            12,
            "unknown key `nofile`",
            "known here: core, memory, open_files, processes",
        ),
        ("on_exit = \"kill\"", 11, "not known here", "\"leave\""),
        ("start = \"bundle exec puma\"", 9, "is true or false", "`command`"),
        ("alert = [\"page\", \"{name}\"]", 18, "`{name}` is not filled in here", "environment"),
        ("alert = \"page\"", 9, "a list of words", "alert = [\"page\"]"),
    ] {
        assert_wrong_with(keys, column, message, instead);
    }
    let numbers = with("user = 1000\ngroup = \"33\"");
    assert_eq!((numbers.user.as_deref(), numbers.group.as_deref()), (Some("1000"), Some("33")));
    let variables = with("environment = { B = 1_000, A = false, _C9 = \"${x} {\" }").environment;
    let variables: Vec<_> = variables.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(variables, [("A", "false"), ("B", "1000"), ("_C9", "${x} {")]);
}

#[test]
fn names_the_key_for_names_known_from_elsewhere() {
    for (name, instead) in crate::suggestion::OF_PROCESSES {
        let problem = wrong_once(&format!("[process.app]\n{name} = 1"));
        assert_eq!(problem.message, format!("unknown key `{name}` in [process.NAME]"));
        assert_eq!(problem.instead.as_deref(), Some(*instead));
    }
    for (text, instead) in [
        ("[process.app]\nstop-sequence = []", "write `stop_sequence`"),
        ("[process.app]\nmemmory = 1", "write `memory`"),
        ("[upstream.app]\ncommand = []", "`command` belongs in [process.NAME]"),
        ("[upstream.app]\nstop_sequence = []", "`stop_sequence` belongs in [process.NAME]"),
        ("[process.app]\naddress = 1", "`address` belongs in [[listen]] or in [upstream.NAME]"),
        ("procces.app = 1", "write `process`"),
    ] {
        let problem = wrong_once(text);
        assert!(problem.instead.as_ref().is_some_and(|text| text.contains(instead)), "{problem}");
    }
}

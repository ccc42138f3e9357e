//! Which Rack server a directory wants, by what lies in it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use vestibule_config::Server;

/// Most that is read of a Gemfile.lock: the largest that are known have a tenth of it.
const LONGEST_LOCK: u64 = 4 << 20;

/// The servers, the first choice first: what most sites run, then what was the default of the platforms before.
const ORDER: [Server; 4] = [Server::Puma, Server::Passenger, Server::Unicorn, Server::Thin];

/// What a choice depends on.
pub(crate) struct Surroundings<'a> {
    /// The application's directory.
    pub(crate) directory: &'a Path,
    /// `BUNDLE_GEMFILE`, where it is set.
    pub(crate) gemfile: Option<&'a Path>,
    /// Whether a program is to be found in `PATH`.
    pub(crate) has_program: &'a dyn Fn(&str) -> bool,
}

/// A server that was chosen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// What an operator would type to start it in the foreground; where it listens is not said yet.
    pub(crate) command: Vec<String>,
    /// Which one, and why.
    pub(crate) words: String,
}

/// Why none was chosen.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoChoice {
    /// It is no Rack application.
    #[error(
        "there is no config.ru in {}, so this is not the directory of a Rack application\n  change to that directory, \
         or say what starts the application: vestibule run -- COMMAND", .0.display()
    )]
    NoRackup(PathBuf),
    /// Nothing says which server it wants.
    #[error(
        "cannot tell which server the application in {} wants: looked for puma, passenger, unicorn and thin in {lock}, for \
         config/puma.rb, config/unicorn.rb, unicorn.rb, config/thin.yml, thin.yml and Passengerfile.json, and for the programs \
         in PATH\n  say what starts it: vestibule run -- COMMAND", directory.display()
    )]
    NoServer {
        /// Where.
        directory: PathBuf,
        /// The lock file, or that there is none.
        lock: String,
    },
}

/// The server that the Gemfile.lock, a configuration file, or else what is installed, speak for.
pub(crate) fn choose(around: &Surroundings<'_>) -> Result<Choice, NoChoice> {
    let directory = around.directory;
    if !directory.join("config.ru").exists() {
        return Err(NoChoice::NoRackup(directory.to_owned()));
    }
    let lock = Lock::find(around);
    let locked = lock.as_ref().map(|lock| lock.servers.as_slice()).unwrap_or_default();
    let configured: Vec<Server> =
        ORDER.into_iter().filter(|server| configuration(*server, directory).is_some()).collect();
    let both = ORDER.into_iter().find(|server| locked.contains(server) && configured.contains(server));
    let lock_name = lock.as_ref().map_or("no Gemfile.lock", |lock| lock.name.as_str());

    let (server, mut words) = match (both, locked, configured.as_slice()) {
        (Some(server), [_], _) => (server, format!("{lock_name} has it")),
        (Some(server), several, _) => {
            let file = configuration(server, directory).unwrap_or_default();
            (server, format!("{lock_name} has {}, and there is {file}", list(several)))
        }
        (None, [only], _) => (*only, format!("{lock_name} has it")),
        (None, [first, ..], _) => (
            *first,
            format!("{lock_name} has {}, no configuration file says which, and it comes first", list(locked)),
        ),
        (None, [], [first, ..]) => {
            let file = configuration(*first, directory).unwrap_or_default();
            let missing =
                if lock.is_some() { format!("{lock_name} has no server") } else { lock_name.to_owned() };
            (*first, format!("there is {file}; {missing}"))
        }
        (None, [], []) => {
            let installed = ORDER.into_iter().find(|server| (around.has_program)(program(*server)));
            let server = installed.ok_or_else(|| NoChoice::NoServer {
                directory: directory.to_owned(),
                lock: if lock.is_some() {
                    lock_name.to_owned()
                } else {
                    "Gemfile.lock (there is none)".to_owned()
                },
            })?;
            (server, format!("it is installed; neither {lock_name} nor a configuration file names a server"))
        }
    };
    // What the bundle does not have, `bundle exec` does not find; without it the server is the system's own.
    let is_bundled = locked.contains(&server) && (around.has_program)("bundle");
    if locked.contains(&server) && !is_bundled {
        words.push_str("; bundler is not installed, so it is started without");
    }
    let mut command: Vec<String> = Vec::new();
    if is_bundled {
        command.extend(["bundle", "exec"].map(str::to_owned));
    }
    command.extend(own_command(server, configuration(server, directory), directory));
    Ok(Choice { words: format!("{}: {words}", name(server)), command })
}

/// What starts it, with the configuration file that it has.
fn own_command(server: Server, configuration: Option<&'static str>, directory: &Path) -> Vec<String> {
    let words: Vec<&str> = match (server, configuration) {
        // By itself it would read config/puma/ENVIRONMENT.rb before this one.
        (Server::Puma, Some(file)) if !directory.join("config/puma").is_dir() => vec!["puma", "-C", file],
        (Server::Puma, _) => vec!["puma"],
        (Server::Unicorn, Some(file)) => vec!["unicorn", "-c", file],
        (Server::Unicorn, None) => vec!["unicorn"],
        (Server::Thin, Some(file)) => vec!["thin", "start", "-R", "config.ru", "-C", file],
        (Server::Thin, None) => vec!["thin", "start", "-R", "config.ru"],
        // It reads its Passengerfile.json by itself, and would call home.
        (Server::Passenger | Server::Auto, _) => {
            vec!["passenger", "start", "--disable-security-update-check", "--disable-anonymous-telemetry"]
        }
    };
    words.into_iter().map(str::to_owned).collect()
}

/// The configuration file in the directory that speaks for a server.
fn configuration(server: Server, directory: &Path) -> Option<&'static str> {
    let files: &[&'static str] = match server {
        Server::Puma => &["config/puma.rb"],
        Server::Unicorn => &["config/unicorn.rb", "unicorn.rb"],
        Server::Thin => &["config/thin.yml", "thin.yml"],
        Server::Passenger => &["Passengerfile.json"],
        Server::Auto => &[],
    };
    files.iter().find(|file| directory.join(file).is_file()).copied()
}

/// A Gemfile.lock, as far as it says something about servers.
pub(crate) struct Lock {
    /// Its file's name.
    name: String,
    /// The servers among its gems, in our order.
    pub(crate) servers: Vec<Server>,
}

impl Lock {
    /// The lock of `BUNDLE_GEMFILE`, or that of the directory; `None` where there is none that can be read.
    pub(crate) fn find(around: &Surroundings<'_>) -> Option<Lock> {
        let named = around.gemfile.map(|gemfile| {
            let gemfile = around.directory.join(gemfile);
            // Bundler's other name for the pair.
            if gemfile.file_name().is_some_and(|name| name == "gems.rb") {
                gemfile.with_file_name("gems.locked")
            } else {
                let mut name = gemfile.into_os_string();
                name.push(".lock");
                name.into()
            }
        });
        let usual = ["Gemfile.lock", "gems.locked"].map(|name| around.directory.join(name));
        let path = named.into_iter().chain(usual).find(|path| path.is_file())?;
        let mut bytes = Vec::new();
        File::open(&path).and_then(|file| file.take(LONGEST_LOCK).read_to_end(&mut bytes)).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let gems = gems(&text);
        let servers = ORDER.into_iter().filter(|server| gems.contains(program(*server))).collect();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Some(Lock { name, servers })
    }
}

/// The names of the gems in the `specs:` of a lock: four spaces, and not six, which are what a gem depends on.
fn gems(lock: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    let mut inside = false;
    for line in lock.lines() {
        let line = line.trim_end();
        let indent = line.len() - line.trim_start_matches(' ').len();
        match indent {
            4 if inside => found.extend(line.split_whitespace().next()),
            6 if inside => {}
            _ => inside = line == "  specs:",
        }
    }
    found
}

/// Its program, which has the name of its gem.
fn program(server: Server) -> &'static str {
    match server {
        Server::Puma => "puma",
        Server::Unicorn => "unicorn",
        Server::Thin => "thin",
        Server::Passenger => "passenger",
        Server::Auto => "",
    }
}

/// How it is called.
pub(crate) fn name(server: Server) -> &'static str {
    match server {
        Server::Puma => "Puma",
        Server::Unicorn => "Unicorn",
        Server::Thin => "Thin",
        Server::Passenger => "Passenger",
        Server::Auto => "the application",
    }
}

fn list(servers: &[Server]) -> String {
    let names: Vec<&str> = servers.iter().map(|server| program(*server)).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A directory with these files; a Gemfile.lock has these gems.
    fn directory(files: &[&str], gems: Option<&[&str]>) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, "").expect("written");
        }
        if let Some(gems) = gems {
            fs::write(dir.path().join("Gemfile.lock"), lock(gems)).expect("written");
        }
        dir
    }

    fn lock(gems: &[&str]) -> String {
        let specs: String = gems.iter().map(|gem| format!("    {gem} (1.0)\n      rack (>= 1)\n")).collect();
        format!(
            "GEM\n  remote: https://rubygems.org/\n  specs:\n    rack (2.2.6)\n{specs}\nPLATFORMS\n  ruby\n\n\
             DEPENDENCIES\n  rack\n\nBUNDLED WITH\n   2.3.15\n"
        )
    }

    fn chosen(dir: &tempfile::TempDir, installed: &[&str]) -> Result<(String, String), NoChoice> {
        let around = Surroundings {
            directory: dir.path(),
            gemfile: None,
            has_program: &|program| installed.contains(&program),
        };
        choose(&around).map(|choice| (choice.command.join(" "), choice.words))
    }

    #[test]
    fn takes_the_server_of_the_lock_with_its_configuration() {
        for (gem, file, command) in [
            ("puma", "config/puma.rb", "bundle exec puma -C config/puma.rb"),
            ("unicorn", "config/unicorn.rb", "bundle exec unicorn -c config/unicorn.rb"),
            ("unicorn", "unicorn.rb", "bundle exec unicorn -c unicorn.rb"),
            ("thin", "thin.yml", "bundle exec thin start -R config.ru -C thin.yml"),
            (
                "passenger",
                "Passengerfile.json",
                "bundle exec passenger start --disable-security-update-check --disable-anonymous-telemetry",
            ),
        ] {
            let dir = directory(&["config.ru", file], Some(&[gem]));
            let (got, words) = chosen(&dir, &["bundle"]).expect("a choice");
            assert_eq!(got, command);
            assert!(words.contains("Gemfile.lock has it"), "{words}");
        }
    }

    #[test]
    fn a_configuration_file_decides_between_several() {
        let dir = directory(&["config.ru", "config/thin.yml"], Some(&["puma", "thin", "unicorn"]));
        let (command, words) = chosen(&dir, &["bundle"]).expect("a choice");
        assert_eq!(command, "bundle exec thin start -R config.ru -C config/thin.yml");
        assert_eq!(words, "Thin: Gemfile.lock has puma, unicorn and thin, and there is config/thin.yml");
    }

    #[test]
    fn without_one_the_order_decides_and_is_said() {
        for (gems, first) in [
            (["thin", "puma"], "puma"),
            (["thin", "unicorn"], "unicorn"),
            (["passenger", "unicorn"], "passenger"),
        ] {
            let (command, words) =
                chosen(&directory(&["config.ru"], Some(&gems)), &["bundle"]).expect("a choice");
            assert!(command.starts_with(&format!("bundle exec {first}")), "{command}");
            assert!(words.contains("no configuration file says which"), "{words}");
        }
    }

    #[test]
    fn a_configuration_of_a_server_outside_of_the_bundle_does_not_win() {
        let dir = directory(&["config.ru", "unicorn.rb"], Some(&["puma"]));
        assert_eq!(chosen(&dir, &["bundle", "unicorn"]).expect("a choice").0, "bundle exec puma");
    }

    #[test]
    fn what_a_gem_depends_on_is_no_gem_of_the_bundle() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("config.ru"), "").expect("written");
        let text = "GEM\n  specs:\n    capybara (3.0)\n      puma (>= 1)\n\nDEPENDENCIES\n    thin\n";
        fs::write(dir.path().join("Gemfile.lock"), text).expect("written");
        let (command, words) = chosen(&dir, &["bundle", "unicorn"]).expect("a choice");
        assert_eq!(command, "unicorn");
        assert!(words.contains("neither Gemfile.lock nor a configuration file"), "{words}");
    }

    #[test]
    fn reads_every_source_of_a_lock() {
        let text = "GIT\n  remote: https://example.org/puma.git\n  revision: 1\n  specs:\n    puma (7.0)\n      nio4r\n\n\
                    PATH\n  remote: own\n  specs:\n    own (0.1)\n\nGEM\n  specs:\n    nio4r (2.7.0-java)\n";
        assert_eq!(gems(text).into_iter().collect::<Vec<_>>(), ["nio4r", "own", "puma"]);
    }

    #[test]
    fn runs_without_bundler_where_there_is_none() {
        let (command, words) =
            chosen(&directory(&["config.ru"], Some(&["puma"])), &["puma"]).expect("a choice");
        assert_eq!(command, "puma");
        assert!(words.contains("bundler is not installed"), "{words}");
    }

    #[test]
    fn a_configuration_file_alone_is_enough() {
        let (command, words) = chosen(&directory(&["config.ru", "unicorn.rb"], None), &[]).expect("a choice");
        assert_eq!(
            (command.as_str(), words.as_str()),
            ("unicorn -c unicorn.rb", "Unicorn: there is unicorn.rb; no Gemfile.lock")
        );
    }

    #[test]
    fn leaves_the_file_to_puma_where_there_is_one_for_each_environment() {
        let dir = directory(&["config.ru", "config/puma.rb", "config/puma/production.rb"], Some(&["puma"]));
        assert_eq!(chosen(&dir, &["bundle"]).expect("a choice").0, "bundle exec puma");
    }

    #[test]
    fn follows_bundle_gemfile() {
        let dir = directory(&["config.ru"], Some(&["puma"]));
        fs::write(dir.path().join("Other.lock"), lock(&["thin"])).expect("written");
        let around = Surroundings {
            directory: dir.path(),
            gemfile: Some(Path::new("Other")),
            has_program: &|program| program == "bundle",
        };
        let choice = choose(&around).expect("a choice");
        assert_eq!(choice.command.join(" "), "bundle exec thin start -R config.ru");
        assert_eq!(choice.words, "Thin: Other.lock has it");
    }

    #[test]
    fn says_what_it_looked_for() {
        let refused = chosen(&directory(&["Gemfile"], None), &["puma"]).expect_err("no application");
        assert!(refused.to_string().contains("there is no config.ru in "), "{refused}");
        let refused = chosen(&directory(&["config.ru"], Some(&["webrick"])), &[]).expect_err("no server");
        let words = refused.to_string();
        for looked in ["Gemfile.lock", "config/puma.rb", "Passengerfile.json", "vestibule run -- COMMAND"] {
            assert!(words.contains(looked), "{words}");
        }
    }
}

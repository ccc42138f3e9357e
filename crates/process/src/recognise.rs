//! Which Rack server a process is.

use vestibule_config::Server;

use crate::title::Title;
use crate::tree::{Member, Tree};

/// A Rack server, as its processes show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Puma in one process.
    Puma,
    /// Puma with workers.
    PumaCluster,
    /// Unicorn.
    Unicorn,
    /// Thin.
    Thin,
    /// Passenger.
    Passenger,
    /// None that we know.
    Unknown,
}

impl Kind {
    /// What the processes of an application show. The one nearest to the root decides, which may be a shell that started the
    /// server. A Puma that has not forked its first worker yet shows as [`Kind::Puma`].
    #[must_use]
    pub fn of(tree: &Tree) -> Self {
        let servers = tree.members().iter().map(|member| recognise(&Title::from(member.title.as_str())));
        match servers.into_iter().find(|&server| server != Server::Auto) {
            Some(Server::Puma) if workers(tree, Kind::PumaCluster).is_empty() => Kind::Puma,
            Some(Server::Puma) => Kind::PumaCluster,
            Some(Server::Unicorn) => Kind::Unicorn,
            Some(Server::Thin) => Kind::Thin,
            Some(Server::Passenger) => Kind::Passenger,
            Some(Server::Auto) | None => Kind::Unknown,
        }
    }

    /// The server as the configuration names it; [`Server::Auto`] for one that we do not know.
    #[must_use]
    pub fn server(self) -> Server {
        match self {
            Kind::Puma | Kind::PumaCluster => Server::Puma,
            Kind::Unicorn => Server::Unicorn,
            Kind::Thin => Server::Thin,
            Kind::Passenger => Server::Passenger,
            Kind::Unknown => Server::Auto,
        }
    }

    /// For a person.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Puma => "puma",
            Kind::PumaCluster => "puma cluster",
            Kind::Unicorn => "unicorn",
            Kind::Thin => "thin",
            Kind::Passenger => "passenger",
            Kind::Unknown => "unknown",
        }
    }
}

/// The processes that run the application's code below a first process of this kind; none where that does it itself. While a
/// Unicorn replaces itself (USR2), its tree has the workers of both masters: their parents tell them apart.
#[must_use]
pub fn workers(tree: &Tree, kind: Kind) -> Vec<&Member> {
    let is_worker = |title: &str| match kind {
        Kind::Puma | Kind::PumaCluster => title.starts_with("puma: cluster worker"),
        // `unicorn worker[0] -c …`, or `unicorn_rails worker[0]`.
        Kind::Unicorn => {
            let mut words = title.split(' ');
            words.next().is_some_and(|name| name.starts_with("unicorn"))
                && words.next().is_some_and(|role| role.starts_with("worker["))
        }
        Kind::Passenger => title.starts_with("Passenger RubyApp"),
        Kind::Thin | Kind::Unknown => false,
    };
    tree.members().iter().filter(|member| is_worker(&member.title)).collect()
}

/// Programs that start others and wait for them.
const WAITERS: [&[u8]; 18] = [
    b"sh",
    b"bash",
    b"dash",
    b"zsh",
    b"ksh",
    b"mksh",
    b"ash",
    b"fish",
    b"busybox",
    b"sudo",
    b"su",
    b"doas",
    b"runuser",
    b"timeout",
    b"tini",
    b"dumb-init",
    b"catatonit",
    b"docker-init",
];

/// The server that a command line, or the title that the server wrote over it, names.
#[must_use]
pub fn recognise(title: &Title) -> Server {
    // `ruby /usr/bin/puma …` before the title is set; the title's first word afterwards.
    let names = title.words().take(4).map(|word| word.rsplit(|&byte| byte == b'/').next().unwrap_or(word));
    // These only name what they start: `sh -c puma …`, `sudo -u deploy puma …`.
    let mut names = names
        .enumerate()
        .take_while(|(place, name)| *place > 0 || !WAITERS.contains(name))
        .map(|(_, name)| name);
    names
        .find_map(|name| match name.strip_suffix(b":").unwrap_or(name) {
            b"puma" | b"pumactl" => Some(Server::Puma),
            b"unicorn" | b"unicorn_rails" => Some(Server::Unicorn),
            b"thin" => Some(Server::Thin),
            // `passenger start` stays in front of the watchdog and the core.
            b"Passenger" | b"PassengerAgent" | b"passenger" => Some(Server::Passenger),
            _ => None,
        })
        .unwrap_or(Server::Auto)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Kept, until};

    #[test]
    fn recognises_the_servers_by_title_and_by_command() {
        let cases: [(&[u8], Server); 14] = [
            (b"puma 5.6.5 (unix:///tmp/web_server.sock) [app]\0\0\0", Server::Puma),
            (b"puma: cluster worker 0: 77 [app]", Server::Puma),
            (b"/usr/bin/ruby\0/usr/bin/puma\0-b\0unix:///tmp/s\0", Server::Puma),
            (b"unicorn master -c unicorn.rb -E production config.ru", Server::Unicorn),
            (b"thin server (/tmp/web_server.sock)", Server::Thin),
            (b"Passenger core", Server::Passenger),
            (b"/usr/lib/PassengerAgent\0core\0", Server::Passenger),
            (b"ruby\0/usr/bin/passenger\0start\0", Server::Passenger),
            (b"falcon host", Server::Auto),
            (b"sh\0-c\0puma -b unix:///tmp/s; echo over\0", Server::Auto),
            (b"/bin/bash\0bin/puma\0", Server::Auto),
            (b"sudo\0-u\0deploy\0puma\0", Server::Auto),
            (b"/usr/bin/tini\0--\0puma\0", Server::Auto),
            (b"", Server::Auto),
        ];
        for (command, server) in cases {
            assert_eq!(recognise(&Title::from(command)), server, "{}", String::from_utf8_lossy(command));
        }
    }

    /// A real tree of processes that have taken these titles: the first is the root, the others are its children.
    fn tree(titles: &[&str]) -> (Kept, Tree) {
        let mut script = String::new();
        for title in &titles[1..] {
            script.push_str(&format!("(exec -a '{title}' sleep 600) & "));
        }
        let first = Kept::shell(&format!("exec -a '{}' bash -c \"{script}wait\"", titles[0]));
        let all_came = || {
            let tree = Tree::of(first.pid());
            titles.iter().all(|title| tree.members().iter().any(|member| member.title.starts_with(title)))
                && tree.members().len() == titles.len()
        };
        until("they never took their titles", all_came);
        let tree = Tree::of(first.pid());
        (first, tree)
    }

    fn titles(tree: &Tree, kind: Kind) -> Vec<&str> {
        workers(tree, kind).into_iter().map(|worker| worker.title.as_str()).collect()
    }

    #[test]
    fn a_puma_with_workers_is_a_cluster() {
        let (_kept, single) = tree(&["puma 5.6.5 (unix:///tmp/s) [app]", "sleep"]);
        assert_eq!(Kind::of(&single), Kind::Puma);
        assert!(workers(&single, Kind::Puma).is_empty());
        let (_kept, cluster) = tree(&[
            "puma 5.6.5 (unix:///tmp/s) [app]",
            "puma: cluster worker 0: 7 [a (b)]",
            "tail -f puma: cluster worker",
        ]);
        assert_eq!(Kind::of(&cluster), Kind::PumaCluster);
        assert_eq!(titles(&cluster, Kind::PumaCluster), ["puma: cluster worker 0: 7 [a (b)] 600"]);
    }

    #[test]
    fn workers_are_told_from_others_of_the_same_server() {
        let (_kept, unicorn) = tree(&[
            "unicorn master -c worker.rb",
            "unicorn worker[0] -c worker.rb",
            "unicorn_rails worker[11]",
        ]);
        assert_eq!(Kind::of(&unicorn), Kind::Unicorn);
        assert_eq!(
            titles(&unicorn, Kind::Unicorn),
            ["unicorn worker[0] -c worker.rb 600", "unicorn_rails worker[11] 600"]
        );
        let (_kept, passenger) = tree(&[
            "Passenger watchdog",
            "Passenger core",
            "Passenger RubyApp: /srv/app (production)",
            "Passenger AppPreloader: /srv/app",
        ]);
        assert_eq!(Kind::of(&passenger), Kind::Passenger);
        assert_eq!(titles(&passenger, Kind::Passenger), ["Passenger RubyApp: /srv/app (production) 600"]);
        assert!(workers(&passenger, Kind::Unicorn).is_empty());
    }

    #[test]
    fn a_shell_around_the_server_does_not_hide_it() {
        let (_kept, thin) = tree(&["sh", "thin server (/tmp/web_server.sock)"]);
        assert_eq!(Kind::of(&thin), Kind::Thin);
        assert!(workers(&thin, Kind::Thin).is_empty());
        let (_kept, other) = tree(&["falcon host", "falcon worker"]);
        assert_eq!(Kind::of(&other), Kind::Unknown);
        assert_eq!(Kind::of(&Tree::default()), Kind::Unknown);
    }
}

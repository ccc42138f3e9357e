//! Many handshakes at once: nobody else waits for them.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use crate::support::certificates::Kind;
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::stop::Stop;
use crate::support::tls::{NAME, Secure, Speaker, certified, over, tls_config};
use crate::support::turn;
use crate::support::vestibule::Vestibule;
use crate::support::wait::seconds;

/// The times that requests take which one client makes, one after the other on one connection, while `go_on` says so; sorted.
fn times(client: &mut Secure, mut go_on: impl FnMut() -> bool) -> Vec<Duration> {
    let mut times = Vec::new();
    while go_on() {
        let start = Instant::now();
        assert_eq!(client.get("/kept").expect("an answer").status, 200);
        times.push(start.elapsed());
        std::thread::sleep(Duration::from_millis(2));
    }
    times.sort_unstable();
    times
}

fn percent(times: &[Duration], percent: usize) -> Duration {
    times[(times.len() - 1) * percent / 100]
}

/// First messages of a handshake, ready to be sent: what they cost is the server's, not this program's.
fn first_messages(settings: &Arc<ClientConfig>, count: usize) -> Vec<Vec<u8>> {
    let message = |_| {
        let name = rustls::pki_types::ServerName::try_from(NAME).expect("a name");
        let mut tls = rustls::ClientConnection::new(Arc::clone(settings), name).expect("settings");
        let mut bytes = Vec::new();
        tls.write_tls(&mut bytes).expect("in memory");
        bytes
    };
    (0..count).map(message).collect()
}

/// Sends a first message on each of `count` connections at once, again and again, until it is told to stop.
fn crowd(address: SocketAddr, messages: &[Vec<u8>], stop: &AtomicBool, sent: &AtomicUsize) {
    while !stop.load(Ordering::Relaxed) {
        let mut sockets: Vec<_> =
            messages.iter().map(|_| TcpStream::connect(address).expect("connected")).collect();
        for (socket, message) in sockets.iter_mut().zip(messages) {
            socket.write_all(message).expect("sent");
        }
        sent.fetch_add(messages.len(), Ordering::Relaxed);
        // Each is answered before the next round.
        for socket in &mut sockets {
            socket.set_read_timeout(Some(seconds(30))).expect("a timeout");
            let mut byte = [0];
            let _ = std::io::Read::read(socket, &mut byte);
        }
    }
}

/// Three hundred handshakes that are ready at the same time take a worker a quarter of a second and more, with RSA. Whoever
/// has a connection already waits for one of them, and not for all.
#[test]
fn three_hundred_handshakes_at_once_keep_no_connection_waiting() {
    let _turn = turn::alone();
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let authority = certified(&dir, Kind::Rsa);
    let config = format!("{}[limits]\nconnections_per_address = 16384\n", tls_config(&dir, ""));
    let vestibule = Vestibule::start(&dir, &config);
    let settings = Speaker::new(&authority).settings();
    let messages = first_messages(&settings, 300);
    let socket = TcpStream::connect(vestibule.address()).expect("connected");
    let mut kept = over(socket, settings, NAME).expect("a handshake");

    let quiet_until = Instant::now() + seconds(2);
    let quiet = times(&mut kept, || Instant::now() < quiet_until);
    let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    let cpu = vestibule.cpu();
    let loud = std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        scope.spawn(|| crowd(vestibule.address(), &messages, &stop, &sent));
        let until = Instant::now() + seconds(5);
        times(&mut kept, || Instant::now() < until || sent.load(Ordering::Relaxed) < 600)
    });
    let each = (vestibule.cpu() - cpu) / u32::try_from(sent.load(Ordering::Relaxed)).expect("a count");
    println!(
        "{} handshakes of {each:.2?} each; p99 {:.2?} beside them, {:.2?} without; median {:.2?}, {:.2?}; longest {:.2?}",
        sent.load(Ordering::Relaxed),
        percent(&loud, 99),
        percent(&quiet, 99),
        percent(&loud, 50),
        percent(&quiet, 50),
        percent(&loud, 100),
    );
    // All of them before it would be 300 times one; a few are what a machine with other things to do makes of one.
    let most = each * 40 + percent(&quiet, 99).max(Duration::from_millis(10)) * 2;
    assert!(percent(&loud, 99) < most, "p99 {:.2?}, and {most:.2?} at most", percent(&loud, 99));
}

#[test]
fn two_thousand_half_handshakes_keep_nobody_waiting_and_end() {
    let _turn = turn::heavy();
    let dir = Dir::new();
    let _origin = Fake::echoing(&dir.socket());
    let authority = certified(&dir, Kind::Ecdsa);
    let limits = "[limits]\nconnections_per_address = 16384\nhandshake_timeout = \"10s\"\n";
    let vestibule = Vestibule::start(&dir, &format!("{}{limits}", tls_config(&dir, "")));
    let speaker = Speaker::new(&authority);
    let mut kept = speaker.connect(vestibule.address()).expect("a handshake");
    assert_eq!(kept.get("/").expect("an answer").status, 200);
    let before = vestibule.open_files();
    let (rss, first) = (vestibule.rss(), first_messages(&speaker.settings(), 1));
    // A third without a byte, a third with half of a message, a third that never goes on.
    let lengths = [0, first[0].len() / 2, first[0].len()];
    let half: Vec<_> = (0..2000)
        .map(|number: usize| {
            let mut socket = TcpStream::connect(vestibule.address()).expect("connected");
            socket.write_all(&first[0][..lengths[number % 3]]).expect("sent");
            socket
        })
        .collect();
    vestibule.wait_for_files(before, half.len());
    let start = Instant::now();
    for _ in 0..20 {
        let mut new = speaker.connect(vestibule.address()).expect("a handshake");
        assert_eq!(new.get("/new").expect("an answer").text(), "/new");
        assert_eq!(kept.get("/kept").expect("an answer").text(), "/kept");
    }
    let each = vestibule.rss().saturating_sub(rss) / half.len() as u64;
    println!("20 clients beside them took {:.2?}; each holds {each} bytes", start.elapsed());
    assert!(each < 40 * 1024, "{each} bytes each");
    crate::support::wait::until_true("they are let go", seconds(40), || vestibule.open_files() <= before + 1);
    assert_eq!(kept.get("/after").expect("an answer").text(), "/after");
}

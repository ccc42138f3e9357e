//! What an idle connection costs.

use rustls::ProtocolVersion;

use crate::support::certificates::Kind;
use crate::support::dir::Dir;
use crate::support::fake::Fake;
use crate::support::tls::{Speaker, certified, tls_config};
use crate::support::turn;
use crate::support::vestibule::Vestibule;

/// nginx 1.22, measured in the same way: 14 to 15 KiB.
#[test]
fn an_idle_connection_costs_less_than_eight_kibibytes() {
    let _turn = turn::heavy();
    for version in [ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3] {
        let dir = Dir::new();
        let _origin = Fake::echoing(&dir.socket());
        let authority = certified(&dir, Kind::Ecdsa);
        let config = format!("{}[limits]\nconnections_per_address = 16384\n", tls_config(&dir, ""));
        let vestibule = Vestibule::start(&dir, &config);
        let speaker = Speaker::new(&authority).version(version);
        let idle = |count: usize| -> Vec<_> {
            let ask = |_| {
                let mut client = speaker.connect(vestibule.address()).expect("a handshake");
                assert_eq!(client.get("/").expect("an answer").status, 200);
                client
            };
            (0..count).map(ask).collect()
        };
        drop(idle(50));
        let before = vestibule.rss();
        let kept = idle(1000);
        let each = (vestibule.rss() - before) / 1000;
        println!("{version:?}: {each} bytes");
        assert!(each < 8 * 1024, "{each} bytes over {version:?}");
        drop(kept);
    }
}

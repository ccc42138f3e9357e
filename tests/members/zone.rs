//! A DNS server of the tests' own, on loopback, that says what it is told to.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const A: u16 = 1;
const SRV: u16 = 33;

/// What is known of a name.
#[derive(Clone)]
pub(super) enum Records {
    A(Vec<Ipv4Addr>),
    /// Priority, weight, port and target of each.
    Srv(Vec<(u16, u16, u16, &'static str)>),
}

#[derive(Default)]
struct Known {
    names: HashMap<String, Records>,
    ttl: u32,
    is_mute: bool,
    is_over: bool,
    asked: usize,
}

/// A running server; it ends with this.
pub(super) struct Zone {
    pub(super) address: SocketAddr,
    known: Arc<Mutex<Known>>,
}

impl Zone {
    /// One that knows nothing yet, and says that everything is to be believed for `ttl` seconds.
    pub(super) fn start(ttl: u32) -> Zone {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a time limit");
        let address = socket.local_addr().expect("its address");
        let known = Arc::new(Mutex::new(Known { ttl, ..Known::default() }));
        let theirs = Arc::clone(&known);
        std::thread::spawn(move || {
            let mut question = [0; 1500];
            loop {
                let received = socket.recv_from(&mut question);
                let mut known = theirs.lock().expect("known");
                if known.is_over {
                    return;
                }
                let Ok((length, from)) = received else { continue };
                known.asked += 1;
                if !known.is_mute {
                    let _ = socket.send_to(&answer(&question[..length], &known), from);
                }
            }
        });
        Zone { address, known }
    }

    /// From now on these are the records of the name.
    pub(super) fn set(&self, name: &str, records: Records) {
        self.known.lock().expect("known").names.insert(name.to_owned(), records);
    }

    pub(super) fn set_a(&self, name: &str, addresses: &[[u8; 4]]) {
        self.set(name, Records::A(addresses.iter().map(|&address| address.into()).collect()));
    }

    /// From now on the name does not exist.
    pub(super) fn forget(&self, name: &str) {
        self.known.lock().expect("known").names.remove(name);
    }

    /// From now on nobody is answered, or everybody again.
    pub(super) fn set_mute(&self, is_mute: bool) {
        self.known.lock().expect("known").is_mute = is_mute;
    }

    /// Questions so far.
    pub(super) fn asked(&self) -> usize {
        self.known.lock().expect("known").asked
    }
}

impl Drop for Zone {
    fn drop(&mut self) {
        self.known.lock().expect("known").is_over = true;
    }
}

/// The answer to a question (RFC 1035 4.1).
fn answer(question: &[u8], known: &Known) -> Vec<u8> {
    let (mut position, mut labels) = (12, Vec::new());
    while question[position] != 0 {
        let length = usize::from(question[position]);
        labels.push(String::from_utf8_lossy(&question[position + 1..=position + length]).to_lowercase());
        position += length + 1;
    }
    let kind = u16::from_be_bytes([question[position + 1], question[position + 2]]);
    let end = position + 5;
    let records = known.names.get(&labels.join("."));
    let data: Vec<Vec<u8>> = match (records, kind) {
        (Some(Records::A(addresses)), A) => {
            addresses.iter().map(|address| address.octets().to_vec()).collect()
        }
        (Some(Records::Srv(servers)), SRV) => servers.iter().map(server).collect(),
        _ => Vec::new(),
    };
    // An answer with authority and without recursion; 3 is "no such name".
    let code = if records.is_some() { 0x00 } else { 0x03 };
    let mut out = vec![question[0], question[1], 0x85, 0x80 | code, 0, 1, 0, data.len() as u8, 0, 0, 0, 0];
    out.extend_from_slice(&question[12..end]);
    for data in data {
        out.extend_from_slice(&[0xc0, 12]);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 1]);
        out.extend_from_slice(&known.ttl.to_be_bytes());
        out.extend_from_slice(&(data.len() as u16).to_be_bytes());
        out.extend_from_slice(&data);
    }
    out
}

fn server(&(priority, weight, port, target): &(u16, u16, u16, &'static str)) -> Vec<u8> {
    let mut out = [priority, weight, port].map(u16::to_be_bytes).concat();
    for label in target.split('.') {
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out
}

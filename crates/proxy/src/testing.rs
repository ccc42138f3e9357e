//! A request for the tests of this crate.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Instant, SystemTime};

use vestibule_config::Config;
use vestibule_http1::{HeadLimits, RequestHead};

use crate::expand::Filled;
use crate::request::{Door, Peer, Request};
use crate::request_id::RequestId;

/// A parsed request and all that it borrows from.
pub(crate) struct Asked {
    pub(crate) config: Config,
    pub(crate) door: Door,
    head: RequestHead,
    bytes: Vec<u8>,
    id: RequestId,
}

impl Asked {
    /// From 192.0.2.1 over HTTP/1 in the clear.
    pub(crate) fn new(text: &str) -> Self {
        let mut head = RequestHead::default();
        let limits = HeadLimits { bytes: 1 << 16, fields: 100 };
        assert_eq!(head.parse(text.as_bytes(), &mut 0, &limits), Ok(true), "{text:?}");
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let door = Door::plain(Peer::new(Some(address), &[]), Rc::default());
        let mut asked = Self {
            config: Config::default(),
            door,
            head,
            bytes: text.as_bytes().to_vec(),
            id: RequestId::default(),
        };
        asked.id = RequestId::of(&asked.request());
        asked
    }

    pub(crate) fn request(&self) -> Request<'_> {
        Request {
            head: &self.head,
            bytes: &self.bytes,
            door: &self.door,
            arrived: Instant::now(),
            arrived_at: SystemTime::now(),
            serial: 1,
        }
    }

    pub(crate) fn filled(&self) -> Filled<'_> {
        Filled {
            request: self.request(),
            config: &self.config,
            route: None,
            client: self.door.peer.address,
            id: &self.id,
        }
    }
}

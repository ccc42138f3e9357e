//! A task of the keeper's may be dropped at any of its waits, by a command or with Vestibule. Nothing that it had begun is
//! forgotten.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::time::{Duration, Instant};

use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};

use super::walk::Verb;
use super::walk::world::{Ground, World};
use crate::support::process::{self, Signal};
use crate::support::vestibule::binary;
use crate::support::wait::{seconds, until, until_true};

fn phase(world: &World) -> String {
    world.status()["phase"].as_str().unwrap_or_default().to_owned()
}

#[track_caller]
fn wait_for(world: &World, phase: &str) {
    until_true(&format!("it is {phase}"), seconds(20), || self::phase(world) == phase);
}

/// A World whose application is up.
fn up(ground: Ground) -> World {
    let world = World::new(ground);
    wait_for(&world, "up");
    world
}

fn outcome(world: &World, verb: Verb) -> String {
    let replies = world.give(verb, true).all(verb.as_str());
    let ended = replies.iter().find(|reply| reply["reply"] == "ended");
    ended.and_then(|ended| ended["outcome"].as_str()).unwrap_or_default().to_owned()
}

#[test]
fn what_a_killed_application_left_running_is_ended_though_a_stop_comes_first() {
    let world = World::new(Ground::StopStart);
    wait_for(&world, "up");
    // It has a child that outlives it, and does not care.
    world.does_before("sh -c 'trap \"\" TERM; while :; do sleep 0.2; done' &\n");
    assert_eq!(outcome(&world, Verb::Restart), "done");
    let all = until("it and its child", seconds(30), || Some(world.processes()).filter(|all| all.len() >= 2));
    let pid = world.status()["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a PID");
    assert!(all.contains(&pid));
    process::signal(pid, Signal::KILL);
    until_true("its end is noticed", seconds(30), || !process::alive(pid));
    world.give(Verb::Stop, true).all("stop");
    assert_eq!(world.processes(), Vec::<u32>::new(), "something of it is left");
    assert_eq!(phase(&world), "down");
    assert_eq!(world.has_leavings(), None);
}

#[test]
fn one_that_waits_for_its_next_start_is_down_when_it_is_stopped_or_left_alone() {
    for verb in [Verb::Stop, Verb::Unmonitor] {
        let world = up(Ground::StopStart);
        world.set_broken(true);
        world.signal(Signal::KILL);
        until_true("its next start is told", seconds(20), || {
            let status = world.status();
            status["phase"] == "waiting" && status["next_try"].is_u64()
        });
        world.give(verb, true).all(verb.as_str());
        until_true("nothing is to come", seconds(30), || {
            let status = world.status();
            status["phase"] == "down" && status["next_try"] == Value::Null && status["pid"] == Value::Null
        });
        world.set_broken(false);
        // A command of the operator's does not wait for the pause.
        world.give(Verb::Monitor, true).all("monitor");
        wait_for(&world, "up");
    }
}

#[test]
fn a_pid_file_that_names_somebody_else_is_put_right_and_nobody_is_hit() {
    let world = up(Ground::StopStart);
    for wrong in [world.stranger().to_string(), "1".to_owned(), "no number".to_owned()] {
        fs::write(world.pid_file(), &wrong).expect("written");
        until_true(&format!("{wrong} is put right"), seconds(20), || {
            let named = world.pid_in_file().map(u64::from);
            named.is_some() && named == world.status()["pid"].as_u64()
        });
    }
    assert!(process::alive(world.stranger()));
    assert_eq!(outcome(&world, Verb::Stop), "done");
    assert!(process::alive(world.stranger()));
    assert_eq!(world.pid_in_file(), None);
}

#[test]
fn an_application_that_takes_no_connections_does_not_stop_the_vestibule_that_adopts_it() {
    let mut world = up(Ground::StopStart);
    let first = world.life().expect("one");
    world.signal(Signal::STOP);
    let path = fs::canonicalize(world.socket()).expect("a socket");
    assert!(fs::metadata(&path).expect("it").file_type().is_socket());
    let address = SockAddr::unix(&path).expect("an address");
    let mut queue = Vec::new();
    let full = loop {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
        socket.set_nonblocking(true).expect("it does not wait");
        match socket.connect(&address) {
            Ok(()) => queue.push(socket),
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), std::io::ErrorKind::WouldBlock, "{full}");
    world.kill_vestibule();
    let start = Instant::now();
    // It does not answer at all if the control thread waits for a place in the queue.
    world.status();
    assert!(start.elapsed() < seconds(20), "{:?}", start.elapsed());
    until_true("it knows who that is", seconds(30), || {
        world.status()["pid"].as_u64() == Some(u64::from(first.0))
    });
    drop(queue);
    world.thaw();
    wait_for(&world, "up");
    assert_eq!(world.life(), Some(first));
}

#[test]
fn a_stop_during_a_start_by_somebody_else_is_not_lost() {
    // The command starts it in the background, and takes its time.
    let script = |dir: &std::path::Path| {
        format!(
            "sleep 1; cd {0:?}/app && setsid {1:?} demo-app --socket {0:?}/web_server.sock --pid-file {0:?}/web_server.pid \
             < /dev/null > /dev/null 2>&1 & sleep 1.5",
            dir,
            binary(),
        )
    };
    let world = World::adopting(script);
    until_true("the command runs", seconds(30), || phase(&world) == "starting");
    std::thread::sleep(Duration::from_millis(300));
    world.give(Verb::Stop, true).all("stop");
    assert_eq!(phase(&world), "down");
    assert_eq!(world.processes(), Vec::<u32>::new());
    // Nothing comes later either.
    std::thread::sleep(seconds(2));
    assert_eq!(world.processes(), Vec::<u32>::new(), "it was started after the stop");
}

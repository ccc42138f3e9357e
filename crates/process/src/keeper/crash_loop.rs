//! Workers that end while they boot, one after the other, behind a master that lives on: nobody there will ever answer.

use std::time::Duration;

use super::restart::CRASH_LOOP;
use crate::life::Life;
use crate::recognise::{self, Kind};
use crate::tree::Tree;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Returns when so many workers of this master have ended that came after the first look. Those that were there before may
/// end because they are replaced. Never returns for a server without workers.
pub(super) async fn crash_loop(master: u32) {
    let mut before: Option<Vec<Life>> = None;
    let mut new: Vec<Life> = Vec::new();
    loop {
        let tree = Tree::of(master);
        let workers = recognise::workers(&tree, Kind::of(&tree)).into_iter().map(|member| member.life);
        let workers: Vec<Life> = workers.collect();
        let before = before.get_or_insert_with(|| workers.clone());
        for worker in workers {
            if !before.contains(&worker) && !new.contains(&worker) {
                new.push(worker);
            }
        }
        if new.iter().filter(|worker| !worker.is_alive()).count() >= CRASH_LOOP {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

//! One application as the operating system sees it.
//!
//! An [`Application`] is a process that we started and can signal, wait for and stop; a [`Launch`] is how it is
//! started. A [`PidFile`] is where an application writes its PID; a [`Running`] is any process, as `/proc` shows it.
//!
//! A [`Life`] is one process and no other that gets its PID; a [`Tree`] is it with its descendants and what they take, a
//! [`Kind`] which server they are; [`Members`] are all that belong to an application, wherever they hang. [`spawn`] starts, an [`Exit`]
//! waits for the end of any process, a [`Reaper`] leaves no zombie. [`holds`] says who is behind a socket, [`vacate`] makes its path
//! free.
//!
//! Whether the application answers requests is another matter: that is an upstream's state.

mod alert;
mod answer;
mod application;
mod backtrace;
mod check;
mod command;
mod cpu;
mod cycle;
mod error;
mod exit;
mod flapping;
mod follower;
mod holder;
mod identity;
mod keeper;
mod knock;
mod launch;
mod launcher;
mod life;
mod members;
mod memory;
mod open_files;
mod output;
mod pid_file;
mod place;
mod profile;
mod program;
mod reaper;
mod recognise;
mod record;
mod release;
mod relief;
mod running;
mod settings;
mod signal;
mod stat;
mod status;
mod table;
mod tail;
#[cfg(test)]
mod testing;
mod title;
mod traffic;
mod tree;
mod vacancy;

pub use alert::{Alert, Occasion};
pub use answer::Answers;
pub use application::{Application, Ended};
pub use check::{Repeats, Verdict};
pub use command::{Ask, Command, Handle, Outcome};
pub use cpu::Cpu;
pub use cycle::{Cycle, Due};
pub use error::Error;
pub use exit::{Exit, spawn};
pub use flapping::Flapping;
pub use holder::{Holds, holds};
pub use keeper::{Ending, Keeper, Surroundings};
pub use launch::{Launch, Places, Prepared};
pub use launcher::become_application;
pub use life::Life;
pub use members::{MEMBER_OF, Members};
pub use memory::{Glance, Memory, Reading};
pub use open_files::raise_open_files;
pub use output::{Line, Output};
pub use pid_file::PidFile;
pub use reaper::Reaper;
pub use recognise::{Kind, recognise, workers};
pub use relief::{Relief, Step};
pub use running::Running;
pub use rustix::process::Signal;
pub use status::{Event, Failure, Phase, Release, Status, Wish, Worker};
pub use table::children;
pub use title::Title;
pub use traffic::Traffic;
pub use tree::{Member, Tree};
pub use vacancy::vacate;

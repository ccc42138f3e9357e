//! Files below a directory, as answers to requests.
//!
//! A [`Shelf`] is what one worker has of them: it finds the file that a path means, safely, and keeps what is asked for often. What
//! it gives is an [`Answer`], which knows nothing of connections: conditions and ranges are decided, the sending is the caller's.
//! Nothing here waits for the disk on the caller's thread: what the kernel does not have in memory is done by tokio's blocking
//! threads.

mod answer;
mod conditions;
mod error;
mod handed;
mod look;
mod media;
mod open;
mod open_file;
mod path;
mod ranges;
mod shelf;
mod shelved;
mod stamp;

pub use answer::{Answer, Asked, Body, Found, Part};
pub use error::Error;
pub use handed::{Kept, NotHanded};
pub use open_file::{OpenFile, WINDOW};
pub use shelf::Shelf;
pub use shelved::IN_MEMORY;

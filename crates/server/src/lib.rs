//! The public side: listeners, connections, drain.

//! What the application executed.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The file to which the application writes one line per executed POST.
pub(crate) struct Ledger(PathBuf);

impl Ledger {
    /// The ledger at `path`, which need not exist yet.
    pub(crate) fn at(path: &Path) -> Ledger {
        Ledger(path.to_owned())
    }

    /// How often each POST was executed.
    pub(crate) fn executions(&self) -> HashMap<String, usize> {
        let mut executions = HashMap::new();
        for id in fs::read_to_string(&self.0).unwrap_or_default().lines() {
            *executions.entry(id.to_owned()).or_default() += 1;
        }
        executions
    }

    /// The POSTs that were executed more than once.
    pub(crate) fn repeated(&self) -> Vec<String> {
        let repeated = self.executions().into_iter().filter(|(_, times)| *times > 1);
        repeated.map(|(id, times)| format!("{id} ({times} times)")).collect()
    }
}

//! Configuration files of ours that lie over those of the operator.
//!
//! Puma takes the command line before its file. Unicorn listens at both (measured: `-l` is added to each `listen`), and
//! Thin takes its file before the command line (measured). So for these two a file of ours reads the operator's, and then
//! says where to listen. It stays as long as we run: Unicorn reads it again at HUP and USR2.

use std::path::{Path, PathBuf};

/// A file to be written before the application starts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Overlay {
    /// Where.
    pub(crate) path: PathBuf,
    /// What is in it.
    pub(crate) text: String,
}

impl Overlay {
    /// Over a configuration of Unicorn, or over none, in our `directory`.
    pub(crate) fn of_unicorn(directory: &Path, file: Option<&Path>) -> Option<Overlay> {
        let theirs = match file {
            Some(file) => {
                let file = ruby_string(file)?;
                format!("instance_eval(File.read({file}), {file})\n")
            }
            None => String::new(),
        };
        // `listen` would add to the file's own.
        let ours = "set[:listeners] = [ENV.fetch(\"CUSTOM_WEB_SOCKET_FILE\")]\npid ENV.fetch(\"CUSTOM_WEB_PID_FILE\")\n";
        Some(Overlay { path: directory.join("unicorn.rb"), text: format!("{theirs}{ours}") })
    }

    /// Over a configuration of Thin, which is YAML that went through ERB. What would have it listen elsewhere, or leave for
    /// the background (as a cluster always does), is left out.
    pub(crate) fn of_thin(directory: &Path, file: &Path) -> Option<Overlay> {
        let file = ruby_string(file)?;
        let text = format!(
            "<%= require \"yaml\"\n\
             kept = YAML.load(ERB.new(File.read({file})).result) || {{}}\n\
             kept = kept.reject {{ |key, _| %w[address port servers only onebyone pid].include?(key.to_s) }}\n\
             kept.merge(\"socket\" => ENV.fetch(\"CUSTOM_WEB_SOCKET_FILE\"), \"daemonize\" => false).to_yaml %>\n"
        );
        Some(Overlay { path: directory.join("thin.yml"), text })
    }
}

/// A path as Ruby writes it; `None` where it is not UTF-8.
fn ruby_string(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    Some(format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_any_path_as_ruby_reads_it() {
        assert_eq!(ruby_string(Path::new("/srv/o'neil\\#{x}")).as_deref(), Some(r"'/srv/o\'neil\\#{x}'"));
    }

    #[test]
    fn reads_the_operators_file_first() {
        let overlay =
            Overlay::of_unicorn(Path::new("/own"), Some(Path::new("/srv/unicorn.rb"))).expect("UTF-8");
        assert_eq!(overlay.path, Path::new("/own/unicorn.rb"));
        let theirs = overlay.text.find("instance_eval(File.read('/srv/unicorn.rb')").expect("theirs");
        assert!(theirs < overlay.text.find("set[:listeners]").expect("ours"), "{}", overlay.text);
    }
}

//! TOML, as a person would write it.

/// A text between quotes; between single ones where that saves backslashes.
pub(super) fn text(text: &str) -> String {
    if text.contains(['\\', '"']) && !text.contains(['\'', '\n', '\r']) && !text.chars().any(char::is_control)
    {
        return format!("'{text}'");
    }
    let mut written = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => written.push_str("\\\""),
            '\\' => written.push_str("\\\\"),
            '\n' => written.push_str("\\n"),
            '\r' => written.push_str("\\r"),
            '\t' => written.push_str("\\t"),
            c if c.is_control() => written.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => written.push(c),
        }
    }
    written.push('"');
    written
}

/// A list of texts; a single one stands for itself.
pub(super) fn one_or_list(texts: &[String]) -> String {
    match texts {
        [single] => text(single),
        texts => list(texts),
    }
}

/// A list of texts.
pub(super) fn list(texts: &[String]) -> String {
    let texts: Vec<_> = texts.iter().map(|single| text(single)).collect();
    format!("[{}]", texts.join(", "))
}

/// A key, between quotes where it needs them.
pub(super) fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { text(name) }
}

/// `{ a = …, b = … }` of values that are TOML already.
pub(super) fn table(entries: &[(String, String)]) -> String {
    if entries.is_empty() {
        return "{}".to_owned();
    }
    let entries: Vec<_> = entries.iter().map(|(name, value)| format!("{} = {value}", key(name))).collect();
    format!("{{ {} }}", entries.join(", "))
}

/// Keys with their values, which are TOML already, in the order in which they were first set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) entries: Vec<(String, String)>,
}

impl Keys {
    pub(super) fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        match self.entries.iter_mut().find(|(known, _)| *known == name) {
            Some(entry) => entry.1 = value,
            None => self.entries.push((name, value)),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|(known, _)| known == name)
    }

    /// A line for each; a value that is too long for its line goes over several.
    pub(super) fn lines(&self) -> String {
        let mut lines = String::new();
        for (name, value) in &self.entries {
            lines.push_str(&format!("{name} = {}\n", folded(name, value)));
        }
        lines
    }
}

/// A list of texts that is too long for a line, with one to a line.
fn folded(name: &str, value: &str) -> String {
    let is_list = value.starts_with("[\"") && value.ends_with("\"]");
    if name.len() + value.len() + 3 <= 120 || !is_list {
        return value.to_owned();
    }
    let inside = &value[1..value.len() - 1];
    format!("[\n    {},\n]", inside.replace("\", \"", "\",\n    \""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_little_as_it_can() {
        assert_eq!(text("plain"), "\"plain\"");
        assert_eq!(text(r"~ \.js$"), r"'~ \.js$'");
        assert_eq!(text("it's \"so\"\n"), r#""it's \"so\"\n""#);
        assert_eq!(key("X-One"), "X-One");
        assert_eq!(key("/srv/"), "\"/srv/\"");
    }
}

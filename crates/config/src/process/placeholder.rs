//! What stands for something in a command or a variable: `{socket}`, `{pid_file}`, `{name}`, `{directory}`.
//!
//! A placeholder is a name in braces: a letter or `_`, then letters, digits and `_`, with nothing else between the braces and none
//! of `$`, `#`, `%`, `\` and `{` before them. All other braces are left as they are: `${HOME}` of a shell, `#{x}` of Ruby,
//! `%{time_total}`, `{"a": 1}`, `{}`, `{ x }`, `{1..3}`, `{{x}}`.

use std::ffi::OsString;

/// What a placeholder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Placeholder {
    /// `{socket}`: the path of the socket that the application is to listen at.
    Socket,
    /// `{pid_file}`: where its PID is to be found.
    PidFile,
    /// `{name}`: the NAME of `[process.NAME]`.
    Name,
    /// `{directory}`: where it runs.
    Directory,
}

/// A part of a text that may have placeholders in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece<'t> {
    /// As it is.
    Text(&'t str),
    /// To be filled in.
    Placeholder(Placeholder),
    /// A placeholder of a name that there is not, without its braces.
    Unknown(&'t str),
}

impl Placeholder {
    /// All of them.
    pub const ALL: [Placeholder; 4] =
        [Placeholder::Socket, Placeholder::PidFile, Placeholder::Name, Placeholder::Directory];

    /// The name between the braces.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Placeholder::Socket => "socket",
            Placeholder::PidFile => "pid_file",
            Placeholder::Name => "name",
            Placeholder::Directory => "directory",
        }
    }

    /// Whether it stands in a text.
    #[must_use]
    pub fn is_in(self, text: &str) -> bool {
        pieces(text).any(|piece| piece == Piece::Placeholder(self))
    }

    /// `text` with what `value` gives in the places of placeholders. Those that have no value stay as they are, and so do unknown
    /// ones, which no configuration has.
    #[must_use]
    pub fn fill(text: &str, value: impl Fn(Placeholder) -> Option<OsString>) -> OsString {
        let mut filled = OsString::with_capacity(text.len());
        let as_it_is = |name: &str| format!("{{{name}}}").into();
        for piece in pieces(text) {
            match piece {
                Piece::Text(text) => filled.push(text),
                Piece::Placeholder(placeholder) => {
                    filled.push(value(placeholder).unwrap_or_else(|| as_it_is(placeholder.as_str())));
                }
                Piece::Unknown(name) => filled.push(as_it_is(name)),
            }
        }
        filled
    }
}

/// A text piece by piece.
pub(crate) fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    let mut next = None;
    std::iter::from_fn(move || {
        if let Some(piece) = next.take() {
            return Some(piece);
        }
        let Some((start, name)) = first(rest) else {
            let text = std::mem::take(&mut rest);
            return (!text.is_empty()).then_some(Piece::Text(text));
        };
        let before = &rest[..start];
        rest = &rest[start + name.len() + 2..];
        let known = Placeholder::ALL.into_iter().find(|placeholder| placeholder.as_str() == name);
        let piece = known.map_or(Piece::Unknown(name), Piece::Placeholder);
        if before.is_empty() {
            return Some(piece);
        }
        next = Some(piece);
        Some(Piece::Text(before))
    })
}

/// The first placeholder: where its brace opens, and its name.
fn first(text: &str) -> Option<(usize, &str)> {
    text.match_indices('{').find_map(|(start, _)| {
        let is_foreign = text[..start].ends_with(['$', '#', '%', '\\', '{']);
        let inside = &text[start + 1..];
        let end = inside.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
        let name = &inside[..end];
        let is_name =
            inside[end..].starts_with('}') && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        (!is_foreign && is_name).then_some((start, name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> String {
        let value = |placeholder| match placeholder {
            Placeholder::Socket => Some("/s".into()),
            Placeholder::PidFile => Some("/p".into()),
            Placeholder::Name => Some("n".into()),
            Placeholder::Directory => Some("/d".into()),
        };
        Placeholder::fill(text, value).into_string().expect("UTF-8")
    }

    #[test]
    fn fills_in_what_stands_for_something() {
        assert_eq!(filled("unix://{socket}?backlog=64"), "unix:///s?backlog=64");
        assert_eq!(filled("{pid_file}{name}:{directory}"), "/pn:/d");
        assert_eq!(filled(""), "");
        assert_eq!(filled("ä{name}ä"), "änä");
        assert!(Placeholder::Socket.is_in("a{socket}") && !Placeholder::Socket.is_in("a{name}"));
    }

    #[test]
    fn leaves_other_braces_as_they_are() {
        for text in [
            "${socket}",
            "#{name}",
            "%{name}",
            "\\{name}",
            "{{name}}",
            "{ name }",
            "{}",
            "{",
            "}",
            "{name",
            "{\"name\": \"x\"}",
            "a{1,3}b",
            "{1..3}",
            "{äh}",
        ] {
            assert_eq!(filled(text), text);
            assert!(pieces(text).all(|piece| matches!(piece, Piece::Text(_))), "{text}");
        }
        assert_eq!(filled("{{socket} {name}"), "{{socket} n");
    }

    #[test]
    fn knows_what_is_meant_as_one_and_is_none() {
        let found: Vec<_> = pieces("a {sokcet} {PID} {name}").collect();
        let expected = [
            Piece::Text("a "),
            Piece::Unknown("sokcet"),
            Piece::Text(" "),
            Piece::Unknown("PID"),
            Piece::Text(" "),
            Piece::Placeholder(Placeholder::Name),
        ];
        assert_eq!(found, expected);
        assert_eq!(filled("{sokcet}"), "{sokcet}");
        assert_eq!(Placeholder::fill("a{socket}b", |_| None), "a{socket}b");
    }
}

//! nginx's configuration language, as words.

/// A piece of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A word, without its quotes and with its escapes taken out.
    Word(String),
    /// `;`
    End,
    /// `{`
    Open,
    /// `}`
    Close,
}

/// What cannot be read as tokens: its line, and why.
pub(super) type Wrong = (u32, String);

/// Takes a text apart, one token after the other.
#[derive(Debug)]
pub(super) struct Tokens<'t> {
    rest: &'t str,
    /// The line of what comes next, from 1.
    pub(super) line: u32,
}

impl<'t> Tokens<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        // Editors of another system put a mark before the first byte.
        Tokens { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1 }
    }

    /// The next one, with its line; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Token)>, Wrong> {
        self.skip_blanks();
        let line = self.line;
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        let token = match first {
            ';' | '{' | '}' => {
                self.take();
                match first {
                    ';' => Token::End,
                    '{' => Token::Open,
                    _ => Token::Close,
                }
            }
            '"' | '\'' => Token::Word(self.quoted(first)?),
            _ => Token::Word(self.bare()),
        };
        Ok(Some((line, token)))
    }

    /// What stands between the brace that was read and the one that closes it: text in another language, such as Lua.
    pub(super) fn skip_foreign(&mut self) -> Result<(), Wrong> {
        let line = self.line;
        let mut depth = 1;
        while let Some(c) = self.take() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                // A brace in a string or a comment closes nothing.
                '"' | '\'' => self.skip_string(c),
                '-' if self.rest.starts_with('-') => while self.take().is_some_and(|c| c != '\n') {},
                _ => {}
            }
            if depth == 0 {
                return Ok(());
            }
        }
        Err((line, "the `{` is never closed".to_owned()))
    }

    fn skip_string(&mut self, quote: char) {
        while let Some(c) = self.take() {
            if c == '\\' {
                self.take();
            } else if c == quote || c == '\n' {
                return;
            }
        }
    }

    fn skip_blanks(&mut self) {
        loop {
            if self.rest.starts_with('#') {
                while self.take().is_some_and(|c| c != '\n') {}
            } else if self.rest.starts_with([' ', '\t', '\r', '\n']) {
                self.take();
            } else {
                return;
            }
        }
    }

    fn take(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        self.line += u32::from(c == '\n');
        Some(c)
    }

    fn quoted(&mut self, quote: char) -> Result<String, Wrong> {
        let line = self.line;
        self.take();
        let mut word = String::new();
        loop {
            match self.take() {
                None => return Err((line, format!("the {quote} is never closed"))),
                Some(c) if c == quote => break,
                Some('\\') => self.escape(&mut word),
                Some(c) => word.push(c),
            }
        }
        if self.rest.starts_with(|c: char| !c.is_ascii_whitespace() && !";{)".contains(c)) {
            return Err((self.line, format!("there is no blank after the {quote} that closes a word")));
        }
        // `)` after a quote ends the condition of an `if`.
        if self.rest.starts_with(')') {
            self.take();
            word.push(')');
        }
        Ok(word)
    }

    fn bare(&mut self) -> String {
        let mut word = String::new();
        while let Some(c) = self.rest.chars().next() {
            // `${name}` is the one brace that belongs to a word.
            if c.is_ascii_whitespace() || c == ';' || (c == '{' && !word.ends_with('$')) {
                break;
            }
            self.take();
            if c == '\\' { self.escape(&mut word) } else { word.push(c) }
        }
        word
    }

    /// What a backslash and the next character are. Most keep the backslash: it is the regular expression's.
    fn escape(&mut self, word: &mut String) {
        match self.take() {
            Some(c @ ('"' | '\'' | '\\')) => word.push(c),
            Some('t') => word.push('\t'),
            Some('r') => word.push('\r'),
            Some('n') => word.push('\n'),
            Some(c) => word.extend(['\\', c]),
            None => word.push('\\'),
        }
    }
}

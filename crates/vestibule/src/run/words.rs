//! The options in a command line that is not ours.

/// The words that follow a program's name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words<'a>(pub(crate) &'a [String]);

impl<'a> Words<'a> {
    /// The value of an option: `-b X`, `-bX`, `--bind X` or `--bind=X`; the last, as there the last counts. Words after `--` are
    /// no options.
    pub(crate) fn value(self, short: char, long: &str) -> Option<&'a str> {
        self.options(short, long).last().and_then(|(_, value)| value)
    }

    /// Whether an option is there, with or without a value of its own.
    pub(crate) fn has(self, short: char, long: &str) -> bool {
        self.before_end().iter().any(|word| {
            let word = word.as_str();
            is_short(word, short)
                || word.strip_prefix("--").is_some_and(|rest| {
                    rest == long || rest.strip_prefix(long).is_some_and(|rest| rest.starts_with('='))
                })
        })
    }

    /// The words without an option and its value.
    pub(crate) fn without(self, short: char, long: &str) -> Vec<String> {
        let gone: Vec<usize> = self.options(short, long).flat_map(|(places, _)| places).collect();
        let kept = self.0.iter().enumerate().filter(|(index, _)| !gone.contains(index));
        kept.map(|(_, word)| word.clone()).collect()
    }

    /// The first word that is no option; the values of options before it are taken for one too.
    pub(crate) fn first(self) -> Option<&'a str> {
        self.0.iter().map(String::as_str).find(|word| !word.starts_with('-'))
    }

    fn before_end(self) -> &'a [String] {
        let end = self.0.iter().position(|word| word == "--").unwrap_or(self.0.len());
        self.0.get(..end).unwrap_or_default()
    }

    /// Each place where an option that takes a value stands: the words that it takes, and its value.
    fn options(self, short: char, long: &str) -> impl Iterator<Item = (Vec<usize>, Option<&'a str>)> {
        let words = self.before_end();
        words.iter().enumerate().filter_map(move |(index, word)| {
            let word = word.as_str();
            let next = || (vec![index, index + 1], words.get(index + 1).map(String::as_str));
            if let Some(rest) = word.strip_prefix("--") {
                let after = rest.strip_prefix(long)?;
                return match after.strip_prefix('=') {
                    Some(value) => Some((vec![index], Some(value))),
                    None => after.is_empty().then(next),
                };
            }
            let value = word.strip_prefix('-').and_then(|rest| rest.strip_prefix(short))?;
            Some(if value.is_empty() { next() } else { (vec![index], Some(value)) })
        })
    }
}

fn is_short(word: &str, short: char) -> bool {
    word.strip_prefix('-').and_then(|rest| rest.strip_prefix(short)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn finds_an_option_in_each_of_its_forms() {
        for line in ["-b X", "-bX", "--bind X", "--bind=X", "-t 5:5 -b Y --bind X config.ru"] {
            let words = words(line);
            assert_eq!(Words(&words).value('b', "bind"), Some("X"), "{line}");
            assert!(Words(&words).has('b', "bind"), "{line}");
        }
        for line in ["-t 5:5", "--bind-nothing X", "-- -b X", "b X"] {
            let words = words(line);
            assert_eq!(Words(&words).value('b', "bind"), None, "{line}");
            assert!(!Words(&words).has('b', "bind"), "{line}");
        }
        assert_eq!(Words(&words("puma -b")).value('b', "bind"), None);
    }

    #[test]
    fn takes_an_option_out_with_its_value() {
        let words = words("-E production -c one --config-file=two -cthree config.ru");
        assert_eq!(Words(&words).without('c', "config-file"), ["-E", "production", "config.ru"]);
    }
}

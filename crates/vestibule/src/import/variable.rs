//! nginx's variables, in the words of a template.

/// What may stand in the text beside what every request has.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known<'k> {
    /// What the path's pattern catches: the names of its groups, which are empty where they have none.
    pub(super) caught: &'k [String],
    /// `$server_name`
    pub(super) server_name: &'k str,
}

/// The template that gives the same text; else the variable that there is nothing for.
pub(super) fn template(text: &str, known: Known<'_>) -> Result<String, String> {
    // What there is one word for here.
    let text = text
        .replace("$document_uri", "$uri")
        .replace("$query_string", "$args")
        .replace("${is_args}", "$is_args")
        .replace("${args}", "$args")
        .replace("$uri$is_args$args", "$request_uri")
        .replace("$uri?$args", "$request_uri");
    let mut written = String::new();
    let mut rest = text.as_str();
    while let Some(dollar) = rest.find('$') {
        written.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        let (name, behind) = name(rest);
        if name.is_empty() {
            written.push_str("$$");
            continue;
        }
        rest = behind;
        let word = word(name, known).ok_or_else(|| format!("${name}"))?;
        // A digit behind `$1`, or a letter behind `$path`, would be read as a part of it.
        let runs_on =
            word.starts_with('$') && rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if runs_on {
            return Err(format!("${name} with letters right behind it"));
        }
        written.push_str(&word);
    }
    written.push_str(rest);
    Ok(written)
}

/// The text of what has no variables in it, or only known constants.
pub(super) fn constant(text: &str) -> Option<&str> {
    (!text.contains('$')).then_some(text)
}

/// The text with `value` where `$name` stands; `None` where it does not.
pub(super) fn filled(text: &str, name: &str, value: &str) -> Option<String> {
    let (mut written, mut rest, mut found) = (String::new(), text, false);
    while let Some((before, behind)) = rest.split_once(name).filter(|_| name.len() > 1) {
        written.push_str(before);
        // `$root` is not the beginning of `$root_of_all`.
        let runs_on = behind.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        written.push_str(if runs_on { name } else { value });
        found |= !runs_on;
        rest = behind;
    }
    written.push_str(rest);
    found.then_some(written)
}

fn name(rest: &str) -> (&str, &str) {
    if let Some((name, behind)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        return (name, behind);
    }
    // `$1` ends behind its digit.
    if rest.starts_with(|c: char| c.is_ascii_digit()) {
        return rest.split_at(1);
    }
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    rest.split_at(end)
}

fn word(name: &str, known: Known<'_>) -> Option<String> {
    if let Ok(number) = name.parse::<usize>() {
        return (number >= 1 && number <= known.caught.len()).then(|| format!("${number}"));
    }
    if let Some(at) = known.caught.iter().position(|caught| caught == name) {
        return Some(format!("${}", at + 1));
    }
    let word = match name {
        "host" | "http_host" => "$host",
        "scheme" => "$scheme",
        "request_uri" => "$uri",
        "uri" => "$path",
        "args" => "$query",
        "remote_addr" | "realip_remote_addr" => "$client",
        "request_id" => "$id",
        "server_name" if !known.server_name.is_empty() => known.server_name,
        _ => {
            let field = name.strip_prefix("http_")?.replace('_', "-");
            return Some(format!("$field:{field}"));
        }
    };
    Some(word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_in_a_name_only_where_it_is_whole() {
        assert_eq!(filled("$a/b/$a", "$a", "/srv").as_deref(), Some("/srv/b//srv"));
        assert_eq!(filled("/srv/$app", "$a", "x"), None);
        assert_eq!(filled("/srv", "", "x"), None);
    }

    #[test]
    fn says_the_same_in_the_words_of_a_template() {
        let caught = [String::new(), "slug".to_owned()];
        let known = Known { caught: &caught, server_name: "example.com" };
        for (nginx, ours) in [
            ("https://$host$request_uri", Ok("https://$host$uri")),
            ("https://$server_name$uri$is_args$args", Ok("https://example.com$uri")),
            ("/new/$1/$slug", Ok("/new/$1/$2")),
            ("/new/${1}", Ok("/new/$1")),
            ("$http_x_request_start", Ok("$field:x-request-start")),
            ("costs 5$", Ok("costs 5$$")),
            ("$geoip_country", Err("$geoip_country")),
            ("$3", Err("$3")),
            ("${1}0", Err("$1 with letters right behind it")),
        ] {
            let found = template(nginx, known);
            assert_eq!(found.as_deref().map_err(String::as_str), ours, "{nginx}");
        }
    }
}

//! Stack traces in an application's output: a server that cannot boot writes one line that tells why, and then a hundred.

/// Frames that are told of each trace: where it happened, and who called.
const FRAMES: usize = 3;

/// The last `most` lines of these, when of each run of frames only the first few are counted, and how many follow.
pub(crate) fn shortened(lines: Vec<String>, most: usize) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    let mut frames = 0;
    for line in lines {
        frames = if is_frame(&line) { frames + 1 } else { 0 };
        if frames <= FRAMES {
            told.push(line);
        } else {
            if frames > FRAMES + 1 {
                told.pop();
            }
            told.push(format!("\t… {} more", frames - FRAMES));
        }
    }
    told.drain(..told.len().saturating_sub(most));
    told
}

/// Whether it is a place in the code and nothing else, as Ruby writes it: ``/app/x.rb:12:in `boot'``, after "from" or not.
fn is_frame(line: &str) -> bool {
    let Some((place, name)) = line.rsplit_once(":in ") else { return false };
    let number = place.rsplit(':').next().unwrap_or_default();
    let is_numbered = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_numbered && name.starts_with(['`', '\'']) && name.trim_end().ends_with('\'')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(frames: usize) -> Vec<String> {
        let mut lines = vec!["! Unable to load application".to_owned()];
        lines.push("/app/config.ru:3:in `deep': the database is away (RuntimeError)".to_owned());
        lines.extend((0..frames).map(|number| format!("\tfrom /app/x.rb:{number}:in `block in deep'")));
        lines
    }

    #[test]
    fn what_tells_why_is_not_lost_behind_a_long_trace() {
        let told = shortened(trace(100), 20);
        assert_eq!(told.len(), 6, "{told:#?}");
        assert!(told[1].contains("the database is away"));
        assert_eq!(told[4], "\tfrom /app/x.rb:2:in `block in deep'");
        assert_eq!(told[5], "\t… 97 more");
    }

    #[test]
    fn each_trace_is_shortened_by_itself() {
        let told = shortened([trace(4), trace(3), trace(5)].concat(), 100);
        assert_eq!(told.len(), 6 + 5 + 6, "{told:#?}");
        assert_eq!(told[5], "\t… 1 more");
        assert_eq!(told[16], "\t… 2 more");
    }

    #[test]
    fn of_all_else_the_last_lines_are_told() {
        let lines: Vec<String> = (0..50).map(|number| format!("line {number}")).collect();
        assert_eq!(shortened(lines.clone(), 20), lines[30..]);
        assert_eq!(shortened(Vec::new(), 20), Vec::<String>::new());
    }

    #[test]
    fn a_frame_is_a_place_and_nothing_else() {
        for frame in ["\tfrom a.rb:1:in `x'", "/a/b.rb:12:in `block (2 levels) in y'", "from a.rb:1:in 'C#x'"]
        {
            assert!(is_frame(frame), "{frame}");
        }
        for other in
            ["", "a.rb:1:in `x': oh (E)", ":in `x'", "it broke:in `x'", "a.rb:1: syntax error", "puts 'x'"]
        {
            assert!(!is_frame(other), "{other}");
        }
    }
}

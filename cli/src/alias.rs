//! Heroku's `noun:verb` as a second way to write `noun verb`.

use std::ffi::OsString;

/// Global flags that take the next argument as their value.
const FLAGS_WITH_VALUE: [&str; 4] = ["-a", "--app", "--color", "--server"];

/// Splits the command at its colons (`config:set` becomes `config set`) and leaves every other argument alone: a value such as
/// `A=b:c` or a URL is never the command.
pub fn split_first_colon(args: Vec<OsString>) -> Vec<OsString> {
    let Some(position) = command_position(&args) else {
        return args;
    };
    let Some(words) = args[position].to_str().and_then(nouns_and_verbs) else {
        return args;
    };
    let mut split = args[..position].to_vec();
    split.extend(words);
    split.extend_from_slice(&args[position + 1..]);
    split
}

/// Where the command stands: the first argument after the program's name that is neither a flag nor a flag's value.
fn command_position(args: &[OsString]) -> Option<usize> {
    let mut position = 1;
    while let Some(arg) = args.get(position) {
        match arg.to_str() {
            Some("--") | None => return None,
            Some(flag) if FLAGS_WITH_VALUE.contains(&flag) => position += 2,
            Some(flag) if flag.starts_with('-') => position += 1,
            Some(_) => return Some(position),
        }
    }
    None
}

fn nouns_and_verbs(text: &str) -> Option<Vec<OsString>> {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    (text.contains(':') && text.split(':').all(is_word)).then(|| text.split(':').map(OsString::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> String {
        let args = line.split(' ').map(OsString::from).collect();
        let words: Vec<_> = split_first_colon(args)
            .into_iter()
            .map(|arg| arg.into_string().unwrap())
            .collect();
        words.join(" ")
    }

    #[test]
    fn the_command_is_split_at_its_colon() {
        assert_eq!(split("windlass config:set A=b"), "windlass config set A=b");
        assert_eq!(
            split("windlass -a shop ps:scale web=2"),
            "windlass -a shop ps scale web=2"
        );
        assert_eq!(split("windlass --json apps:info"), "windlass --json apps info");
    }

    #[test]
    fn only_the_command_is_split() {
        for line in [
            "windlass config set A=b:c",
            "windlass deploy https://example.com/a.git",
            "windlass https://example.com",
            "windlass logs -p a:b",
            "windlass -a a:b ps",
            "windlass -- config:set",
            "windlass",
            "windlass :x",
        ] {
            assert_eq!(split(line), line);
        }
    }
}

//! Times for people: how long ago, and how long it took.

use chrono::{DateTime, Utc};

/// How long ago something was, such as `2 min ago`; beyond a month the date.
pub fn ago(then: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (now - then).num_seconds();
    match seconds {
        ..1 => "just now".to_owned(),
        1..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        86_400..172_800 => "1 day ago".to_owned(),
        172_800..2_592_000 => format!("{} days ago", seconds / 86_400),
        _ => then.format("%Y-%m-%d").to_string(),
    }
}

/// How long ago something was, seen from now; `-` for what has not happened.
pub fn since(then: Option<DateTime<Utc>>) -> String {
    then.map_or_else(|| "-".to_owned(), |then| ago(then, Utc::now()))
}

/// How long something took, such as `1 min 5 s`; up to now if it goes on, `-` if it has not begun.
pub fn took(start: Option<DateTime<Utc>>, end: Option<DateTime<Utc>>) -> String {
    let Some(start) = start else {
        return "-".to_owned();
    };
    let millis = (end.unwrap_or_else(Utc::now) - start).num_milliseconds().max(0);
    match millis {
        ..10_000 => format!("{}.{} s", millis / 1000, millis % 1000 / 100),
        10_000..60_000 => format!("{} s", millis / 1000),
        _ => format!("{} min {} s", millis / 60_000, millis % 60_000 / 1000),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn times_read_as_people_say_them() {
        let now = "2026-11-21T12:00:00Z".parse::<DateTime<Utc>>().unwrap();
        for (seconds, expected) in [
            (-5, "just now"),
            (0, "just now"),
            (45, "45 s ago"),
            (150, "2 min ago"),
            (7300, "2 h ago"),
            (90_000, "1 day ago"),
            (200_000, "2 days ago"),
            (5_000_000, "2026-09-24"),
        ] {
            assert_eq!(ago(now - TimeDelta::seconds(seconds), now), expected);
        }
    }

    #[test]
    fn durations_read_as_people_say_them() {
        let start = "2026-11-21T12:00:00Z".parse::<DateTime<Utc>>().unwrap();
        let after = |millis| took(Some(start), Some(start + TimeDelta::milliseconds(millis)));
        assert_eq!(after(1234), "1.2 s");
        assert_eq!(after(12_345), "12 s");
        assert_eq!(after(65_000), "1 min 5 s");
        assert_eq!(took(None, None), "-");
    }
}

//! Values as they are typed: sizes, cores, times and pairs.

/// `512MiB`, `1GiB`, `512M`, or a number of bytes.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit: u64 = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err("use a size such as 512MiB or 1GiB".to_owned()),
    };
    text[..digits]
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .ok_or_else(|| "use a size such as 512MiB or 1GiB".to_owned())
}

/// Cores as thousandths of a core.
pub(crate) fn parse_cores(text: &str) -> Result<u32, String> {
    match text.parse::<f64>() {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be from 0.01 to 1024"
        )]
        Ok(cores) if (0.01..=1024.0).contains(&cores) => Ok((cores * 1000.0).round() as u32),
        _ => Err("use a number of cores from 0.01 to 1024".to_owned()),
    }
}

/// Milliseconds: a number of them, or `500ms`, `2s`, `1m`.
pub(crate) fn parse_millis(text: &str) -> Result<u32, String> {
    time(text, 1)
        .and_then(|millis| u32::try_from(millis).ok())
        .ok_or_else(|| "use a number of milliseconds, or a time such as 500ms or 2s".to_owned())
}

/// Seconds: a number of them, or `90s`, `45m`, `1h`.
pub(crate) fn parse_seconds(text: &str) -> Result<u32, String> {
    time(text, 1000)
        .filter(|millis| millis % 1000 == 0)
        .and_then(|millis| u32::try_from(millis / 1000).ok())
        .ok_or_else(|| "use a number of seconds, or a time such as 90s or 45m".to_owned())
}

/// A time in milliseconds; a bare number counts in units of `bare` milliseconds.
fn time(text: &str, bare: u64) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match text[digits..].trim() {
        "" => bare,
        "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(unit)
}

/// `KEY=VALUE`.
pub(crate) fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_typed() {
        assert_eq!(parse_millis("1500"), Ok(1500));
        assert_eq!(parse_millis("500ms"), Ok(500));
        assert_eq!(parse_millis("2s"), Ok(2000));
        assert_eq!(parse_seconds("90"), Ok(90));
        assert_eq!(parse_seconds("45m"), Ok(2700));
        assert_eq!(parse_seconds("1h"), Ok(3600));
        for wrong in ["", "s", "-1", "1.5", "500ms", "2 weeks", "99999999999h"] {
            assert!(parse_seconds(wrong).is_err(), "{wrong} was accepted");
        }
    }

    #[test]
    fn sizes_and_cores_read_as_typed() {
        assert_eq!(parse_size("512MiB"), Ok(512 << 20));
        assert_eq!(parse_size("1g"), Ok(1 << 30));
        assert_eq!(parse_size("1000"), Ok(1000));
        assert!(parse_size("much").is_err() && parse_size("99999999999999GiB").is_err() && parse_size("").is_err());
        assert_eq!(parse_cores("0.5"), Ok(500));
        assert!(parse_cores("0").is_err() && parse_cores("NaN").is_err() && parse_cores("-1").is_err());
    }
}

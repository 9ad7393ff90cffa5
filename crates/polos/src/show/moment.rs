//! Times: absolute in UTC, relative in words, durations with as many digits as matter.

use polos_protocol::Millis;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The time by this machine's clock.
pub(crate) fn now() -> Millis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// `2026-11-23 12:00:01Z`
pub(crate) fn absolute(at: Millis) -> String {
    let (year, month, day) = civil(at / DAY);
    format!("{year:04}-{month:02}-{day:02} {}", clock(at))
}

/// `12:00:01Z`
pub(crate) fn clock(at: Millis) -> String {
    let second = at % DAY / SECOND;
    format!("{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// `4 min ago`, `in 2 h`, `now`
pub(crate) fn relative(at: Millis, now: Millis) -> String {
    if at.abs_diff(now) < SECOND {
        "now".to_owned()
    } else if at <= now {
        format!("{} ago", coarse(now - at))
    } else {
        format!("in {}", coarse(at - now))
    }
}

/// A duration in one unit: `4 min`, `3 d`.
pub(crate) fn coarse(ms: u64) -> String {
    match ms {
        0..MINUTE => format!("{} s", ms / SECOND),
        MINUTE..HOUR => format!("{} min", ms / MINUTE),
        HOUR..DAY => format!("{} h", ms / HOUR),
        _ => format!("{} d", ms / DAY),
    }
}

/// A duration with as many digits as matter: `3 ms`, `1.2 s`, `4 min 5 s`, `2 h 10 min`.
pub(crate) fn duration(ms: u64) -> String {
    match ms {
        0..SECOND => format!("{ms} ms"),
        SECOND..MINUTE => format!("{}.{} s", ms / SECOND, ms % SECOND / 100),
        MINUTE..HOUR => format!("{} min {} s", ms / MINUTE, ms % MINUTE / SECOND),
        HOUR..DAY => format!("{} h {} min", ms / HOUR, ms % HOUR / MINUTE),
        _ => format!("{} d {} h", ms / DAY, ms % DAY / HOUR),
    }
}

/// Reads `90s`, `15m`, `2h`, `1d`, `250ms` or a bare number of seconds.
pub(crate) fn parse_duration(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits
        .trim()
        .parse()
        .map_err(|_| format!("`{text}` is not a duration: write 250ms, 90s, 15m, 2h or 1d"))?;
    let unit = match &text[digits.len()..] {
        "ms" => 1,
        "" | "s" => SECOND,
        "m" | "min" => MINUTE,
        "h" => HOUR,
        "d" => DAY,
        other => return Err(format!("`{other}` is not a unit of time: use ms, s, m, h or d")),
    };
    number.checked_mul(unit).ok_or_else(|| format!("`{text}` is too long"))
}

/// Days since 1970-01-01 as year, month and day (Howard Hinnant's `civil_from_days`).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_absolute_times() {
        let check = |at, expect: &str| assert_eq!(absolute(at), expect);
        check(0, "1970-01-01 00:00:00Z");
        check(951_782_399_000, "2000-02-28 23:59:59Z");
        check(951_782_400_000, "2000-02-29 00:00:00Z");
        check(1_795_435_201_999, "2026-11-23 12:00:01Z");
        check(4_107_542_400_000, "2100-03-01 00:00:00Z");
    }

    #[test]
    fn tells_relative_times() {
        let check = |at, now, expect: &str| assert_eq!(relative(at, now), expect);
        check(1_000, 1_900, "now");
        check(0, 59_999, "59 s ago");
        check(0, 240_000, "4 min ago");
        check(7_200_000, 0, "in 2 h");
        check(0, 3 * DAY, "3 d ago");
    }

    #[test]
    fn tells_durations() {
        let check = |ms, expect: &str| assert_eq!(duration(ms), expect);
        check(3, "3 ms");
        check(1_234, "1.2 s");
        check(59_999, "59.9 s");
        check(245_000, "4 min 5 s");
        check(7_800_000, "2 h 10 min");
        check(2 * DAY + HOUR, "2 d 1 h");
    }

    #[test]
    fn reads_durations() {
        let check = |text, expect: Result<u64, ()>| {
            assert_eq!(parse_duration(text).map_err(|_| ()), expect, "{text}");
        };
        check("250ms", Ok(250));
        check("90", Ok(90_000));
        check("15m", Ok(900_000));
        check("1d", Ok(DAY));
        check("soon", Err(()));
        check("3 weeks", Err(()));
        check("-1s", Err(()));
        check("99999999999999999999d", Err(()));
        check("999999999999999999d", Err(()));
    }
}

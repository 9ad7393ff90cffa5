//! How long a provider asks us to wait.

use std::time::{Duration, SystemTime};

use reqwest::header::HeaderMap;

/// A provider that asks for longer is not believed.
const WAIT_MAX: Duration = Duration::from_hours(24 * 31);

/// Reads `retry-after-ms`, then `retry-after` as seconds or as an HTTP date relative to `now`.
pub(crate) fn read(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    text("retry-after-ms")
        .and_then(|ms| duration(ms, 1_000.0))
        .or_else(|| text("retry-after").and_then(|seconds| duration(seconds, 1.0)))
        .or_else(|| text("retry-after").and_then(|date| until(date, now)))
        .map(|wait| wait.min(WAIT_MAX))
}

fn duration(text: &str, per_second: f64) -> Option<Duration> {
    let seconds = text.parse::<f64>().ok()? / per_second;
    Duration::try_from_secs_f64(seconds).ok()
}

fn until(date: &str, now: SystemTime) -> Option<Duration> {
    let date = httpdate::parse_http_date(date).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&'static str, &'static str)], expect: Option<u64>) {
        let map = headers.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect();
        // 1994-11-06T08:49:07Z
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_747);
        assert_eq!(read(&map, now), expect.map(Duration::from_millis), "{headers:?}");
    }

    #[test]
    fn reads_every_form() {
        check(&[], None);
        check(&[("retry-after", "3")], Some(3_000));
        check(&[("retry-after", " 0.25 ")], Some(250));
        check(&[("retry-after-ms", "1500"), ("retry-after", "3")], Some(1_500));
        check(&[("retry-after-ms", "soon"), ("retry-after", "3")], Some(3_000));
        check(&[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")], Some(30_000));
        check(&[("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")], Some(0));
        for nonsense in ["-1", "nan", "inf", "1e300", "later", ""] {
            check(&[("retry-after", nonsense)], None);
        }
        check(&[("retry-after", "1e15")], Some(31 * 24 * 3_600_000));
    }
}
